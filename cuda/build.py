"""Builds the CUDA kernels into python/rotx/_lib/rotx_cuda.so, on any Linux machine, with or without a GPU.

One library serves torch 2.11 and later, whatever CUDA version torch was built with: it uses torch's stable ABI and
contains the CUDA runtime. The driver must support the version of that runtime: 580 or later for CUDA 13.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "python/rotx/_lib/rotx_cuda.so"
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)  # Turing to Blackwell; later GPUs run the PTX of the last one
TORCH = (2, 11)
NVCC = (12, 8)  # the first version that supports Blackwell


def find_nvcc() -> str:
    """Returns the path of nvcc: from CUDA_HOME, `make cuda`, PyPI's wheels in this environment, or PATH."""
    folders = [Path(os.environ["CUDA_HOME"]) / "bin"] if "CUDA_HOME" in os.environ else []
    folders.append(HERE.parent / "build/nvcc/nvidia/cu13/bin")
    wheels = importlib.util.find_spec("nvidia")
    folders += [Path(p) / "cu13/bin" for p in (wheels and wheels.submodule_search_locations) or ()]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    nvcc = shutil.which("nvcc", path=path)
    if nvcc is None:
        sys.exit("no nvcc: set CUDA_HOME to a CUDA toolkit, or run `make cuda`, which installs one from PyPI")
    release = re.search(r"release (\d+)\.(\d+)", subprocess.check_output([nvcc, "--version"], text=True))
    if release and tuple(map(int, release.groups())) < NVCC:
        sys.exit(
            f"{nvcc} is too old: {release[0]}, need {NVCC[0]}.{NVCC[1]} or later; without CUDA_HOME, `make cuda` "
            "installs one from PyPI"
        )
    return nvcc


def torch_folder() -> Path:
    """Returns the folder of torch, which has the headers and libraries to build against."""
    try:
        import torch
    except ImportError:
        sys.exit(f"no torch in {sys.executable}: the build needs its headers; run `make train` or `make cuda`")
    if tuple(map(int, torch.__version__.split(".")[:2])) < TORCH:
        sys.exit(f"torch {torch.__version__} is too old: the build needs the headers of {TORCH[0]}.{TORCH[1]} or later")
    return Path(torch.__file__).parent


def compiling(nvcc: str, torch: Path, folder: Path) -> list[str]:
    """Returns the command that compiles all kernels, run in their folder so that messages have short paths."""
    codes = [f"arch=compute_{n},code=sm_{n}" for n in ARCHITECTURES]
    codes.append(f"arch=compute_{ARCHITECTURES[-1]},code=compute_{ARCHITECTURES[-1]}")
    return [
        nvcc,
        *("-std=c++17", "-O3", "--compress-mode=size", "-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall"),
        *("-Xcompiler", f"-fmacro-prefix-map={torch.parent}/="),  # keep paths of this machine out of error messages
        *(f"-gencode={code}" for code in codes),
        *("--threads", str(os.cpu_count() or 1)),
        # The oldest torch that must load the library: the headers hide newer functions. One byte per version number.
        f"-DTORCH_TARGET_VERSION=0x{TORCH[0]:02x}{TORCH[1]:02x}{0:012x}",
        "-DUSE_CUDA",
        *("-isystem", str(torch / "include"), "-odir", str(folder), "-c"),
        *sorted(source.name for source in HERE.glob("*.cu")),
    ]


def linking(nvcc: str, torch: Path, objects: Iterable[Path], output: Path) -> list[str]:
    """Returns the command that links the objects for manylinux_2_28; zig knows the symbols of old glibc versions."""
    runtime = Path(nvcc).parents[1]
    folders = [runtime / "lib", runtime / "lib64", torch / "lib"]
    # Libraries of g++, which zig does not find by itself.
    names = ("libstdc++.so", "libgcc_s.so.1")
    found = [subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip() for name in names]
    return [
        *(sys.executable, "-m", "ziglang", "cc", "-target", f"{platform.machine()}-linux-gnu.2.28"),
        *("-shared", "-s", "-o", str(output), *map(str, objects), str(HERE / "glibc.c")),
        *(f"-L{folder}" for folder in folders if folder.is_dir()),
        # No symbol of libtorch is used, but it loads libtorch_cuda: keep it as a dependency.
        *("-Wl,--no-as-needed", "-ltorch", "-ltorch_cpu", "-lc10", "-Wl,--as-needed"),
        *("-lcudart_static", *found, "-lpthread", "-ldl", "-lrt", "-lm"),
    ]


def run(command: list[str]) -> None:
    """Runs a build step; exits if it fails."""
    if code := subprocess.run(command, cwd=HERE, check=False).returncode:
        sys.exit(f"{Path(command[0]).name} failed with exit code {code}; see its output above")


def main() -> None:
    """Builds the library in a temporary file, then moves it into place."""
    nvcc, torch = find_nvcc(), torch_folder()
    if importlib.util.find_spec("ziglang") is None:
        sys.exit(f"no ziglang in {sys.executable}: the build links with it; run `make cuda`, or pip install ziglang")
    print(f"building with {nvcc}", flush=True)
    TARGET.parent.mkdir(exist_ok=True)
    output = TARGET.with_name(f".{os.getpid()}.so")
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(compiling(nvcc, torch, Path(folder)))
            run(linking(nvcc, torch, sorted(Path(folder).glob("*.o")), output))
            output.replace(TARGET)
        finally:
            output.unlink(missing_ok=True)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
