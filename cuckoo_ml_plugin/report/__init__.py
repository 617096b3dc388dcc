"""Room report: to be described."""
