"""The processes of one training: which one this is, and how they communicate."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import Work


@dataclass(frozen=True)
class World:
    """The processes that train together, seen from one of them.

    Attributes:
        rank: Rank of this process, 0..size-1.
        size: Number of processes.
        device: Device that this process computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports to the user."""
        return self.rank == 0


def start(device: str = "auto", environment: Mapping[str, str] = os.environ) -> World:
    """Joins the processes that torchrun or Slurm's srun started, if any.

    Args:
        device: ``auto`` for a GPU if there is one, ``cpu``, or ``cuda``: each process takes the GPU of its number on
            its machine. A single process may name one, such as ``cuda:1``.
        environment: Environment variables of the process.

    Raises:
        ValueError: If the device does not exist.
    """
    variables = _torchrun(environment) or _slurm(environment)
    local = int(variables.get("LOCAL_RANK", 0))
    where = _device(device, local, alone=not variables)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if not variables:
        return World(0, 1, where)
    os.environ.update(variables)
    _join("nccl" if where.type == "cuda" else "gloo")
    return World(distributed.get_rank(), distributed.get_world_size(), where)


def _join(backend: str) -> None:
    """Joins the group of processes.

    When torchrun restarts the processes it keeps the store through which they find each other. Some versions keep the
    addresses of dead processes in it, and the new ones would wait for a connection to them.
    """
    store, rank, size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = distributed.PrefixStore(f"attempt_{attempt}", store)  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """Number of the processes on this machine; known once they have joined."""
    return int(environment.get("LOCAL_WORLD_SIZE", 1))


def stop() -> None:
    """Leaves the group of processes, if any."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def start_largest(values: Tensor, world: World) -> Work | None:
    """Starts to replace each value, in place, by the largest of all processes, so that they decide alike.

    Returns:
        What to ``wait()`` for; None if this process is alone. On a GPU, waiting only orders what follows on the device.
    """
    if world.size == 1:
        return None
    return distributed.all_reduce(values, distributed.ReduceOp.MAX, async_op=True)


def gather(value: Any, world: World) -> list[Any]:
    """The values of all processes, in the order of their ranks."""
    values = [value] * world.size
    if world.size > 1:
        distributed.all_gather_object(values, value)
    return values


def share_weights(model: nn.Module, world: World) -> None:
    """Copies the weights and running statistics of the first process to all."""
    if world.size > 1:
        for value in model.state_dict().values():
            distributed.broadcast(value, 0)


def _torchrun(environment: Mapping[str, str]) -> dict[str, str]:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    return {name: environment[name] for name in names if name in environment} if "RANK" in environment else {}


def _slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of torchrun, from those that srun sets for each of several tasks.

    A batch script, a single process, has some of them, too; only a step of srun has a number of tasks.
    """
    if "SLURM_PROCID" not in environment or int(environment.get("SLURM_STEP_NUM_TASKS", 1)) < 2:
        return {}
    nodes = environment.get("SLURM_STEP_NODELIST") or environment["SLURM_NODELIST"]
    return {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
        # With --gpus-per-task a task sees its own GPU only.
        "LOCAL_RANK": "0"
        if _single(environment.get("CUDA_VISIBLE_DEVICES"))
        else environment.get("SLURM_LOCALID", "0"),
        "LOCAL_WORLD_SIZE": re.sub(r"\D.*", "", environment.get("SLURM_STEP_TASKS_PER_NODE", "")) or "1",
        "MASTER_ADDR": environment.get("MASTER_ADDR") or first_node(nodes),
        # Equal for all tasks of a job, and seldom that of another job on the machine.
        "MASTER_PORT": environment.get("MASTER_PORT") or str(20000 + int(environment.get("SLURM_JOB_ID", 0)) % 20000),
    }


def first_node(nodes: str) -> str:
    """The first machine of Slurm's list of them: ``gpu[03-07,9],big1`` → ``gpu03``, ``r[1-2]n[4,5]`` → ``r1n4``."""
    found = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodes)
    if found is None:
        raise ValueError(f"SLURM_NODELIST {nodes!r}: names no machine: set MASTER_ADDR")
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", found[0])


def _single(devices: str | None) -> bool:
    return bool(devices) and "," not in str(devices)


def _device(name: str, local: int, alone: bool) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device: need 'auto', 'cpu', 'cuda' or 'cuda:0' and so on, got {name!r}") from None
    if device.type != "cuda":
        return device
    if device.index is None or not alone:
        device = torch.device("cuda", local)
    if device.index >= torch.cuda.device_count():
        raise ValueError(f"device: torch sees {torch.cuda.device_count()} CUDA devices, so there is no '{device}'")
    return device
