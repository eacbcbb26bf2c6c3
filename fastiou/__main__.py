"""`python -m fastiou` is the command `fastiou`."""

from fastiou.cli import main

main()
