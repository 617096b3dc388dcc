"""What the plugin costs inside a real sandbox."""
