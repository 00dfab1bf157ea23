"""Pictures drawn from a prompt; the only place that imports Pillow."""
