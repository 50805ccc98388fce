"""``python -m rotx`` is ``rotx``."""

from rotx.cli import main

main(prog_name="rotx")
