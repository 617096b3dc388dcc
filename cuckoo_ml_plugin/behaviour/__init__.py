"""Room behaviour: to be described."""
