"""``python -m rotx.cli`` is ``rotx``."""

from rotx.cli import main

main(prog_name="rotx")
