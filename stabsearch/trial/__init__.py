"""One training run on a worker, guarded; needs torch and transformers, nothing else of ours."""
