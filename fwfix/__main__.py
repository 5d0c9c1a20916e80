"""`python -m fwfix` is `fwfix`."""

from fwfix.cli.main import main

main()
