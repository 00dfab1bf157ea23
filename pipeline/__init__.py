"""imagebatch."""
