"""Conformance kits and doubles for authors of plug-ins."""
