"""The first bad batch on disk: everything that its forward and backward depend on; safetensors and JSON."""
