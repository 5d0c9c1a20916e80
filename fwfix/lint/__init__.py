"""Checks rendered scripts without any host: what `fwfix templates check` does."""
