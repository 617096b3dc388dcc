"""Room model: to be described."""
