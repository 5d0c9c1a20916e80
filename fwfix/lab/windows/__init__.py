"""The Windows twin: a WinRM host to test against."""
