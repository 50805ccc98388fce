"""Runs ``rotx predict`` again and again from one process that has imported everything: ten starts in the time of one.

Reads a JSON object a line: the words of the command, the number of batches and the signal that ends it there, the
greatest size of a file, and where stderr goes; answers with the exit code.
"""

from __future__ import annotations

import json
import os
import resource
import sys

import dying
import rotx.inference.run  # noqa: F401  # what takes long to import
from rotx.cli import main

for line in sys.stdin:
    run = json.loads(line)
    process = os.fork()
    if process == 0:
        os.dup2(os.open(run["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        dying.left, dying.how = run["batches"], run["how"]
        if run["limit"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (run["limit"], run["limit"]))
        main(["predict", *run["words"]], prog_name="rotx")
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
