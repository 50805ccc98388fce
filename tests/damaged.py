"""Damaged data sets: each made from a good one by one change, with what must be said about it.

`make` gets an empty folder and returns the annotations' and the results' path; if it writes
``images.txt`` into the folder, that is the list of images.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LABELS = {
    "P0001.txt": "imagesource:GoogleEarth\ngsd:0.15\n10 10 50 10 50 40 10 40 plane 0\n"
    "100 100 150 100 150 140 100 140 ship 1\n",
    "P0002.txt": "10 10 50 10 50 40 10 40 ship 0\n",
}
RESULTS = {
    "Task1_plane.txt": "P0001 0.9 10 10 50 10 50 40 10 40\nP0002 0.3 1 1 5 1 5 4 1 4\n",
    "Task1_ship.txt": "P0001 0.8 100 100 150 100 150 140 100 140\nP0002 0.7 10 10 50 10 50 40 10 40\n",
}
TASK2 = {"Task2_plane.txt": "P0001 0.9 10 10 50 40\n", "Task2_ship.txt": "P0002 0.7 10 10 50 40\n"}
ICDAR = {
    "gt_img_1.txt": "1,2,30,4,35,26,7,28,one, two\n1,2,3,4,5,6,7,8,###\n",
    "gt_img_2.txt": "1,2,3,4,5,6,7,8,a\n",
}
ICDAR_RESULTS = {"res_img_1.txt": "1,2,30,4,35,26,7,28\n", "res_img_2.txt": "1,2,3,4,5,6,7,8\n"}
XML = (
    "<annotation><object><name>plane</name><difficult>0</difficult><robndbox><cx>10</cx><cy>10</cy><w>8</w><h>4</h>"
    "<angle>0.1</angle></robndbox></object></annotation>"
)
FLAT = "P0001 10 10 50 10 50 40 10 40 plane 0\nP0002 10 10 50 10 50 40 10 40 ship 0\n"
GGHL = "/x/P0001.png 1,2,3,4,0,1,2,3,4,5,6,7,8,0.5,10\n/x/P0002.png 1,2,3,4,1,1,2,3,4,5,6,7,8,0.5,10\n"

Content = str | bytes
Files = dict[str, Content]
Make = Callable[[Path], tuple[Path, Path]]


@dataclass(frozen=True)
class Case:
    name: str
    make: Make
    fragments: tuple[str, ...]
    """What the error says; none: the files are fine as they are."""
    lenient_ok: bool = True
    """Whether lenient reading skips and counts it instead."""
    task: int = 1
    not_as_root: bool = False


def write(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def data_set(root: Path, labels: Files | None = None, results: Files | None = None) -> tuple[Path, Path]:
    """The good data set, with the files given instead of or beside its own."""
    return (
        write(root / "labelTxt", {**LABELS, **(labels or {})}),
        write(root / "Task1", {**RESULTS, **(results or {})}),
    )


CASES: list[Case] = []


def case(name: str, make: Make, *fragments: str, lenient: bool = True, task: int = 1, root: bool = True) -> None:
    CASES.append(Case(name, make, fragments, lenient, task, not root))


def label(name: str, content: Content, *fragments: str) -> None:
    """A case of one other label file."""
    case(f"label: {name}", lambda root: data_set(root, {"P0002.txt": content}), *fragments)


def result(name: str, content: Content, *fragments: str) -> None:
    """A case of one other result file."""
    case(f"result: {name}", lambda root: data_set(root, None, {"Task1_ship.txt": content}), *fragments)


GOOD = "10 10 50 10 50 40 10 40 ship 0\n"
for _name, _line, *_fragments in [
    ("truncated line", "10 10 50 10 50", "5 columns", "need 9 or 10"),
    ("7 columns", "10 10 50 10 50 40 ship", "7 columns"),
    ("11 columns", "10 10 50 10 50 40 10 40 ship 0 9", "11 columns"),
    ("class in two words", "10 10 50 10 50 40 10 40 large vehicle 0", "11 columns"),
    ("class missing", "10 10 50 10 50 40 10 40 0", "class missing"),
    ("letters", "10 abc 50 10 50 40 10 40 ship 0", "coordinate 'abc' is not a number"),
    ("decimal comma", "10,5 10 50 10 50 40 10 40 ship 0", "'10,5' is not a number"),
    ("hexadecimal", "0x10 10 50 10 50 40 10 40 ship 0", "'0x10' is not a number"),
    ("NaN", "10 nan 50 10 50 40 10 40 ship 0", "'nan' is not finite"),
    ("inf", "10 -inf 50 10 50 40 10 40 ship 0", "'-inf' is not finite"),
    ("overflow", "10 1e999 50 10 50 40 10 40 ship 0", "'1e999' is not finite"),
    ("huge number", "10 10 50 10 50 40 10 4000000000 ship 0", "is huge"),
    ("difficulty 3", "10 10 50 10 50 40 10 40 ship 3", "difficulty '3' is not 0, 1 or 2"),
    ("difficulty word", "10 10 50 10 50 40 10 40 ship hard", "difficulty 'hard'"),
    ("NUL in class", "10 10 50 10 50 40 10 40 sh\0p 0", "NUL bytes"),
    ("class not UTF-8", b"10 10 50 10 50 40 10 40 sh\xffp 0", "class name is not UTF-8"),
    ("unknown words", "hello world", "2 columns"),
]:
    _bytes = _line if isinstance(_line, bytes) else _line.encode()
    if b"\0" in _bytes:  # far enough down the file not to be taken for a binary one
        label(_name, GOOD.encode() * 200 + _bytes, "P0002.txt:201: ", *_fragments)
    else:
        label(_name, GOOD.encode() + b"\n" + _bytes + b"\n" + GOOD.encode(), "P0002.txt:3: ", *_fragments)

label("UTF-16", GOOD.encode("utf-16"), "P0002.txt: is UTF-16 text")
label("UTF-16 without mark", GOOD.encode("utf-16-be"), "P0002.txt: is UTF-16 text")
label("binary", bytes(range(256)) * 20, "P0002.txt: is binary data")
label("BOM", b"\xef\xbb\xbf" + GOOD.encode())
label("CRLF", GOOD.replace("\n", "\r\n") * 2)
label("empty", b"")
label("blank lines", "\n \t\n" + GOOD + "\n\n")
label("tabs, no difficulty, no last newline", "10\t10  50 10 50 40 10 40 \t ship")
label("float difficulty", "10 10 50 10 50 40 10 40 ship 1.0 \n")
label("headers without value", "imagesource:\nGSD:\n" + GOOD)

for _name, _line, *_fragments in [
    ("truncated line", "P0001 0.5 100 100 15", "5 columns", "need 10"),
    ("11 columns", "P0001 0.5 1 2 3 4 5 6 7 8 9", "11 columns"),
    ("only a name", "P0001", "1 column, need 10"),
    ("letters", "P0001 0.5 1 2 3 4 x 6 7 8", "coordinate 'x' is not a number"),
    ("score word", "P0001 high 1 2 3 4 5 6 7 8", "score 'high' is not a number"),
    ("score NaN", "P0001 NaN 1 2 3 4 5 6 7 8", "score 'NaN' is not finite"),
    ("score inf", "P0001 inf 1 2 3 4 5 6 7 8", "score 'inf' is not finite"),
    ("coordinate NaN", "P0001 0.5 1 2 3 4 5 6 7 nan", "coordinate 'nan' is not finite"),
    ("huge number", "P0001 0.5 1 2 3 4 5 6 7 1e10", "is huge"),
    ("unknown image", "P9999 0.5 1 2 3 4 5 6 7 8", "image 'P9999' is not in the annotations"),
    ("image with suffix", "P0001.png 0.5 1 2 3 4 5 6 7 8", "'P0001' is: leave the rest out"),
    ("patch name", "P0001__1024__0___824 0.5 1 2 3 4 5 6 7 8", "merge the patches"),
    ("patch name of the devkit", "P0001__1.0__254___0 0.5 1 2 3 4 5 6 7 8", "merge the patches"),
    ("image not UTF-8", b"P\xff\xfe 0.5 1 2 3 4 5 6 7 8", "image name is not UTF-8"),
]:
    _bytes = _line if isinstance(_line, bytes) else _line.encode()
    result(_name, RESULTS["Task1_ship.txt"].encode() + _bytes + b"\n", "Task1_ship.txt:3: ", *_fragments)

result("UTF-16", RESULTS["Task1_ship.txt"].encode("utf-16"), "Task1_ship.txt: is UTF-16 text")
result("binary", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(1000), "Task1_ship.txt: is binary data")
result("BOM, CRLF, no last newline", b"\xef\xbb\xbfP0001 0.5 1 2 3 4 5 6 7 8\r\nP0002 0.5 1 2 3 4 5 6 7 8")
result("empty", b"")
result("blank last line", RESULTS["Task1_ship.txt"] + "\n\n")

case(
    "result: unknown class",
    lambda root: data_set(root, None, {"Task1_plan.txt": RESULTS["Task1_plane.txt"]}),
    *("Task1_plan.txt: unknown class 'plan'", "did you mean 'plane'"),
)
case(
    "other files in the folder",
    lambda root: data_set(root, {"README.txt": "words"}, {"README.md": "words", "notes.json": "{}", ".x.txt": b"\0"}),
)


def _task2(content: str) -> Make:
    def make(root: Path) -> tuple[Path, Path]:
        return data_set(root)[0], write(root / "Task2", {**TASK2, "Task2_ship.txt": content})

    return make


case(
    "task 2: 10 columns",
    _task2("P0001 0.5 1 2 3 4 5 6 7 8\n"),
    "Task2_ship.txt:1: 10 columns, need 6",
    task=2,
)
case("task 2 read as task 1", _task2(""), "these are results of task 2", lenient=False)


# Annotations in other formats, with results that fit.
def _other(files: Files, results: Files = RESULTS) -> Make:
    return lambda root: (write(root / "gt", files), write(root / "results", results))


def _icdar(line: str) -> Make:
    return _other({**ICDAR, "gt_img_2.txt": line}, ICDAR_RESULTS)


case("icdar: good", _other(dict(ICDAR), ICDAR_RESULTS))
case("icdar: no transcription", _icdar("1,2,3,4,5,6,7,8\n"), "gt_img_2.txt:1: 8 columns, need 9")
case("icdar: 7 numbers", _icdar("1,2,3,4,5,6,7,word\n"), "gt_img_2.txt:1: coordinate 'word' is not a number")
case("icdar: number missing", _icdar("1,2,3,,5,6,7,8,word\n"), "gt_img_2.txt:1: coordinate missing")
case(
    "icdar: result with 7 numbers",
    _other(dict(ICDAR), {**ICDAR_RESULTS, "res_img_2.txt": "1,2,3,4,5,6,7\n"}),
    "res_img_2.txt:1: 7 columns, need 8 numbers",
)
case(
    "icdar: result for an unknown image",
    _other(dict(ICDAR), {**ICDAR_RESULTS, "res_img_3.txt": "1,2,3,4,5,6,7,8\n"}),
    "res_img_3.txt:1: image 'img_3' is not in the annotations",
)


def _xml(content: Content) -> Make:
    plane = {"Task1_plane.txt": RESULTS["Task1_plane.txt"]}
    return _other({"P0001.xml": XML, "P0002.xml": content}, plane)


case("xml: good", _xml(XML))
case("xml: cut off", _xml(XML[:-30]), "P0002.xml: is not well-formed xml")
case(
    "xml: entity bomb",
    _xml('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'),
    "P0002.xml",
    "xml: ",
)
case("xml: something else", _xml("<html></html>"), "P0002.xml: starts with <html>")
case("xml: empty", _xml(""), "P0002.xml: is not well-formed xml")
case("xml: UTF-16", _xml(XML.encode("utf-16")), "P0002.xml: is UTF-16 text")
case("xml: no name", _xml(XML.replace("plane", " ")), "P0002.xml:1: <name> missing")
case(
    "xml: no box",
    _xml("<annotation>\n<object><name>plane</name></object></annotation>"),
    "P0002.xml:2: an object needs",
)
case(
    "xml: letters",
    _xml(XML.replace("<w>8<", "<w>wide<")),
    "P0002.xml:1: <w>: coordinate 'wide' is not a number",
)
case("xml: NaN", _xml(XML.replace("0.1", "nan")), "P0002.xml:1: <angle>: coordinate 'nan' is not finite")


def _one_file(content: Content, name: str = "all.txt") -> Make:
    def make(root: Path) -> tuple[Path, Path]:
        write(root, {name: content})
        lines = "P0001 0.9 10 10 50 10 50 40 10 40\n"
        numbered = isinstance(content, str) and content.startswith("/x/")
        results = {"Task1_0.txt" if numbered else "Task1_ship.txt": lines}
        return root / name, write(root / "Task1", results)

    return make


case("flat: good", _one_file(FLAT))
case("flat: truncated", _one_file(FLAT + "P0002 1 2 3\n"), "all.txt:3: 4 columns, need 10 or 11")
case("flat: letters", _one_file(FLAT + "P0002 1 2 3 x 5 6 7 8 ship 0\n"), "all.txt:3: coordinate 'x'")
case("gghl: good", _one_file(GGHL))
case("gghl: duplicate image", _one_file(GGHL + GGHL), "all.txt:3: image 'P0001' comes twice, first on line 1")
case("gghl: truncated", _one_file(GGHL + "/x/3.png 1,2,3,4,0,1,2\n"), "all.txt:3: 7 columns, need 13 to 15")
case("gghl: letters", _one_file(GGHL + "/x/3.png 1,2,3,4,0,1,2,3,4,5,6,7,z\n"), "all.txt:3: coordinate 'z'")
case("one file: one label file", _one_file(GOOD), "all.txt: is the labelTxt file of one image", lenient=False)
case("one file: no known format", _one_file("hello\nworld\n"), "no known format; looked for", lenient=False)
case("one file: broken gzip", _one_file(b"\x1f\x8b\x08\0broken", "all.txt.gz"), "all.txt.gz: ", lenient=False)


# The list of images.
def _listed(content: Content, labels: Files | None = None) -> Make:
    def make(root: Path) -> tuple[Path, Path]:
        write(root, {"images.txt": content})
        return data_set(root, labels)

    return make


case("list: good, in part", _listed("x/P0002.png\r\n\n"))
case("list: duplicate image", _listed("P0001\nP0002\nP0001\n"))
case("list: missing image", _listed("P0001\nP0003\n"), "images.txt:2: image 'P0003' has no annotation in")
case("list: empty", _listed("\n"), "images.txt: no image name in it", lenient=False)
case("list: UTF-16", _listed("P0001\n".encode("utf-16")), "images.txt: is UTF-16 text", lenient=False)
case("list: another data set", _listed("A\nB\n"), "none of its images has an annotation", lenient=False)


# What is not there, or is not what it seems.
def _instead(which: str, replace: Callable[[Path], object]) -> Make:
    def make(root: Path) -> tuple[Path, Path]:
        paths = data_set(root)
        path = root / which
        if path.is_dir():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        else:
            path.unlink()
        replace(path)
        return paths

    return make


def _loop(path: Path) -> None:
    path.symlink_to(path.with_suffix(".2"))
    path.with_suffix(".2").symlink_to(path)


def _locked(path: Path) -> None:
    path.write_text(GOOD)
    path.chmod(0)


case(
    "no annotations",
    _instead("labelTxt", lambda path: None),
    "labelTxt: no such file or folder",
    lenient=False,
)
case("no results", _instead("Task1", lambda path: None), "Task1: no such file or folder", lenient=False)
case(
    "annotations: empty folder",
    _instead("labelTxt", Path.mkdir),
    "labelTxt: no .txt or .xml file",
    lenient=False,
)
case("results: empty folder", _instead("Task1", Path.mkdir), "Task1: no .txt or .xml file", lenient=False)
case(
    "results: a file",
    _instead("Task1", lambda path: path.write_text("x")),
    "Task1: need a folder",
    lenient=False,
)
case(
    "annotations: a pipe",
    _instead("labelTxt", os.mkfifo),
    "neither a folder nor a regular file",
    lenient=False,
)
case("label file: a folder", _instead("labelTxt/P0002.txt", Path.mkdir), "P0002.txt: is a folder, not a file")
case("result file: a folder", _instead("Task1/Task1_ship.txt", Path.mkdir), "Task1_ship.txt: is a folder")
case("label file: a pipe", _instead("labelTxt/P0001.txt", os.mkfifo), "P0001.txt: is not a regular file")
case(
    "result file: a pipe",
    _instead("Task1/Task1_plane.txt", os.mkfifo),
    "Task1_plane.txt: is not a regular file",
)
case(
    "label file: dangling link",
    _instead("labelTxt/P0001.txt", lambda p: p.symlink_to("no")),
    "cannot be read: No such",
)
case("label file: a circle of links", _instead("labelTxt/P0001.txt", _loop), "P0001.txt: cannot be read: ")
case(
    "label file: locked",
    _instead("labelTxt/P0001.txt", _locked),
    "cannot be read: Permission denied",
    root=False,
)


# Archives.
def _zip(edit: Callable[[zipfile.ZipFile], object]) -> Make:
    def make(root: Path) -> tuple[Path, Path]:
        annotations, _ = data_set(root)
        with zipfile.ZipFile(root / "r.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in RESULTS.items():
                archive.writestr(name, content)
            edit(archive)
        return annotations, root / "r.zip"

    return make


def _zip_link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("Task1_link.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def _zip_twice(archive: zipfile.ZipFile) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("Task1_ship.txt", "")


def _edited_zip(edit: Callable[[bytes], bytes]) -> Make:
    def make(root: Path) -> tuple[Path, Path]:
        annotations, results = _zip(lambda archive: None)(root)
        results.write_bytes(edit(results.read_bytes()))
        return annotations, results

    return make


def _encrypted(content: bytes) -> bytes:
    """Sets the encryption bit in the central directory."""
    at = content.index(b"PK\x01\x02") + 8
    return content[:at] + b"\x01" + content[at + 1 :]


def _tar(*members: tarfile.TarInfo) -> Make:
    def make(root: Path) -> tuple[Path, Path]:
        annotations, _ = data_set(root)
        with tarfile.open(root / "r.tar.gz", "w:gz") as archive:
            for info in members:
                archive.addfile(info, io.BytesIO(bytes(info.size)))
        return annotations, root / "r.tar.gz"

    return make


def _member(name: str, size: int = 0, type: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, type, "/etc/passwd"
    return info


case("zip: good", _zip(lambda archive: archive.writestr("__MACOSX/._Task1_plane.txt", b"\0")))
case("zip: path traversal", _zip(lambda a: a.writestr("../Task1_x.txt", "")), "points outside", lenient=False)
case("zip: absolute path", _zip(lambda a: a.writestr("/etc/Task1_x.txt", "")), "points outside", lenient=False)
case("zip: backslashes", _zip(lambda a: a.writestr("a\\..\\..\\x.txt", "")), "points outside", lenient=False)
case("zip: link", _zip(_zip_link), "Task1_link.txt: is a link", lenient=False)
case("zip: duplicate member", _zip(_zip_twice), "'Task1_ship.txt' occurs twice", lenient=False)
case("zip: bomb", _zip(lambda a: a.writestr("Task1_x.txt", bytes(20 << 20))), "a zip bomb", lenient=False)
case(
    "zip: letters",
    _zip(lambda a: a.writestr("Task1_cat.txt", "")),
    "r.zip/Task1_cat.txt: unknown class 'cat'",
)
case(
    "zip: two folders",
    _zip(lambda a: a.writestr("b/x.txt", "") or a.writestr("c/Task1_x.txt", "")),
    "more than one folder",
    lenient=False,
)
case("zip: encrypted", _edited_zip(_encrypted), "is encrypted", lenient=False)
case(
    "zip: cut off",
    _edited_zip(lambda content: content[: len(content) // 2]),
    "r.zip: broken archive",
    lenient=False,
)
case(
    "zip: damaged",
    _edited_zip(lambda content: content[:40] + b"XXXX" + content[44:]),
    "r.zip: ",
    lenient=False,
)
case("zip: no zip", _edited_zip(lambda content: b"hello"), "r.zip: broken archive", lenient=False)
case("tar: path traversal", _tar(_member("../Task1_x.txt")), "points outside", lenient=False)
case("tar: link", _tar(_member("Task1_x.txt", type=tarfile.SYMTYPE)), "is a link", lenient=False)
case(
    "tar: device",
    _tar(_member("Task1_x.txt", type=tarfile.CHRTYPE)),
    "is a link or not a regular file",
    lenient=False,
)
case("tar: bomb", _tar(_member("Task1_x.txt", 40 << 20)), "a zip bomb", lenient=False)
case("tar: empty", _tar(), "no .txt or .xml file", lenient=False)
