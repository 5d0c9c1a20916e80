"""Templates and values to scripts."""
