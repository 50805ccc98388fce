"""Recognition of formats: the one place that decides what a path holds.

JSON and CVAT's XML are judged by their content, all other formats by `rotx.annotations.sniff`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotx.annotations.convert import cvat, datumaro, label_studio, labelme, supervisely, via, visdrone, yolo
from rotx.annotations.files import File, FormatError, clear_errors, is_archive, is_wanted, read_files
from rotx.annotations.json_files import DamagedEntry, load_json
from rotx.images.files import list_files
from rotx.records import InstanceTable

#: Number of files that are looked at to recognise the format of a folder.
_LOOKED_AT = 25
#: Names of JSON files that tools write beside annotations.
_NO_LABELS = {"manifest.json", "meta.json", "package.json", "dataset_infos.json"}
_Read = Callable[[Sequence[File], bool], InstanceTable]


@dataclass(frozen=True)
class JsonFormat:
    """A JSON format of an annotation tool."""

    name: str
    rejects: Callable[[Any], str | None]
    """Why the content of a file is of another format; None if it is of this one."""
    read: _Read | None
    """Reader of files; None for COCO's, which has a reader of its own."""
    one_per_image: bool = False


def _rejects_coco(record: Any) -> str | None:
    keys = [key for key in ("images", "categories") if not (isinstance(record, Mapping) and key in record)]
    return f"{' and '.join(keys)} missing" if keys else None


#: Formats in the order in which they are tried.
JSON_FORMATS = (
    JsonFormat("COCO", _rejects_coco, None),
    JsonFormat("labelme", labelme.rejects, labelme.read, one_per_image=True),
    JsonFormat("Label Studio", label_studio.rejects, label_studio.read),
    JsonFormat("VIA", via.rejects, via.read),
    JsonFormat("Supervisely", supervisely.rejects, supervisely.read, one_per_image=True),
    JsonFormat("Datumaro", datumaro.rejects, datumaro.read),
)


@dataclass(frozen=True)
class Recognized:
    """Files of a dataset, and the reader of their format."""

    name: str
    """Name of the format, for messages."""
    files: list[File]
    read: _Read | None
    """Reader; None: ``files`` is one COCO-style file."""
    content: Any = None
    """Content of a COCO-style file."""


def recognize(path: Path) -> Recognized | yolo.Labels | None:
    """Recognises JSON formats, CVAT's XML, VisDrone's and YOLO's labels; None for any other content.

    Raises:
        FormatError: For a JSON file of no known format, or several files where one must be named.
    """
    name = path.name.lower()
    if name.endswith(".json") and not path.is_dir():
        return _of_json(File(path.name, str(path), path))
    if path.is_file() and name.endswith(".xml"):
        file = File(path.name, str(path), path)
        return None if cvat.rejects(file.head()) else Recognized("CVAT XML", [file], cvat.read)
    if path.is_dir():
        return _of_folder(path)
    if is_archive(path):
        files, _ = read_files(path, _FOLDERS, suffixes=(".json", ".xml"), required=False)
        return _of_files(path, files, others=any(file.name.lower().endswith(".xml") for file in files))
    return None


_FOLDERS = ("ann", "annotations")


def _of_folder(path: Path) -> Recognized | yolo.Labels | None:
    with clear_errors(path):
        names = [name for name in list_files(path) if name[0] != "."]
        if not any(map(_is_label, names)) and not any(map(is_wanted, names)):
            for folder in (path / name for name in _FOLDERS):
                if folder.is_dir() and (found := _of_folder(folder)):
                    return found
        files = [File(name, str(path / name), path / name) for name in names if _is_label(name)]
        others = any(map(is_wanted, names)) or (path / "labels").is_dir() or (path / "labelTxt").is_dir()
    if found := _of_files(path, files, others):
        return found
    if labels := yolo.find(path):
        return labels
    texts = [File(name, str(path / name), path / name) for name in names if name.lower().endswith(".txt")]
    texts = [file for file in texts if is_wanted(file.name)]
    return Recognized("VisDrone labels", texts, visdrone.read) if visdrone.accepts(texts[:_LOOKED_AT]) else None


def _is_label(name: str) -> bool:
    return name.lower().endswith((".json", ".xml")) and name.lower() not in _NO_LABELS


def _of_files(path: Path, files: list[File], others: bool) -> Recognized | None:
    """Recognises the JSON and XML files of a folder or archive.

    ``others``: the folder holds label files of other formats, too; then a single file for all images does not count.
    """
    exports = [file for file in files if file.name.lower().endswith(".xml") and not cvat.rejects(file.head(4096))]
    if len(exports) == 1:
        return Recognized("CVAT XML", exports, cvat.read)
    if exports:
        raise FormatError(f"{path}: holds several exports of CVAT: give one, as {exports[0].shown}")
    files = [file for file in files if file.name.lower().endswith(".json")]
    for_all: list[Recognized] = []
    for file in files[:_LOOKED_AT]:
        try:
            record = load_json(file)
        except DamagedEntry:
            continue
        for format in JSON_FORMATS:
            if format.rejects(record) is not None:
                continue
            if format.one_per_image:
                _check_names(files)
                return Recognized(f"{format.name} JSON", files, format.read)
            for_all.append(Recognized(f"{format.name} JSON", [file], format.read))
            break
        else:
            if _is_like_coco(record):
                for_all.append(Recognized("COCO JSON", [file], None))
    if others or not for_all:
        return None
    first = for_all[0]
    if first.read is None:
        raise FormatError(f"{path}: holds {first.files[0].name}, which looks like COCO's: give the file itself")
    if len(for_all) > 1:
        raise FormatError(f"{path}: holds {len(for_all)} annotation files: give one, as {first.files[0].shown}")
    return first


def _check_names(files: Sequence[File]) -> None:
    first: dict[str, str] = {}
    for file in files:
        if first.setdefault(file.stem, file.name) != file.name:
            raise FormatError(f"{file.shown}: image {file.stem!r} already has a file: {first[file.stem]}")


def _of_json(file: File) -> Recognized:
    try:
        record = load_json(file)
    except DamagedEntry:
        return Recognized("COCO JSON", [file], None)  # its reader says what is wrong
    for format in JSON_FORMATS:
        if format.rejects(record) is None:
            return Recognized(f"{format.name} JSON", [file], format.read, None if format.read else record)
    if _is_like_coco(record):
        return Recognized("COCO JSON", [file], None, record)  # its reader says what is missing
    raise FormatError(f"{file.shown}: {why_unknown(record)}")


def _is_like_coco(record: Any) -> bool:
    return isinstance(record, Mapping) and bool({"images", "annotations", "categories"} & record.keys())


def why_unknown(record: Any) -> str:
    """Says why the content of a JSON file is of no known format, or which other file it is."""
    first = record[0] if isinstance(record, list) and record else None
    if isinstance(first, Mapping) and {"image_id", "category_id", "score"} <= first.keys():
        return "holds results, not annotations: they are scored by rotx-eval score"
    reasons = ", ".join(f"{format.name} ({format.rejects(record)})" for format in JSON_FORMATS)
    return f"none of the known formats: {reasons}"


def not_recognized(path: Path, error: FormatError) -> FormatError:
    """Adds to an error what a folder holds, and why its JSON files are of no known format."""
    if not path.is_dir():
        return error
    with clear_errors(path):
        names = [name for name in list_files(path) if name[0] != "."]
    if not names or any(map(is_wanted, names)):
        return error
    counts = Counter(Path(name).suffix.lower() or "other files" for name in names)
    found = [f"{count:,} {suffix}" for suffix, count in counts.most_common(5)]
    text = f"{error}; found {', '.join(found)}"
    if first := next((name for name in names if name.lower().endswith(".json")), None):
        try:
            record = load_json(File(first, first, path / first))
        except DamagedEntry as damaged:
            return FormatError(f"{text}; {first}: {damaged}")
        text += f"; {first}: {why_unknown(record)}"
    return FormatError(text)
