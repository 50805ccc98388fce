"""The folder that a split writes: patches, their annotations, the manifest, and the journal of a run not ended.

The journal holds the settings and a line for each image whose files are all in place. When all images have been
tried it becomes the manifest. A run that finds either goes on from there.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rotx.atomic import OutputLock, write_text
from rotx.tiling.windows import PATCH

MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
LOCK = ".lock"

Record = dict[str, Any]


class Folder:
    """A folder of patches.

    Attributes:
        ext: of the images.
        complete: whether an earlier run has tried every image and none has failed.
        totals: counts over all images, once it is finished.
    """

    def __init__(self, path: Path, settings: Record) -> None:
        self.path = path
        self.settings: Record = json.loads(json.dumps(settings))  # tuples are lists, as they are in the files
        self.ext: str = settings["save_ext"]
        self.complete = False
        self.totals: Record = {}
        self._folders = [path / "images"] + [path / "annfiles"] * settings["annotations"]
        self._open: list[int] = []

    def image(self, patch: str) -> str:
        """The image file of a patch."""
        return str(self.path / "images" / (patch + self.ext))

    def annotation(self, patch: str) -> str:
        """The annotation file of a patch."""
        return str(self.path / "annfiles" / f"{patch}.txt")

    def __enter__(self) -> Folder:
        """Makes the folder, and keeps other runs out of it.

        Raises:
            ValueError: if it is a file, or another run is writing it.
            OSError: if it cannot be made.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path}: is a file; name a folder")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = OutputLock(self.path / LOCK, self.path)
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.pop())
        self._lock.release()

    def begin(self, inputs: Mapping[str, Record]) -> dict[str, Record]:
        """Prepares the folder for patches, or takes up what an earlier run has left in it.

        Args:
            inputs: the files of images, and what tells whether each is still the same.

        Returns:
            The records of the images that are split already, by file.

        Raises:
            ValueError: if other files are in it, or patches of other images or settings.
            OSError: if it cannot be written or read.
        """
        for name in (MANIFEST, JOURNAL):
            for left in self.path.glob(f".{name}.*"):  # a run was killed that was writing it
                left.unlink()
        records = self._earlier()
        counts = [Counter(_files(folder).values()) for folder in self._folders]
        for file, record in records.items():
            if file not in inputs:
                raise ValueError(f"{self.path}: holds patches of {file}, which is not among the images: {_ANOTHER}")
            if any(record.get(key) != value for key, value in inputs[file].items()):
                raise ValueError(f"{self.path}: {file} or its labels have changed since it was split: {_ANOTHER}")
        # Somebody may have removed patches: then the image is split anew.
        records = {f: r for f, r in records.items() if all(c[Path(f).stem] == r["patches"] for c in counts)}
        if self.complete and len(records) == len(inputs):
            (self.path / JOURNAL).unlink(missing_ok=True)
            return records
        self.complete = False
        self._sweep({Path(file).stem for file in records})
        lines = [{"settings": self.settings}, *records.values()]
        write_text(self.path / JOURNAL, "".join(map(_line, lines)))
        for folder in self._folders:
            folder.mkdir(exist_ok=True)
        self._open.append(os.open(self.path / JOURNAL, os.O_WRONLY | os.O_APPEND))
        return records

    def note(self, record: Record) -> None:
        """Writes down that all files of an image are in place.

        Raises:
            OSError: if that fails.
        """
        line = _line(record).encode()
        try:
            if os.write(self._open[-1], line) != len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path / JOURNAL)) from None

    def finish(self, records: list[Record], failed: Mapping[str, str]) -> None:
        """Writes the manifest, and removes the journal.

        Raises:
            OSError: if that fails.
        """
        self.totals = _totals(records, self.settings["annotations"])
        names = [{"file": file, "reason": reason} for file, reason in sorted(failed.items())]
        manifest = {"settings": self.settings, "totals": self.totals, "failed": names, "images": records}
        write_text(self.path / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        (self.path / JOURNAL).unlink()

    def _sweep(self, names: set[str]) -> None:
        """Removes what a killed run has left: temporary files, and patches of images that it had not finished."""
        for folder in self._folders:
            for file, image in _files(folder).items():
                if (image and image not in names) or (file[0] == "." and file.endswith(".tmp")):
                    (folder / file).unlink()

    def _is_ours(self) -> bool:
        return (self.path / MANIFEST).exists() or (self.path / JOURNAL).exists()

    def _earlier(self) -> dict[str, Record]:
        """The records of the journal, or else of the manifest."""
        if not self._is_ours():
            first = min((entry.name for entry in os.scandir(self.path) if entry.name != LOCK), default=None)
            if first is not None:
                raise ValueError(f"{self.path}: holds other files, such as {first}: {_ANOTHER}")
            return {}
        manifest, journal = self._read_manifest(), self._read_journal()
        self.totals = manifest.get("totals", {})
        records = {record["file"]: record for record in [*manifest.get("images", []), *journal]}
        self.complete = bool(manifest) and not manifest["failed"] and len(manifest["images"]) == len(records)
        return records

    def _read_manifest(self) -> Record:
        path = self.path / MANIFEST
        if not path.exists():
            return {}
        try:
            manifest = json.loads(path.read_bytes())
            settings = dict(manifest["settings"])
            found = {key: manifest[key] for key in ("totals", "failed", "images")}
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path}: is not the manifest of a split: {_ANOTHER}") from None
        self._check_settings(settings)
        return found

    def _read_journal(self) -> list[Record]:
        path = self.path / JOURNAL
        if not path.exists():
            return []
        *lines, _ = path.read_bytes().split(b"\n")  # the last is empty, or torn
        try:
            head, *records = map(json.loads, lines)
            settings = dict(head["settings"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path}: is not the journal of a split: {_ANOTHER}") from None
        self._check_settings(settings)
        return records

    def _check_settings(self, earlier: Record) -> None:
        for key, value in self.settings.items():
            if earlier.get(key) != value:
                raise ValueError(f"{self.path}: was split with {key} {earlier.get(key)}, not {value}: {_ANOTHER}")


_ANOTHER = "name another folder, or remove this one"


def _files(folder: Path) -> dict[str, str | None]:
    """The files of a folder, and the image that each is a patch of; None if it is none."""
    names = [entry.name for entry in os.scandir(folder)] if folder.is_dir() else []
    patches = [PATCH.match(name.rpartition(".")[0]) for name in names]
    return {name: patch and patch["image"] for name, patch in zip(names, patches, strict=True)}


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _totals(records: list[Record], annotated: bool) -> Record:
    totals: Record = {"images": len(records), "patches": sum(record["patches"] for record in records)}
    if annotated:
        for key in ("objects", "in_patches"):
            totals[key] = sum(record[key] for record in records)
        counts = Counter[str]()
        for record in records:
            counts.update(record["in_no_patch"])  # those of 0 too
        totals["in_no_patch"] = dict(counts)
    return totals
