"""Room engine: to be described."""
