"""The command `rotx split`: sources, MMRotate's JSON files, options, and what is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from test_split import contents, write_images

from rotx.cli import main

LABEL = "10 10 40 10 40 30 10 30 ship 0\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["split", *map(str, arguments)])


def failure(*arguments: object) -> str:
    """The one line that a command says which fails for the user's fault."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    line = result.stderr.splitlines()
    assert len(line) == 1 and line[0].startswith("error: "), result.stderr
    return line[0]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_images(tmp_path / "set/images", {"P1": (150, 100), "P2": (70, 60)})
    (tmp_path / "set/labelTxt").mkdir()
    for name in ("P1", "P2"):
        (tmp_path / f"set/labelTxt/{name}.txt").write_text(LABEL)
    return tmp_path / "set"


@pytest.fixture
def config(source: Path, tmp_path: Path) -> dict[str, Any]:
    """What MMRotate's own files hold."""
    return {
        "nproc": 10,
        "img_dirs": [str(source / "images")],
        "ann_dirs": [str(source / "labelTxt")],
        "sizes": [100],
        "gaps": [50],
        "rates": [1.0],
        "img_rate_thr": 0.6,
        "iof_thr": 0.7,
        "no_padding": False,
        "padding_value": [104, 116, 124],
        "save_dir": str(tmp_path / "out"),
        "save_ext": ".png",
    }


def write(path: Path, config: Any) -> Path:
    path.write_text(json.dumps(config))
    return path


def settings(out: Path) -> dict[str, Any]:
    """With which a folder was made."""
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())["settings"]
    return found


def test_a_folder_in_dotas_layout_is_taken_as_such(source: Path, tmp_path: Path) -> None:
    result = run(source, tmp_path / "out", "--size", 100, "--gap", 50)
    assert result.exit_code == 0, result.output
    taken = f"{source}: using images from {source / 'images'} and annotations from {source / 'labelTxt'}"
    assert result.stdout.splitlines()[0] == taken
    assert "3 patches of 2 images; 2 objects appear 2 times on patches, 0 on none" in result.stdout
    assert (
        tmp_path / "out/annfiles/P1__100__0___0.txt"
    ).read_text() == "10.0 10.0 40.0 10.0 40.0 30.0 10.0 30.0 ship 0\n"
    assert "already complete" in run(source, tmp_path / "out", "--size", 100, "--gap", 50).stdout


def test_json_options_and_presets_mean_the_same(source: Path, config: dict[str, Any], tmp_path: Path) -> None:
    made = []
    for name, changes, options in [
        ("a", {}, []),
        ("b", {"sizes": [64], "gaps": [1], "save_dir": None}, ["--size", 100, "--gap", 50, "--jobs", 1]),
        ("c", {"padding_value": [9], "iof_thr": 0.1}, ["--padding-value", 104, 116, 124, "--iof-thr", 0.7]),
        ("d", {"no_padding": True}, []),
        ("e", {}, ["--no-padding"]),
    ]:
        file = write(tmp_path / f"{name}.json", config | changes)
        result = run(file, tmp_path / f"out_{name}", *options)
        assert result.exit_code == 0, result.output
        made.append(contents(tmp_path / f"out_{name}"))
    assert made[0] == made[1] == made[2] != made[3]
    assert made[3] == made[4]
    assert run(write(tmp_path / "f.json", config)).exit_code == 0
    assert contents(tmp_path / "out") == made[0]
    assert run(source, tmp_path / "zero", "--iof-thr", 0, "--img-rate-thr", 0).exit_code == 0
    assert settings(tmp_path / "zero") | {"iof_thr": 0, "img_rate_thr": 0} == settings(tmp_path / "zero")
    for preset in ("dota1.0-ms", "dota2.0-ms"):
        assert run(source, tmp_path / preset, "--preset", preset).exit_code == 0
        assert settings(tmp_path / preset)["rates"] == [0.5, 1.0, 1.5]
        assert settings(tmp_path / preset)["gaps"] == [500]


def test_what_a_json_leaves_out_is_as_in_mmrotate(source: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "few.json", {"img_dirs": [str(source / "images")], "save_dir": str(tmp_path / "out")})
    assert run(file).exit_code == 0
    made = settings(tmp_path / "out")
    assert (made["sizes"], made["gaps"], made["padding_value"]) == ([1024], [512], [0, 0, 0])
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["images", "manifest.json"]


def test_several_folders_some_without_annotations(source: Path, config: dict[str, Any], tmp_path: Path) -> None:
    write_images(tmp_path / "more", {"Q1": (100, 100)})
    config["img_dirs"].append(str(tmp_path / "more"))
    assert "ann_dirs: need one for each of 2 img_dirs, got 1" in failure(write(tmp_path / "c.json", config))
    config["ann_dirs"].append(None)
    assert run(write(tmp_path / "c.json", config)).exit_code == 0
    assert (tmp_path / "out/annfiles/Q1__100__0___0.txt").read_bytes() == b""
    write_images(tmp_path / "more", {"P1": (100, 100)})
    said = failure(write(tmp_path / "c.json", config | {"save_dir": str(tmp_path / "other")}))
    assert "P1.png: two images of one name would write the same patches" in said
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gap": [200]}, "unknown key 'gap': did you mean 'gaps'?"),
        ({"save_ext": ".tif"}, "save_ext: need .png or .jpg, got '.tif'"),
        ({"img_dirs": None}, "img_dirs: need the folders of the images"),
        ({"img_dirs": "images"}, "img_dirs: need a list of paths, got 'images'"),
        ({"sizes": 1024}, "sizes: need a list of numbers, got 1024"),
        ({"sizes": ["1024"]}, "sizes: need whole numbers up to 1,000,000,000, got '1024'"),
        ({"gaps": [200, 300]}, "gaps: need one for each of 1 sizes, got 2"),
        ({"nproc": 0}, "nproc: need a whole number from 1, got 0"),
        ({"save_dir": 3}, "save_dir: need a path, got 3"),
        ({"save_dir": None}, "OUT: missing; name the folder to write"),
        ({"img_dirs": ["/nowhere/at/all"]}, "/nowhere/at/all: No such file or directory"),
        ({"ann_dirs": ["/nowhere/at/all"]}, "/nowhere/at/all: no such file or folder"),
    ],
)
def test_a_wrong_json_is_one_line(config: dict[str, Any], changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in failure(write(tmp_path / "c.json", config | changes))
    assert not (tmp_path / "out").exists()


def test_wrong_arguments_are_one_line(source: Path, config: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "broken.json").write_text("{'sizes': [1]}")
    assert "is not JSON" in failure(tmp_path / "broken.json")
    assert "need an object with keys" in failure(write(tmp_path / "list.json", []))
    assert "c.json sets it already; leave one of them out" in failure(
        write(tmp_path / "c.json", config), out, "--ann", source
    )
    assert "c.json sets it already; leave one of them out" in failure(
        tmp_path / "c.json", out, "--preset", "dota1.0-ss"
    )
    assert "unknown preset 'dota1-ss'; choose one of dota1.0-ss, dota1.0-ms, dota1.5-ss" in failure(
        source, out, "--preset", "dota1-ss"
    )
    assert "OUT: missing; name the folder to write" in failure(source)
    (tmp_path / "none").mkdir()
    (tmp_path / "none/notes.txt").touch()
    assert "none: no image (.png .jpg" in failure(tmp_path / "none", out)
    (source / "labelTxt/P2.txt").write_text("10 10 40 10 40 30 10 x ship 0\n")
    assert "P2.txt:1" in failure(source, out)
    assert not out.exists()


def test_failed_images_are_named_at_the_end(source: Path, tmp_path: Path) -> None:
    (source / "images/P2.png").write_bytes(b"")
    result = run(source, tmp_path / "out", "--size", 100, "--gap", 50)
    assert result.exit_code == 1
    first, last = result.stderr.strip().splitlines()[-2:]
    assert first == "error: P2.png: is empty"
    assert last == "error: 1 of 2 images failed; run the same command again to retry them"


def test_names_of_any_kind(tmp_path: Path) -> None:
    names = ["P1__100__0___0", "an image", "图像 é", "a.b"]
    images = write_images(tmp_path / "in", dict.fromkeys(names, (100, 60)))
    (tmp_path / "in/upper.PNG").write_bytes((tmp_path / "in/a.b.png").read_bytes())
    (tmp_path / "in/a.gif").touch()
    (tmp_path / "in/.hidden.png").touch()
    (tmp_path / "labels").mkdir()
    for name in names:
        (tmp_path / f"labels/{name}.txt").write_text(LABEL)
    result = run(tmp_path / "in", tmp_path / "out dir", "--ann", tmp_path / "labels", "--size", 60, "--gap", 20)
    assert result.exit_code == 0, result.output
    assert "1 other files skipped: a.gif" in result.stdout
    assert "1 images have names of patches: P1__100__0___0; in the names of their patches the last" in result.stdout
    for name, pixels in images.items():
        patch = tmp_path / f"out dir/images/{name}__60__40___0.png"
        content = np.frombuffer(patch.read_bytes(), np.uint8)
        np.testing.assert_array_equal(cv2.imdecode(content, cv2.IMREAD_COLOR), pixels[:, 40:])
        assert (tmp_path / f"out dir/annfiles/{name}__60__0___0.txt").read_text().endswith(" ship 0\n")
    assert (tmp_path / "out dir/images/upper__60__0___0.png").exists()
    manifest = (tmp_path / "out dir/manifest.json").read_text(encoding="utf-8")
    assert "图像 é.png" in manifest


def test_a_journal_with_a_torn_line_is_taken_up(source: Path, tmp_path: Path) -> None:
    command = source, tmp_path / "out", "--size", 100, "--gap", 50
    assert run(*command).exit_code == 0
    whole = contents(tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    lines = [json.dumps({"settings": manifest["settings"]}), *map(json.dumps, manifest["images"])]
    (tmp_path / "out/manifest.json").unlink()
    (tmp_path / "out/journal.jsonl").write_text("\n".join(lines)[:-20])
    (tmp_path / "out/images/.P2__100__0___0.png.tmp").write_bytes(b"half")
    (tmp_path / "out/.manifest.json.x1y2").write_bytes(b"half")
    result = run(*command)
    assert "1 images were split by an earlier run" in result.stdout
    assert contents(tmp_path / "out") == whole


def test_it_needs_no_torch(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from rotx.cli import main\n"
        "try: main()\nexcept SystemExit as end: code = end.code\n"
        "sys.exit('torch' if 'torch' in sys.modules else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, "split", str(source), str(tmp_path / "out")], check=False)
    assert done.returncode == 0
