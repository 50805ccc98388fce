"""How the commands are started and what they say of options that they do not have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rotx.cli import main as rotx
from rotx.cli.eval import main as rotx_eval
from rotx.cli.train import main as rotx_train

PACKAGE = Path(__file__).parents[1] / "python"
COMMANDS = {"rotx": rotx, "rotx-eval": rotx_eval, "rotx-train": rotx_train}


def python(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")}
    env = {**clean, "PYTHONPATH": str(PACKAGE), **variables}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, cwd=cwd, timeout=60)


SCRIPTS = {"rotx": "rotx", "rotx.cli": "rotx", "rotx.cli.eval": "rotx-eval", "rotx.cli.train": "rotx-train"}
SCRIPTS |= {f"rotx.cli.{name}": f"rotx {name}" for name in rotx.commands_in if name != "check-submission"}
SCRIPTS["rotx.cli.check_submission"] = "rotx check-submission"


@pytest.mark.parametrize(("module", "name"), SCRIPTS.items())
def test_python_m(module: str, name: str) -> None:
    run = python("-m", module, "--help")
    assert run.returncode == 0 and run.stdout.startswith(f"Usage: {name} "), run.stderr


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("rotx predict c.py w.pth --conf 0.5", "--score-thr"),
        ("rotx-eval model c.py w.pth --conf-thres 0.5", "--score-thr"),
        ("rotx predict --weights x", "the argument CHECKPOINT"),
        ("rotx predict c.py w.pth i.png --imgsz 640", "--window"),
        ("rotx predict c.py w.pth i.png --half", "--amp"),
        ("rotx-train c.py --lr 0.1", "--cfg-options optim_wrapper.optimizer.lr="),
        ("rotx-train c.py --epochs 3", "--cfg-options train_cfg.max_epochs="),
        ("rotx-train c.py --batch-size 3", "--cfg-options train_dataloader.batch_size="),
        ("rotx-train c.py --work_dir x", "--work-dir"),
        ("rotx-train c.py --resume-from x", "--resume"),
        ("rotx-train c.py --launcher slurm", "torchrun --nproc-per-node N -m rotx.cli.train ..."),
    ],
)
def test_options_of_other_tools(line: str, hint: str) -> None:
    name, *words = line.split()
    result = CliRunner().invoke(COMMANDS[name], words)
    assert result.exit_code == 2 and f"Did you mean {hint}?" in result.output, result.output


@pytest.mark.parametrize("option", ["--trust", "--trust-confg", "--trust_cfg", "--tru", "--trust-configs"])
def test_nothing_that_runs_code_is_suggested(option: str) -> None:
    result = CliRunner().invoke(rotx_train, ["c.py", option])
    assert result.exit_code == 2 and f"No such option '{option}'" in result.output
    assert "--trust-config?" not in result.output


WAITING = "import os, rotx.cli, sys; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"


def test_threads_wait_passively_unless_the_user_said_otherwise() -> None:
    assert python("-c", WAITING).stdout == "PASSIVE False\n"
    assert python("-c", WAITING, OMP_WAIT_POLICY="ACTIVE").stdout == "ACTIVE False\n"
    assert python("-c", WAITING, GOMP_SPINCOUNT="100").stdout == "None False\n"
    assert python("-c", WAITING, KMP_BLOCKTIME="20").stdout == "None False\n"


def test_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from rotx.cli import set_threads

    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for number, workers in ((3, 2), (None, 0), (None, 2), (None, 8)):
        set_threads(number, workers)
    assert chosen == [3, 8, 6, 4]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    set_threads(None, 2)
    assert chosen == [3, 8, 6, 4]


def test_a_plugin_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "mine_here.py").write_text("print('imported')\n")
    code = (
        "from rotx.registry import load_plugins; import sys; load_plugins(['mine_here']); assert '' not in sys.path[1:]"
    )
    run = python("-P", "-c", code, cwd=tmp_path) if sys.version_info >= (3, 11) else python("-c", code, cwd=tmp_path)
    assert run.returncode == 0 and run.stdout == "imported\n", run.stderr
    run = python("-m", "rotx", "check", "x.py", "--plugin", "nothing_here", cwd=tmp_path)
    assert run.returncode == 2 and "Traceback" not in run.stderr


def test_check_finds_a_wrong_number_of_classes() -> None:
    from rotx.datasets.check import _check_num_classes

    heads = {"rpn_head": {"num_classes": 1}, "roi_head": {"bbox_head": [{"num_classes": 2}, {"num_classes": 15}]}}
    with pytest.raises(
        ValueError, match=r"model.roi_head.bbox_head.1.num_classes is 15, but val_dataloader.dataset has 2"
    ):
        _check_num_classes(heads, ("ship", "plane"), "val_dataloader")
    _check_num_classes({"bbox_head": {"num_classes": 2}, "backbone": {"num_classes": 1000}}, ("a", "b"), "x")
