"""The command-line tools: what they print, write and exit with."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from damaged import CASES, Case
from rotx.cli import main as rotx_main
from rotx.cli import user_errors
from rotx.cli.eval import main as eval_main

SQUARE = "{0} {0} {1} {0} {1} {1} {0} {1}"


def run(*arguments: object, tool: str = "eval") -> subprocess.CompletedProcess:
    module = {"eval": "rotx.cli.eval", "train": "rotx.cli.train", "rotx": "rotx.cli"}[tool]
    code = f"import sys; from {module} import main; main(prog_name='rotx')"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two images: a plane found, one missed, a ship found twice, a difficult ship."""
    (tmp_path / "labelTxt").mkdir()
    (tmp_path / "Task1").mkdir()
    lines = [f"{SQUARE.format(0, 10)} plane 0", f"{SQUARE.format(50, 60)} plane 0", f"{SQUARE.format(90, 99)} ship 1"]
    (tmp_path / "labelTxt/P1.txt").write_text("imagesource:x\ngsd:0.1\n" + "\n".join(lines) + "\n")
    (tmp_path / "labelTxt/P2.txt").write_text(f"{SQUARE.format(0, 20)} ship 0\n")
    (tmp_path / "Task1/Task1_plane.txt").write_text(f"P1 0.9 {SQUARE.format(0, 10)}\n")
    ships = [f"P2 0.9 {SQUARE.format(0, 20)}", f"P2 0.8 {SQUARE.format(1, 20)}", f"P1 0.7 {SQUARE.format(90, 99)}"]
    (tmp_path / "Task1/Task1_ship.txt").write_text("\n".join(ships) + "\n")
    return tmp_path


def test_ctrl_c_is_no_fault() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        user_errors(stop)()
    assert ended.value.code == 130, "as of shells, and none that says what was found"


def test_score_prints_a_table_and_writes_files(dataset: Path, tmp_path: Path) -> None:
    out = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "verdicts")}
    result = run(
        "score", dataset, dataset, "--json", out["json"], "--csv", out["csv"], "--per-image", out["verdicts"], "--ci"
    )
    assert result.returncode == 0, result.stderr
    assert "| plane " in result.stdout and "| mAP " in result.stdout and "95 % interval" in result.stdout
    assert "no result file for baseball-diamond" in result.stderr
    record = json.loads(out["json"].read_text())
    assert record["protocol"] == "dota-v1.0" and record["iou"] == 0.5 and len(record["classes"]) == 15
    assert record["classes"]["plane"] == {"ap": pytest.approx(6 / 11), "gts": 2, "dets": 1, "recall": 0.5}
    assert record["classes"]["ship"] == {"ap": pytest.approx(1), "gts": 1, "dets": 3, "recall": 1.0}
    assert record["map"] == pytest.approx((6 / 11 + 1) / 15)
    assert len(list(csv.DictReader(out["csv"].open()))) == 16
    verdicts = list(csv.DictReader(out["verdicts"].open()))
    assert [v["verdict"] for v in verdicts] == ["tp", "ignored", "tp", "fp"]


def test_several_iou_thresholds_and_classes(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    result = run("score", dataset, dataset, "--iou", "0.5,0.75", "--iou", 0.9, "--classes", "plane,ship", "--json", out)
    assert result.returncode == 0, result.stderr
    assert [r["iou"] for r in json.loads(out.read_text())] == [0.5, 0.75, 0.9]
    assert "ap75" in result.stdout


def test_explain(dataset: Path) -> None:
    result = run("score", dataset, dataset, "--explain", "dota-v1.5")
    assert result.returncode == 0, result.stderr
    assert "difficult" in result.stdout and "(dota-v1.5)" in result.stdout


def test_thresholds_and_classes_asked_for_hold_for_both_sides_of_explain(dataset: Path) -> None:
    options = ["--iou", "0.75", "--classes", "plane,ship"]
    result = run("score", dataset, dataset, "--explain", "coco", *options)
    assert result.returncode == 0, result.stderr
    rules = [line.split("|")[1].strip() for line in result.stdout.split("Points of mAP")[1].splitlines() if "|" in line]
    assert "average" in rules and not {"iou", "classes"} & set(rules)


def test_scoring_never_imports_torch_and_reads_no_images(dataset: Path, tmp_path: Path) -> None:
    arguments = ["score", str(dataset), str(dataset), "--report", str(tmp_path / "report")]
    code = (
        "import sys; from rotx.cli.eval import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "assert not {'torch', 'cv2', 'tqdm'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_explain_reads_the_classes_of_both_protocols(dataset: Path, tmp_path: Path) -> None:
    crane = SQUARE.format(200, 240)
    with (dataset / "labelTxt/P2.txt").open("a") as file:
        file.write(f"{crane} container-crane 0\n")
    (dataset / "Task1/Task1_container-crane.txt").write_text(f"P2 0.9 {crane}\n")
    assert run("score", dataset, dataset, "--protocol", "dota-v1.5", "--json", tmp_path / "o.json").returncode == 0
    whole = json.loads((tmp_path / "o.json").read_text())["map"]
    result = run("score", dataset, dataset, "--explain", "dota-v1.5")
    assert f"| {100 * whole:.2f} " in result.stdout.splitlines()[-2], result.stdout
    assert "container-crane" not in result.stdout.split("Points of mAP")[0]


def test_images_option_limits_the_set(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("P2\n")
    result = run("score", dataset, dataset, "--images", tmp_path / "list.txt", "--classes", "plane,ship")
    assert result.returncode == 0, result.stderr
    assert "| mAP   | 1 " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{set}", "{set}", "--protocol", "dota"], "unknown protocol 'dota'; did you mean"),
        (["{set}", "{set}", "--iou", "half"], "--iou: need numbers"),
        (["{set}", "{set}", "--iou", "2"], "iou: need 1 to 32 thresholds"),
        (["{set}", "{set}", "--classes", "plane,,ship"], "--classes: need different names"),
        (["{set}", "{set}/nowhere"], "nowhere"),
        (["{set}/nowhere", "{set}"], "nowhere"),
        (["{set}", "{set}", "--json", "{set}/no/o.json"], "folder does not exist"),
        (["{set}", "{set}", "--json", "{set}"], "is a folder"),
        (["{set}", "{set}", "--images", "{set}/none.txt"], "none.txt"),
        (["{set}", "{set}", "--task", "2"], "Task2"),
        (["{set}", "{set}", "--protocol", "icdar2015", "--ci"], "--explain and --ci"),
        (["{set}", "{set}", "--protocol", "icdar2015"], "a single class"),
    ],
)
def test_mistakes_give_one_line_and_exit_code_2(dataset: Path, arguments: list, message: str) -> None:
    result = run("score", *(a.format(set=dataset) for a in arguments))
    assert result.returncode == 2
    assert message in result.stderr, result.stderr
    errors = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1 and errors[0].startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["merge", "in", "out", "--iou-thr", "nan"], "'--iou-thr': nan is not a number"),
        (["check", "data", "--tiny", "nan"], "'--tiny': nan is not a number"),
        (["predict", "c", "k", "i", "--out", "o", "--score-thr", "nan"], "'--score-thr': nan is not a number"),
        (["predict", "c", "k", "i", "--out", "o", "--score-thr", "2"], "2.0 is not in the range 0<=x<=1"),
    ],
)
def test_numbers_are_in_their_range(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(rotx_main, arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_a_panic_or_traceback_never_reaches_the_user_of_train(tmp_path: Path) -> None:
    result = run(tmp_path / "config.py", tool="train")
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "config.py" in result.stderr


def test_check_submission(dataset: Path) -> None:
    result = run("check-submission", dataset / "Task1", tool="rotx")
    assert result.returncode == 1
    assert "baseball-diamond" in result.stdout and "errors" in result.stdout


@pytest.mark.parametrize("tool", ["eval", "train", "rotx"])
def test_help_and_version(tool: str) -> None:
    assert "Usage: rotx" in run("--help", tool=tool).stdout
    assert "version" in run("--version", tool=tool).stdout


@pytest.mark.parametrize("case", [c for c in CASES if c.fragments], ids=lambda case: case.name)
def test_damaged_files_give_one_line_and_exit_code_2(case: Case, tmp_path: Path) -> None:
    if case.not_as_root and os.geteuid() == 0:
        pytest.skip("root may read every file")
    annotations, results = case.make(tmp_path)
    images = ["--images", str(tmp_path / "images.txt")] if (tmp_path / "images.txt").exists() else []
    arguments = ["score", str(annotations), str(results), "--task", str(case.task), *images]
    result = CliRunner().invoke(eval_main, arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
