"""A training that fails in its middle says why, keeps what it has, and ends with an exit code of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny  # noqa: F401  # registers TinyBackbone
from rotx.cli.train import main
from rotx.datasets.dataset import Dataset
from rotx.datasets.loader import Loader, build_loader
from rotx.datasets.sample import Sample
from rotx.datasets.samplers import Draw
from rotx.datasets.workers import WorkerKilled, killed
from rotx.engine import StepFailed, train
from rotx.engine.checkpoints import check_fits
from rotx.registry import build, register
from small_run import different, small_settings, start, write_config, write_sets


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("data"))


def rotx_train(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and last line of stderr of the command."""
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments), "--device", "cpu"], prog_name="rotx-train")
    code = end.value.code
    return code if isinstance(code, int) else 0, capsys.readouterr().err


@register
class Deadly:
    """A transform that ends its process at one image."""

    def __init__(self, *, name: str, how: int, test_only: bool = False) -> None:
        self.name, self.how, self.test_only = name, how, test_only

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.record.name == self.name and torch.utils.data.get_worker_info() is not None:
            if self.how > 0:
                os.kill(os.getpid(), self.how)
            os._exit(-self.how)
        return sample


def deadly(settings: dict[str, Any], loader: str, how: int, name: str = "P1") -> dict[str, Any]:
    settings[loader]["num_workers"] = 1
    settings[loader]["dataset"]["pipeline"].insert(2, {"type": "Deadly", "name": name, "how": int(how)})
    return settings


def loader_of(settings: dict[str, Any]) -> Loader:
    dataset: Dataset = build(settings["train_dataloader"]["dataset"])
    return build_loader(dataset, [[Draw(i, i)] for i in range(6)], num_workers=1)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (signal.SIGKILL, ("was killed (signal 9; is memory short?)", "--workers")),
        (signal.SIGBUS, ("was killed (bus error; is /dev/shm full?)", "--workers", "--shm-size")),
        (-7, ("ended (exit code 7;", "--workers")),
    ],
)
def test_a_worker_that_ends(data: Path, how: int, words: tuple[str, ...]) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(WorkerKilled) as error:
        list(loader_of(deadly(small_settings(data), "train_dataloader", how)))
    assert all(word in str(error.value) for word in words), error.value
    # torch's handler would raise an error anywhere, for example amid an update of the weights.
    assert signal.getsignal(signal.SIGCHLD) == before


@pytest.mark.parametrize(
    ("codes", "words"),
    [([0, None, -9], "signal 9"), ([0, 1], "exit code 1"), ([-11], "signal 11"), ([-6, None], "signal 6")],
)
def test_exit_codes_of_workers(codes: list[int | None], words: str) -> None:
    assert f"({words}; is memory short?): give fewer with --workers" in str(killed(codes))


def test_no_room_in_shared_memory(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    # Workers inherit it: as in a full /dev/shm, a file in it cannot grow.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    batches = iter(loader_of(small_settings(data)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"/dev/shm: an image cannot be written .* fewer --workers"):
            list(batches)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_killed_worker_of_training(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = small_settings(data, epochs=1, batch_size=1)
    settings["train_dataloader"]["sampler"]["shuffle"] = False
    work = tmp_path / "work"
    train(settings, tmp_path / "whole", "cpu")
    file = write_config(tmp_path / "config.py", deadly(settings, "train_dataloader", signal.SIGKILL, "P3"))
    code, errors = rotx_train(capsys, file, "--work-dir", work)
    last = errors.splitlines()[-1]
    assert code == 3 and "Traceback" not in errors, errors
    assert last.startswith("error: a process that loads images was killed (signal 9; is memory short?): give fewer")
    assert f"everything is saved; resume with: rotx-train {work}/config.py --work-dir {work} --resume" in last
    # The worker is ahead of the training: the steps before its death may be lost to it, none that was done is.
    (saved,) = work.glob("iter_*.pth")
    settings["train_dataloader"]["dataset"]["pipeline"].pop(2)
    settings["train_dataloader"]["num_workers"] = 0
    train(settings | {"resume": True}, work, "cpu")
    assert different(work / "epoch_1.pth", tmp_path / "whole/epoch_1.pth") == [], saved


def test_a_killed_worker_of_validation(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = deadly(small_settings(data, epochs=1), "val_dataloader", signal.SIGKILL)
    code, errors = rotx_train(capsys, write_config(tmp_path / "c.py", settings), "--work-dir", tmp_path / "work")
    assert code == 3 and "everything is saved" in errors.splitlines()[-1], errors
    assert (tmp_path / "work/epoch_1.pth").exists()


@pytest.mark.parametrize("kind", ["ValueError", "RuntimeError", "KeyError"])
def test_a_layer_that_fails_amid_the_training(
    kind: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, work = small_settings(data, epochs=1, batch_size=1), tmp_path / "work"
    settings["model"]["backbone"] |= {"fail_at": 4, "fail_with": kind}
    file = write_config(tmp_path / "config.py", settings)
    code, errors = rotx_train(capsys, file, "--work-dir", work)
    last = errors.splitlines()[-1]
    assert code == 1 and last.startswith(f"error: step 3: {kind}: ") and "tiny.py:" in last and "P" in last
    assert "everything is saved; resume with: " in last and not last.startswith(f"error: {file}")
    assert [path.name for path in work.glob("*.pth")] == ["iter_3.pth"]
    if kind == "ValueError":  # the checkpoint is that of the last sound step, running statistics included
        del settings["model"]["backbone"]["fail_at"]
        train(settings | {"resume": True}, work, "cpu")
        train(settings, tmp_path / "whole", "cpu")
        assert different(work / "epoch_1.pth", tmp_path / "whole/epoch_1.pth") == []


def test_a_step_that_failed_has_its_cause(data: Path, tmp_path: Path) -> None:
    settings = small_settings(data, epochs=1, batch_size=1)
    settings["model"]["backbone"] |= {"fail_at": 2}
    with pytest.raises(StepFailed, match="step 1: ValueError: odd") as error:
        train(settings, tmp_path, "cpu")
    assert isinstance(error.value.__cause__, ValueError) and error.value.saved


ONE, TWO = torch.zeros(1), torch.zeros(2)


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        ({"a": ONE}, {"a": TWO}, "0 weights are missing, 0 are unknown, 1 have another shape (a is (2,) in the model"),
        ({"a": ONE}, {"a": ONE, "b": TWO}, "1 weights are missing, 0 are unknown, 0 have another shape (b is only in"),
        ({"a": ONE, "b": TWO}, {"a": ONE}, "0 weights are missing, 1 are unknown, 0 have another shape (b is only in"),
        ({"b": ONE}, {"a": ONE}, "1 weights are missing, 1 are unknown, 0 have another shape (a is only in the model"),
        ({"a": ONE, "c": ONE}, {"a": TWO, "b": ONE}, "1 weights are missing, 1 are unknown, 1 have another shape (a"),
        ({"a": torch.tensor(0)}, {"a": ONE}, "1 have another shape (a is (1,) in the model and () in the file)"),
    ],
)
def test_checkpoints_of_other_models(theirs: dict[str, Any], ours: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as error:
        check_fits("x.pth", theirs, ours)
    assert words in str(error.value) and "resume with the config it was made with, or set load_from" in str(error.value)


def test_resuming_with_other_classes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(small_settings(data, epochs=1), tmp_path / "two", "cpu")
    settings = small_settings(data, epochs=2)
    settings["model"]["bbox_head"]["num_classes"] = 3
    for loader in ("train_dataloader", "val_dataloader"):
        settings[loader]["dataset"]["metainfo"] = {"classes": ("ship", "plane", "car")}
    file, checkpoint = write_config(tmp_path / "c.py", settings), tmp_path / "two/epoch_1.pth"
    code, errors = rotx_train(capsys, file, "--work-dir", tmp_path / "three", "--resume", checkpoint)
    last = errors.splitlines()[-1]
    assert code == 2 and f"{checkpoint}: is a checkpoint of another model: 0 weights are missing" in last, last
    assert "2 have another shape (bbox_head.retina_cls." in last and "Traceback" not in errors


def test_few_file_descriptors(data: Path, tmp_path: Path) -> None:
    file = write_config(tmp_path / "config.py", small_settings(data, epochs=1))
    command = [
        sys.executable,
        "-m",
        "rotx.cli.train",
        str(file),
        "--device",
        "cpu",
    ]
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    for workers, codes in ((0, {0, 2}), (4, {2})):
        work = ["--plugin", "tiny", "--work-dir", str(tmp_path / f"work{workers}")]
        run = subprocess.run(
            ["bash", "-c", 'ulimit -n 32; exec "$@"', "sh", *command, "--workers", str(workers), *work],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
            timeout=120,
        )
        assert run.returncode in codes and "Traceback" not in run.stderr, run.stderr
        if run.returncode:
            assert run.stderr.splitlines()[-1].startswith("error: ") and "open files" in run.stderr, run.stderr


def test_a_closed_stdout_and_a_folder_that_cannot_be_written(data: Path, tmp_path: Path) -> None:
    file = write_config(tmp_path / "config.py", small_settings(data, epochs=1))
    run = start(file, "--work-dir", tmp_path / "work", "--device", "cpu")
    assert run.stdout is not None
    run.stdout.close()
    assert run.wait(timeout=120) == 0 and (tmp_path / "work/epoch_1.pth").exists()
    run = start(file, "--work-dir", "/proc/work", "--device", "cpu")
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 2 and errors.splitlines()[-1].startswith("error: /proc/work: "), errors
    assert "Traceback" not in errors
