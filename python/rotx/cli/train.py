"""``rotx-train``."""

from __future__ import annotations

import click

from rotx.cli import fail


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rotx")
@click.argument("config", type=click.Path())
def main(config: str) -> None:
    """Train the detector that CONFIG describes. This version of rotx builds detectors but does not train them yet."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        fail("training needs torch: pip install 'rotx[train]'")
    fail(f"{config}: this version of rotx builds detectors but does not train them yet; see rotx config check")
