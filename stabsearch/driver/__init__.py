"""Where trials run: through Ray Tune, or here one after another."""
