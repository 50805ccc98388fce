"""``python -m rotx.cli``: the command ``rotx``."""

from rotx.cli import main

if __name__ == "__main__":
    main(prog_name="rotx")
