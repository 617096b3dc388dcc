"""How good is a clustering: against labels, without them, under resampling, and beside other settings."""
