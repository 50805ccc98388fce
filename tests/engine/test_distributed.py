"""Several processes: their gradients are those of one with all the images, and they survive the death of one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny  # noqa: F401  # registers TinyBackbone
from rotx.engine import distributed, train
from rotx.engine.distributed import World, first_node
from small_run import different, small_settings, start_processes, weights, write_config, write_images, write_sets
from test_resume import steps_done

STEPS = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("data"), train=8, val=3)


def settings_of(data: Path, batch_size: int, steps: int = STEPS) -> dict[str, Any]:
    settings = small_settings(data, batch_size=batch_size)
    settings["train_cfg"] = {"type": "IterBasedTrainLoop", "max_iters": steps, "val_interval": STEPS}
    settings["default_hooks"]["checkpoint"] = {"interval": 1, "by_epoch": False}
    # What depends on the other images of a process's batch: statistics and random numbers.
    settings["model"]["backbone"] |= {"norm": False, "drop": 0.0}
    return settings


@pytest.fixture(scope="module")
def pair(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training by two processes with two images each."""
    folder = tmp_path_factory.mktemp("pair")
    config = write_config(folder / "config.py", settings_of(data, batch_size=2))
    run = start_processes(2, config, "--work-dir", folder / "work", "--device", "cpu")
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    return folder / "work"


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(pair: Path, data: Path, tmp_path: Path) -> None:
    train(settings_of(data, batch_size=4, steps=3), tmp_path, "cpu")
    for step in (1, 3):
        one, two = weights(tmp_path / f"iter_{step}.pth"), weights(pair / f"iter_{step}.pth")
        assert one.keys() == two.keys()
        # After the first step the momentum is the gradient.
        moments = [name for name in one if name.endswith("momentum_buffer")]
        assert len(moments) > 20 and any(one[name].abs().max() > 0.1 for name in moments)
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-6, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.slow
def test_two_processes_that_accumulate(data: Path, tmp_path: Path) -> None:
    """Steps of two batches in each process, and one of a single batch at the end of an epoch of three."""
    write_images(tmp_path / "train", 12)

    def settings(batch_size: int) -> dict[str, Any]:
        settings = settings_of(data, batch_size, steps=6)
        settings["train_dataloader"]["dataset"]["data_root"] = str(tmp_path / "train")
        settings["optim_wrapper"]["accumulative_counts"] = 2
        return settings

    train(settings(4), tmp_path / "one", "cpu")
    config = write_config(tmp_path / "config.py", settings(2))
    run = start_processes(2, config, "--work-dir", tmp_path / "two", "--device", "cpu")
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    for step in (2, 3, 6):
        one, two = (weights(tmp_path / name / f"iter_{step}.pth") for name in ("one", "two"))
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-6, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.slow
def test_a_killed_worker_is_started_again(pair: Path, data: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.py", settings_of(data, batch_size=2))
    folder = tmp_path / "work"
    run = start_processes(2, config, "--work-dir", folder, "--device", "cpu", restarts=2)
    while steps_done(folder) < 5 and run.poll() is None:
        time.sleep(0.005)
    workers = children(run.pid)
    assert len(workers) == 2
    os.kill(workers[-1], signal.SIGKILL)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert "resuming from" in (folder / "log.jsonl").read_text()
    assert different(folder / f"iter_{STEPS}.pth", pair / f"iter_{STEPS}.pth") == []


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all(pair: Path, data: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.py", settings_of(data, batch_size=2))
    folder = tmp_path / "work"
    run = start_processes(2, config, "--work-dir", folder, "--device", "cpu")
    while steps_done(folder) < 5 and run.poll() is None:
        time.sleep(0.005)
    os.kill(children(run.pid)[-1], signal.SIGTERM)
    _, errors = run.communicate(timeout=120)
    assert run.returncode != 0 and "stopped by SIGTERM, everything is saved" in errors, errors
    run = start_processes(2, config, "--work-dir", folder, "--device", "cpu", "--resume")
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0 and errors.count("resuming from") == 1, errors
    assert different(folder / f"iter_{STEPS}.pth", pair / f"iter_{STEPS}.pth") == []


@pytest.mark.slow
def test_all_processes_stop_for_a_loss_that_is_not_finite(data: Path, tmp_path: Path) -> None:
    settings = settings_of(data, batch_size=2)
    settings["model"]["backbone"]["break_at"] = 4
    settings["default_hooks"]["checkpoint"] |= {"interval": 3}
    folder = tmp_path / "work"
    run = start_processes(2, write_config(tmp_path / "config.py", settings), "--work-dir", folder, "--device", "cpu")
    _, errors = run.communicate(timeout=120)
    assert run.returncode != 0
    assert "error: step 3: process 0: loss_" in errors and "; step 3: process 1: loss_" in errors, errors
    assert {path.name for path in folder.glob("nan*")} == {"nan_batch_step_3.pt", "nan_batch_step_3_rank_1.pt"}
    assert {path.name for path in folder.glob("*.pth")} == {"iter_3.pth"}


def children(process: int) -> list[int]:
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_one_process_stays_alone() -> None:
    assert distributed.start("cpu", {}) == World(0, 1, torch.device("cpu"))
    # A batch script of Slurm, which is no step of srun.
    alone = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7", "SLURM_NODELIST": "node[1-4]"}
    assert distributed.start("cpu", alone).size == 1
    assert distributed.gather("x", World(0, 1, torch.device("cpu"))) == ["x"]


def test_tasks_of_srun_get_the_variables_of_torchrun() -> None:
    step = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_JOB_ID": "1234567"}
    found = distributed._slurm({**step, "SLURM_STEP_NODELIST": "gpu[03-07,9],big1"})
    assert found["RANK"] == "5" and found["WORLD_SIZE"] == "8" and found["LOCAL_RANK"] == "1"
    assert found["MASTER_ADDR"] == "gpu03" and 20000 <= int(found["MASTER_PORT"]) < 40000
    assert first_node("login1") == "login1" and first_node("a-b[1,3]") == "a-b1" and first_node("x,y") == "x"
    assert first_node("r[1-2,4]n[04,5],x") == "r1n04" and first_node("n[1-2]-ib,y") == "n1-ib"
    # --gpus-per-task: each task sees one GPU.
    several = {"SLURM_STEP_NODELIST": "a", "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    assert distributed._slurm({**step, **several})["LOCAL_RANK"] == "1"
    assert distributed._slurm({**step, **several, "CUDA_VISIBLE_DEVICES": "3"})["LOCAL_RANK"] == "0"
    assert distributed.processes_here(distributed._slurm({**step, **several})) == 4
    assert distributed.processes_here({}) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_device_that_is_not_there() -> None:
    for name in ("cuda", "cuda:3", "gpu"):
        with pytest.raises(ValueError, match="device"):
            distributed.start(name, {})
