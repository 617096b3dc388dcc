"""Room intake: to be described."""
