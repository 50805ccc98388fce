"""Builds the CUDA kernels into python/rotx/_lib/rotx_cuda.so, on any Linux machine, with or without a GPU.

One library for torch 2.11 and every later one, whatever CUDA they were built with: it uses torch's stable ABI
and carries its own CUDA runtime.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "python/rotx/_lib/rotx_cuda.so"
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)  # Turing to Blackwell; PTX of the last serves what comes later
TORCH = (2, 11)


def find_nvcc() -> str:
    """The path of nvcc: of CUDA_HOME, of `make cuda`, of PyPI's wheels in this environment, or on PATH."""
    folders = [Path(os.environ["CUDA_HOME"]) / "bin"] if "CUDA_HOME" in os.environ else []
    folders.append(HERE.parent / "build/nvcc/nvidia/cu13/bin")
    wheels = importlib.util.find_spec("nvidia")
    folders += [Path(p) / "cu13/bin" for p in (wheels and wheels.submodule_search_locations) or ()]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    nvcc = shutil.which("nvcc", path=path)
    if nvcc is None:
        sys.exit("no nvcc: set CUDA_HOME to a CUDA toolkit, or run `make cuda`, which installs one from PyPI")
    return nvcc


def torch_folder() -> Path:
    """Where torch lies, with the headers and the libraries to build against."""
    try:
        import torch
    except ImportError:
        sys.exit(f"no torch in {sys.executable}: the build needs its headers; run `make train` or `make cuda`")
    if tuple(map(int, torch.__version__.split(".")[:2])) < TORCH:
        sys.exit(f"torch {torch.__version__} is too old: the build needs the headers of {TORCH[0]}.{TORCH[1]} or later")
    return Path(torch.__file__).parent


def command(nvcc: str, torch: Path, output: Path) -> list[str]:
    """The command line that builds all kernels, to be run in their folder: their names stand in error messages."""
    codes = [f"arch=compute_{n},code=sm_{n}" for n in ARCHITECTURES]
    codes.append(f"arch=compute_{ARCHITECTURES[-1]},code=compute_{ARCHITECTURES[-1]}")
    return [
        nvcc,
        *("-std=c++17", "-O3", "-shared", "--compress-mode=size", "-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall"),
        *("-Xcompiler", f"-fmacro-prefix-map={torch.parent}/="),  # no path of this machine in error messages
        *(f"-gencode={code}" for code in codes),
        *("--threads", str(os.cpu_count() or 1)),
        # The oldest torch that has to load the library: headers refuse what came later. One byte a number.
        f"-DTORCH_TARGET_VERSION=0x{TORCH[0]:02x}{TORCH[1]:02x}{0:012x}",
        "-DUSE_CUDA",
        *("-isystem", str(torch / "include"), "-L", str(torch / "lib")),
        *("-L", str(Path(nvcc).parents[1] / "lib")),  # PyPI's nvcc does not look there by itself
        # Nothing refers to libtorch, which leads to libtorch_cuda: it must be named all the same.
        *("-Xlinker", "-s,--no-as-needed", "-ltorch", "-ltorch_cpu", "-lc10"),
        *("-o", str(output)),
        *sorted(source.name for source in HERE.glob("*.cu")),
    ]


def main() -> None:
    """Builds the library beside its place and moves it there."""
    nvcc, torch = find_nvcc(), torch_folder()
    print(f"building with {nvcc}", flush=True)
    TARGET.parent.mkdir(exist_ok=True)
    output = TARGET.with_name(f".{os.getpid()}.so")
    try:
        built = subprocess.run(command(nvcc, torch, output), cwd=HERE, check=False)
        if built.returncode:
            sys.exit(f"nvcc failed with exit code {built.returncode}: what it says above")
        output.replace(TARGET)
    finally:
        output.unlink(missing_ok=True)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
