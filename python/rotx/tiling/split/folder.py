"""The output folder of a split: patches, their annotations, the manifest, and the journal of an unfinished run.

The journal holds the settings and a line for each image whose files are complete. When all images have been tried, it
becomes the manifest. A run that finds either resumes from there.
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
    """Output folder of a split.

    Attributes:
        ext: File format of the images.
        complete: Whether an earlier run has split every image without failure.
        totals: Counts over all images, after `finish`.
    """

    def __init__(self, path: Path, settings: Record) -> None:
        self.path = path
        self.settings: Record = json.loads(json.dumps(settings))  # turns tuples into lists, as in the files
        self.ext: str = settings["save_ext"]
        self.complete = False
        self.totals: Record = {}
        self._folders = [path / "images"] + [path / "annfiles"] * settings["annotations"]
        self._open: list[int] = []

    def image(self, patch: str) -> str:
        """Path of the image file of a patch, relative to the folder."""
        return str(self.path / "images" / (patch + self.ext))

    def annotation(self, patch: str) -> str:
        """Path of the annotation file of a patch, relative to the folder."""
        return str(self.path / "annfiles" / f"{patch}.txt")

    def __enter__(self) -> Folder:
        """Makes the folder and locks it against other runs.

        Raises:
            ValueError: If the path is a file, or another run is writing to the folder.
            OSError: If the folder cannot be made.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path}: is a file; need a folder")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = OutputLock(self.path / LOCK, self.path)
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.pop())
        self._lock.release()

    def begin(self, inputs: Mapping[str, Record]) -> dict[str, Record]:
        """Prepares the folder for patches, or resumes an earlier run.

        Args:
            inputs: Image files, each with a fingerprint to detect changes.

        Returns:
            Records of the images that are already split, by file.

        Raises:
            ValueError: If the folder holds other files, or patches of other images or settings.
            OSError: If the folder cannot be read or written.
        """
        for name in (MANIFEST, JOURNAL):
            for left in self.path.glob(f".{name}.*"):  # leftovers of a killed run
                left.unlink()
        records = self._earlier()
        counts = [Counter(_files(folder).values()) for folder in self._folders]
        for file, record in records.items():
            if file not in inputs:
                raise ValueError(f"{self.path}: holds patches of {file}, which is not among the images: {_ANOTHER}")
            if any(record.get(key) != value for key, value in inputs[file].items()):
                raise ValueError(f"{self.path}: {file} or its labels have changed since it was split: {_ANOTHER}")
        # If patches have been removed, the image is split again.
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
        """Records in the journal that all files of an image are complete.

        Raises:
            OSError: If writing fails.
        """
        line = _line(record).encode()
        try:
            if os.write(self._open[-1], line) != len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path / JOURNAL)) from None

    def finish(self, records: list[Record], failed: Mapping[str, str]) -> None:
        """Writes the manifest and removes the journal.

        Raises:
            OSError: If writing fails.
        """
        self.totals = _totals(records, self.settings["annotations"])
        names = [{"file": file, "reason": reason} for file, reason in sorted(failed.items())]
        manifest = {"settings": self.settings, "totals": self.totals, "failed": names, "images": records}
        write_text(self.path / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        (self.path / JOURNAL).unlink()

    def _sweep(self, names: set[str]) -> None:
        """Removes the leftovers of a killed run: temporary files, and patches of unfinished images."""
        for folder in self._folders:
            for file, image in _files(folder).items():
                if (image and image not in names) or (file[0] == "." and file.endswith(".tmp")):
                    (folder / file).unlink()

    def _is_ours(self) -> bool:
        return (self.path / MANIFEST).exists() or (self.path / JOURNAL).exists()

    def _earlier(self) -> dict[str, Record]:
        """Returns the records of the journal, or else of the manifest."""
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
    """Maps the files of a folder to the images they are patches of; None for other files."""
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
            counts.update(record["in_no_patch"])  # keeps zero counts, too
        totals["in_no_patch"] = dict(counts)
    return totals
