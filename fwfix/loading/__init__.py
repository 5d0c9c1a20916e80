"""YAML and plan files in, values out; every error with file and line."""
