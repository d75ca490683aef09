"""Orders, areas of interest and products."""
