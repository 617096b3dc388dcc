"""Room frames: to be described."""
