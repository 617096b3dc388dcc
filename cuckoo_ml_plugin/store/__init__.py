"""Room store: to be described."""
