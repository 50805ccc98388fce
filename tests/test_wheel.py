"""The wheel installs without a compiler and without torch, and scores a set there."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CUDA = "python/rotx/_lib/rotx_cuda.so"


def call(*command: object, **options: object) -> str:
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900, **options)
    assert result.returncode == 0, f"{command}: {result.stdout[-2000:]}{result.stderr[-4000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # maturin looks for zig, a package of the same environment, through the python that it finds first.
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    build = [tools / "maturin", "build", "--release", "--zig", "--compatibility", "manylinux_2_28"]
    call(*build, "--out", folder, cwd=ROOT, env=environment)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="manylinux wheels are built on Linux")
def test_wheel_is_abi3_and_manylinux(wheel: Path) -> None:
    assert "-cp310-abi3-manylinux_2_28_" in wheel.name
    shown = call(sys.executable, "-m", "auditwheel", "show", wheel)
    # In quotes: of what the wheel's libraries ask for, not of its name.
    assert f'"manylinux_2_28_{platform.machine()}"' in shown.replace("\n", " ")
    names = zipfile.ZipFile(wheel).namelist()
    assert "rotx/_rust.abi3.so" in names and "rotx/py.typed" in names and "rotx/_rust.pyi" in names
    assert "rotx/evaluation/report.html.jinja" in names
    assert not [n for n in names if n.startswith("tests/") or n.endswith((".png", ".jpg"))]
    assert any(n.endswith("LICENSE") for n in names) and any(n.endswith("NOTICE") for n in names)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / CUDA).is_file(), reason="the CUDA library is not built: run `make cuda`")
def test_wheel_carries_the_cuda_library(wheel: Path) -> None:
    file = zipfile.ZipFile(wheel).getinfo("rotx/_lib/rotx_cuda.so")
    assert file.file_size == (ROOT / CUDA).stat().st_size
    assert file.compress_size < 3e6


@pytest.mark.slow
def test_source_distribution_carries_the_kernels(tmp_path: Path) -> None:
    call(sys.executable, "-m", "maturin", "sdist", "--out", tmp_path, cwd=ROOT)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "cuda").glob("*.*")} <= names
    assert not [name for name in names if name.endswith(".so") or name.startswith("tests/")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="manylinux wheels are built on Linux")
def test_wheel_scores_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    call(home / "bin/python", "-m", "pip", "install", "--quiet", wheel, env=environment)
    installed = call(home / "bin/python", "-m", "pip", "list", "--format", "json", env=environment)
    names = {package["name"].lower() for package in json.loads(installed)}
    needed = {"rotx", "numpy", "opencv-python", "click", "tqdm", "filelock", "jinja2", "markupsafe", "pyyaml"}
    assert needed <= names <= needed | {"pip", "setuptools"}

    (tmp_path / "labelTxt").mkdir()
    (tmp_path / "Task1").mkdir()
    (tmp_path / "labelTxt/P1.txt").write_text("0 0 9 0 9 9 0 9 plane 0\n")
    (tmp_path / "Task1/Task1_plane.txt").write_text("P1 0.9 0 0 9 0 9 9 0 9\n")
    command = [home / "bin/rotx-eval", "score", tmp_path / "labelTxt", tmp_path / "Task1", "--classes", "plane"]
    call(*command, "--json", tmp_path / "o.json", cwd=tmp_path, env=environment)
    assert json.loads((tmp_path / "o.json").read_text())["map"] == pytest.approx(1)

    for name, extra, command in (
        ("rotx.ops", "rotx[train]", [home / "bin/python", "-c", "import rotx.ops"]),
        ("train", "rotx[train]", [home / "bin/rotx-train", "config.py"]),
    ):
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
        assert result.returncode != 0 and extra in result.stderr, name
    report = [home / "bin/rotx-eval", "score", tmp_path / "labelTxt", tmp_path / "Task1", "--classes", "plane"]
    result = subprocess.run(
        [*map(str, report), "--report", str(tmp_path / "report")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert result.returncode == 0 and "rotx[plots]" in result.stderr, result.stderr
    assert (tmp_path / "report/index.html").is_file()
