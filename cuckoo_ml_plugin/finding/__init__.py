"""Room finding: to be described."""
