"""Room report_formats: to be described."""
