"""The baseline of the bench of conversion: what one writes first, with xml.etree, tarfile and json.

python tests/benches/xml_loop.py dota SOURCE OUT     a folder of labelTxt files
python tests/benches/xml_loop.py coco SOURCE OUT     one file
python tests/benches/xml_loop.py nothing SOURCE      only reads the members of an archive: the floor of one

SOURCE is a folder of DIOR-R's xml, or the archive of all of it.
"""

from __future__ import annotations

import json
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

Row = tuple[str, list[float], str]


def members(source: Path) -> Iterator[tuple[str, bytes]]:
    """The xml files: names and contents."""
    if source.is_dir():
        for path in sorted(source.iterdir()):
            yield path.name, path.read_bytes()
        return
    with tarfile.open(source) as archive:
        for info in archive:
            file = archive.extractfile(info)
            if file and info.name.endswith(".xml"):
                yield Path(info.name).name, file.read()


def dota(source: Path, out: Path) -> None:
    """Writes a file an image."""
    out.mkdir(parents=True)
    for name, text in members(source):
        lines = [
            " ".join(f"{v:.1f}" for v in corners(thing)) + f" {thing.findtext('name')} {thing.findtext('difficult')}\n"
            for thing in ET.fromstring(text).iter("object")
        ]
        (out / name).with_suffix(".txt").write_text("".join(lines))


def coco(source: Path, out: Path) -> None:
    """Writes one file."""
    images, things, labels = [], [], dict[str, int]()
    for _, text in members(source):
        root = ET.fromstring(text)
        size = {key: int(root.findtext(f"size/{key}", "0")) for key in ("width", "height")}
        images.append({"id": len(images) + 1, "file_name": root.findtext("filename"), **size})
        for thing in root.iter("object"):
            quad = corners(thing)
            xs, ys = quad[::2], quad[1::2]
            across = (xs[2] - xs[0]) * (ys[3] - ys[1]) - (ys[2] - ys[0]) * (xs[3] - xs[1])
            label = labels.setdefault(thing.findtext("name", ""), len(labels) + 1)
            things.append(
                {
                    "id": len(things) + 1,
                    "image_id": len(images),
                    "category_id": label,
                    "segmentation": [quad],
                    "bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)],
                    "area": abs(across) / 2,
                    "iscrowd": 0,
                    "difficult": int(thing.findtext("difficult", "0")),
                }
            )
    categories = [{"id": label, "name": name} for name, label in labels.items()]
    out.write_text(json.dumps({"images": images, "categories": categories, "annotations": things}))


def corners(thing: ET.Element) -> list[float]:
    """The corners of an object of DIOR-R."""
    shape = thing.find("robndbox")
    return [] if shape is None else [float(v.text or "") for v in shape]


if __name__ == "__main__":
    to, source, *out = sys.argv[1:]
    if to == "nothing":
        print(sum(len(text) for _, text in members(Path(source))))
    else:
        {"dota": dota, "coco": coco}[to](Path(source), Path(*out))
