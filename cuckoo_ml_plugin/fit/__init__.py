"""Room fit: to be described."""
