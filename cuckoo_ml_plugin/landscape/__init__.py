"""Room landscape: to be described."""
