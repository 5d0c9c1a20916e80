"""Frozen values and their invariants; no I/O."""
