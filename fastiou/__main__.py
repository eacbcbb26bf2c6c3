"""`python -m fastiou` is the command `fastiou`."""

from fastiou.cli.main import main

main()
