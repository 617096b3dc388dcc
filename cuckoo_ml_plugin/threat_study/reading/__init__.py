"""Room reading: to be described."""
