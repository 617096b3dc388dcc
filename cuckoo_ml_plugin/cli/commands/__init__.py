"""Room commands: to be described."""
