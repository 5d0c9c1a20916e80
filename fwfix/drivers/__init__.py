"""Which script to run on a platform, and how to read its answer; no I/O."""
