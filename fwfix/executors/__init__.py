"""Run one script on one host before a deadline."""
