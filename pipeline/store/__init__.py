"""4 KEEP: images, then the record."""
