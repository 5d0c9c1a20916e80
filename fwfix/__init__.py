"""Close printing ports on a fleet, prove it, and undo it."""

__version__ = "0.1.0"
