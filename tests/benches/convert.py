"""Converting the whole of DIOR-R, 23,463 xml and 192,518 objects, whole processes in one run.

    python tests/benches/convert.py

The annotations come from the folder of real data, ROTX_SHARED; what is made of them stays in bench-data.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tarfile
from itertools import count
from pathlib import Path

from measure import DATA, process, report

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("ROTX_SHARED", HERE.parents[2] / "shared"))
ARCHIVE = SHARED / "data/dior_r_annotations/dior_r_xml_full.tar.xz"
FOLDER = "annotations/oriented"
ROTX = Path(sys.executable).with_name("rotx")
OUT = DATA / "convert-out"
RUNS = 2
_NUMBERS = count()


def convert() -> None:
    """Prints all of it."""
    if not ARCHIVE.is_file():
        print("converting: skipped, needs real annotations: set ROTX_SHARED")
        return
    shutil.rmtree(OUT, ignore_errors=True)
    unpacked = DATA / "dior-r"
    if not (unpacked / FOLDER).is_dir():
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(unpacked, filter="data")
    for to in ("dota", "coco"):
        for what, ours, theirs in (
            ("the archive", ARCHIVE / FOLDER, ARCHIVE),
            ("its files", unpacked / FOLDER, unpacked / FOLDER),
        ):
            loop, _, _ = spent(sys.executable, HERE / "xml_loop.py", to, theirs, place(to))
            runs = [spent(ROTX, "convert", ours, place(to), "--to", to) for _ in range(RUNS)]
            seconds, cpu, memory = (min(column) for column in zip(*runs, strict=True))
            report(f"convert DIOR-R, {what}, to {to}", seconds, loop, "a loop with xml.etree", "under 5,000 ms")
            print(f"{'  user and system':<44} {cpu * 1e3:9.2f} ms     greatest memory {memory:.0f} MB", flush=True)
    floor = min(spent(sys.executable, HERE / "xml_loop.py", "nothing", ARCHIVE)[0] for _ in range(RUNS))
    print(f"{'  only reading the archive, by tarfile':<44} {floor * 1e3:9.2f} ms", flush=True)
    shutil.rmtree(OUT, ignore_errors=True)


def spent(*command: object) -> tuple[float, float, float]:
    """Wall time, and user and system time, in seconds, and greatest memory in MB of a whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall, memory = process(*command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, memory


def place(to: str) -> Path:
    """Where nothing has been: ext4 is slow to make files for a while after as many were removed."""
    folder = OUT / str(next(_NUMBERS))
    folder.mkdir(parents=True)
    return folder / ("dior.json" if to == "coco" else "labelTxt")


if __name__ == "__main__":
    convert()
