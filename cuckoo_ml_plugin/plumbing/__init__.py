"""Room plumbing: to be described."""
