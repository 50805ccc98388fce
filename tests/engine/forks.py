"""Runs ``rotx-train`` again and again from one process that has imported everything: ten starts in the time of one.

Reads a JSON list of arguments a line; answers with the process of that run, and, when it ended, its exit code.
"""

from __future__ import annotations

import json
import os
import sys

import rotx.engine  # noqa: F401  # what takes long to import
import tiny  # noqa: F401
from rotx.cli.train import main

for line in sys.stdin:
    process = os.fork()
    if process == 0:
        main(json.loads(line), prog_name="rotx-train")
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
