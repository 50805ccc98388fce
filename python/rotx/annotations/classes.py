"""Classes of a dataset: what its config asks for, and how the class names in its files map to labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.annotations.sniff import nearest

#: Classes of DOTA 1.0, 1.5 and 2.0, in MMRotate's order.
DOTA_V1_0 = (
    "plane",
    "baseball-diamond",
    "bridge",
    "ground-track-field",
    "small-vehicle",
    "large-vehicle",
    "ship",
    "tennis-court",
    "basketball-court",
    "storage-tank",
    "soccer-ball-field",
    "roundabout",
    "harbor",
    "swimming-pool",
    "helicopter",
)
DOTA_V1_5 = (*DOTA_V1_0, "container-crane")
DOTA_V2_0 = (*DOTA_V1_5, "airport", "helipad")

#: Classes of DIOR-R, in MMRotate's order and spelling.
DIOR = (
    "airplane",
    "airport",
    "baseballfield",
    "basketballcourt",
    "bridge",
    "chimney",
    "expressway-service-area",
    "expressway-toll-station",
    "dam",
    "golffield",
    "groundtrackfield",
    "harbor",
    "overpass",
    "ship",
    "stadium",
    "storagetank",
    "tenniscourt",
    "trainstation",
    "vehicle",
    "windmill",
)

#: Ship types of HRSC2016 by their ``Class_ID``, in MMRotate's order.
HRSC_CLASSES = {
    "100000001": "ship",
    "100000002": "aircraft carrier",
    "100000003": "warcraft",
    "100000004": "merchant ship",
    "100000005": "Nimitz",
    "100000006": "Enterprise",
    "100000007": "Arleigh Burke",
    "100000008": "WhidbeyIsland",
    "100000009": "Perry",
    "100000010": "Sanantonio",
    "100000011": "Ticonderoga",
    "100000012": "Kitty Hawk",
    "100000013": "Kuznetsov",
    "100000014": "Abukuma",
    "100000015": "Austen",
    "100000016": "Tarawa",
    "100000017": "Blue Ridge",
    "100000018": "Container",
    "100000019": "OXo|--)",
    "100000020": "Car carrier([]==[])",
    "100000022": "Hovercraft",
    "100000024": "yacht",
    "100000025": "CntShip(_|.--.--|_]=",
    "100000026": "Cruise",
    "100000027": "submarine",
    "100000028": "lute",
    "100000029": "Medical",
    "100000030": "Car carrier(======|",
    "100000031": "Ford-class",
    "100000032": "Midway-class",
    "100000033": "Invincible-class",
}

#: Default classes of the datasets.
CLASSES_OF: dict[str, tuple[str, ...]] = {
    "DOTADataset": DOTA_V1_0,
    "DOTAv15Dataset": DOTA_V1_5,
    "DOTAv2Dataset": DOTA_V2_0,
    "HRSCDataset": ("ship",),
    "DIORDataset": DIOR,
    "SARShipDataset": ("ship",),
    "SRSDDDataset": ("Container", "Dredger", "LawEnforce", "Cell-Container", "ore-oil", "Fishing"),
    "UCASAODDataset": ("car", "airplane"),
    "TextDataset": ("text",),
    "HITUAVDataset": ("Person", "Car", "Bicycle", "OtherVehicle"),
}

#: Keys of ``metainfo``. MMDetection draws with the palette; it has no effect here.
_METAINFO = ("classes", "left_out", "palette")


@dataclass(frozen=True)
class ClassSelection:
    """Classes that a config asks for.

    Attributes:
        classes: Class names in the order of the labels; None: those of the data, sorted.
        left_out: Class names whose objects are left out on purpose.
    """

    classes: tuple[str, ...] | None
    left_out: tuple[str, ...] = ()


def class_selection(metainfo: Mapping[str, Any] | None, own: Sequence[str] | None, root: Path) -> ClassSelection:
    """Reads ``metainfo`` of a dataset's config.

    ``classes`` is a tuple of names, or a string: one name, a file with one name per line (beside the data or in the
    working directory), or ``"auto"`` for the classes of the data. ``left_out`` names the classes of the data whose
    objects are left out on purpose.

    Args:
        metainfo: The ``metainfo`` of the dataset's config.
        own: Default classes of the dataset.
        root: Folder of the data.

    Raises:
        ValueError: For a value of another form, a repeated name, or a file that cannot be read.
    """
    if not isinstance(metainfo, Mapping | None):
        raise ValueError(f"metainfo: need dict(classes=...), got {metainfo!r}")
    for key in metainfo or ():
        if key not in _METAINFO:
            raise ValueError(f"metainfo takes no {key!r}{nearest(str(key).lower(), _METAINFO)}")
    says = dict(metainfo or {})
    left_out = _names("left_out", says["left_out"]) if says.get("left_out") else ()
    classes = says.get("classes")
    if classes is None:
        names = None if own is None else tuple(own)
    elif classes == "auto":
        names = None
    elif isinstance(classes, str):
        names = _names("classes", _lines(classes, root))
    else:
        names = _names("classes", classes)
    both = [name for name in left_out if name in (names or ())]
    if both and classes is not None:
        raise ValueError(f"metainfo: {both[0]!r} is in both classes and left_out")
    return ClassSelection(names, left_out)


def choose_classes(
    wanted: ClassSelection, found: Sequence[str], counts: NDArray[np.int64], where: Path, *, subset: bool
) -> tuple[tuple[str, ...], NDArray[np.int64], list[str]]:
    """Maps the class names in the data to labels.

    Args:
        wanted: Classes that the config asks for.
        found: Class names in the data.
        counts: Number of objects of each name, (len(found),).
        where: Path of the annotations, for messages.
        subset: Whether the data lists all its classes, so that the config may ask for some of them. Otherwise a class
            that has objects and is neither wanted nor left out is an error.

    Returns:
        The classes; the label of each name, (len(found),), −1 if left out; notices.

    Raises:
        ValueError: If the classes of the config and of the data do not match.
    """
    classes = wanted.classes
    if classes is None:
        classes = tuple(sorted(name for name in found if name not in wanted.left_out))
        if not classes:
            raise ValueError(f"{where}: lists no classes; name them in metainfo=dict(classes=...)")
    place = {name: label for label, name in enumerate(classes)}
    missing = [name for name in classes if name not in found]
    if subset and missing:
        known = ", ".join(found) or "none"
        raise ValueError(f"{where}: has no class {missing[0]!r}{nearest(missing[0], found)}; its classes are {known}")
    strangers = {n: int(c) for n, c in zip(found, counts, strict=True) if c and n not in place}
    unasked = [name for name in strangers if name not in wanted.left_out]
    if unasked and not subset:
        raise ValueError(f"{where}: {_stranger(unasked, strangers, classes)}")
    notices = []
    if strangers:
        said = ", ".join(f"{name} {count:,}" for name, count in strangers.items())
        notices.append(f"{where}: objects of other classes left out: {said}")
    idle = [name for name in classes if name in missing or not counts[found.index(name)]]
    if idle:
        notices.append(f"{where}: no object of {', '.join(idle)}")
    return classes, np.array([place.get(name, -1) for name in found], dtype=np.int64), notices


def first_names(names: Sequence[str]) -> str:
    """The first names of a list, in brackets, for messages."""
    return f"({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"


def _stranger(names: Sequence[str], counts: Mapping[str, int], classes: Sequence[str]) -> str:
    shown = ", ".join(f"{name!r} ({counts[name]:,})" for name in names[:5])
    more = f" and {len(names) - 5} more classes" if len(names) > 5 else ""
    some = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    left_out = ", ".join(map(repr, names[:5])) + ","
    return (
        f"objects of {shown}{more}, not among the classes of the dataset ({some}){nearest(names[0], classes)} Add the "
        f"name to metainfo=dict(classes=(...)), or leave its objects out: metainfo=dict(left_out=({left_out}))"
    )


def _lines(text: str, root: Path) -> list[str]:
    """The class names in a file; the text itself if it is one name."""
    for path in (root / text, Path(text)):
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"metainfo.classes: {path}: cannot be read: {error}") from None
            return [line.strip() for line in lines if line.strip()]
    if text.lower().endswith((".txt", ".names")) or "/" in text:
        raise ValueError(f"metainfo.classes: no such file: {root / text}")
    return [text]


def _names(key: str, names: Any) -> tuple[str, ...]:
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n.strip() for n in names):
        raise ValueError(f"metainfo.{key}: need names, such as ('plane', 'ship'), got {names!r}")
    if not names:
        raise ValueError(f"metainfo.{key}: need at least one name")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"metainfo.{key}: {twice[0]!r} occurs {names.count(twice[0])} times")
    return tuple(names)
