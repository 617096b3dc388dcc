"""Room threat_study: to be described."""
