"""Names from files as paths inside an output folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotx.atomic import path_inside, paths_inside

NAMES = [
    "a",
    "b/a",
    "../a",
    "../b/a",
    "../../a",
    "/a",
    "//host/a",
    "C:/a",
    "C:\\a",
    "b\\a",
    "..\\..\\a",
    "a\0b",
    "a\nb",
    "a_b",
    "con",
    "NUL.png",
    "a.",
    "a ",
    "..",
    "",
    "x" * 300,
    "x" * 299 + "y",
    "é" * 200,
    "a?b",
    "a*b",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_stays_inside(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    path = path_inside(folder, name, ".jpg")
    assert path.suffix == ".jpg" and path.resolve().is_relative_to(folder.resolve()) and path.parent != tmp_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    assert max(len(part.encode()) for part in path.parts) <= 255


def test_names_stay_apart(tmp_path: Path) -> None:
    """But for roots and what has no name at all."""
    names = [name for name in NAMES if name not in ("..", "/a", "b\\a", "..\\..\\a", "C:\\a")]
    assert len({path_inside(tmp_path, name) for name in names}) == len(names)


def test_no_two_names_share_a_path(tmp_path: Path) -> None:
    names = [*NAMES, "A", "_/a", "a\ud800b", "a_2"]
    paths = paths_inside(tmp_path, names, ".jpg")
    assert len({str(path).lower() for path in paths}) == len(names)
    assert paths[0] == tmp_path / "a.jpg" and all(path.resolve().is_relative_to(tmp_path.resolve()) for path in paths)


def test_plain_names_are_kept(tmp_path: Path) -> None:
    for name in ("P0001__1024__0___0", "train/a b", "ünïcode", ".hidden"):
        assert path_inside(tmp_path, name, ".jpg") == tmp_path / f"{name}.jpg"


def test_links_that_lead_out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b").symlink_to(tmp_path)
    (tmp_path / "out/c.jpg").symlink_to(tmp_path / "precious.jpg")
    for name in ("b/a", "c"):
        with pytest.raises(ValueError, match="a link leads out of"):
            path_inside(tmp_path / "out", name, ".jpg")
