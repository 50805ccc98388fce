"""The kernels of cuda/ on the CPU: compiled by g++ over `emulator/` and registered for CPU tensors.

``load()`` gives ``torch.ops.rotx_cuda.*`` CPU kernels, so that whole ops, from their checks to their results, are
tested without a GPU. The order of blocks and threads is random; ``ROTX_EMULATOR_SEED`` chooses it, for each launch.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EMULATOR = ROOT / "tests/emulator"
LAUNCH = re.compile(r"(?P<kernel>[A-Za-z_][\w:]*(?:<[^;{}]*?>)?)\s*<<<(?P<shape>[^;]*?)>>>\s*\(")
DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:alignas\(\w+\)\s*)?(?P<type>[\w:]+)\s+(?P<name>\w+)\[\];")


def rewritten(source: str) -> str:
    """The source with launches and dynamic shared memory as the emulator knows them."""
    source = DYNAMIC.sub(r"\g<type>* const \g<name> = static_cast<\g<type>*>(emulator::dynamic_shared());", source)
    parts, start = [], 0
    for found in LAUNCH.finditer(source):
        end = _closing(source, found.end())
        arguments = source[found.end() : end].strip()
        call = f"[&](auto... arguments) {{ {found['kernel']}(arguments...); }}"
        parts += [source[start : found.start()], f"emulator::launch({{{found['shape']}}}, {call}"]
        parts += [f", {arguments})" if arguments else ")"]
        start = end + 1
    return "".join([*parts, source[start:]])


def _closing(source: str, start: int) -> int:
    """Where the parenthesis that opened before ``start`` closes."""
    depth = 1
    for i in range(start, len(source)):
        depth += {"(": 1, ")": -1}.get(source[i], 0)
        if depth == 0:
            return i
    raise ValueError("a launch's parenthesis does not close")


@functools.cache
def load() -> None:
    """Builds the library, unless these sources were built before, and loads it; skips without a compiler."""
    compiler = _compiler()
    import torch

    import rotx.ops  # noqa: F401  (defines the ops that the kernels are of)

    torch_folder = Path(torch.__file__).parent
    sources = sorted((ROOT / "cuda").glob("*.cu"))
    seen = [*sources, *sorted((ROOT / "cuda").glob("*.cuh")), *sorted(EMULATOR.iterdir()), Path(__file__)]
    text = b"".join(path.read_bytes() for path in seen) + torch.__version__.encode()
    folder = ROOT / "build/emulated"
    library = folder / f"{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["-std=c++17", "-O2", "-g1", "-fPIC", "-Wall", "-Wno-unknown-pragmas", "-fvisibility=hidden"]
        # Multiplications are fused with additions where the processor can, as nvcc does.
        options += ["-march=native", "-ffp-contract=fast"]
        options += ["-DROTX_EMULATED", "-DROTX_DEVICE=CPU", "-DUSE_CUDA", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
        options += ["-I", str(EMULATOR), "-I", str(ROOT / "cuda"), "-isystem", str(torch_folder / "include")]

        def compiled(source: Path) -> Path:
            plain = folder / f"{source.stem}.{os.getpid()}.cpp"
            plain.write_text(rewritten(source.read_text()))
            _run([compiler, *options, "-c", plain, "-o", plain.with_suffix(".o")])
            return plain.with_suffix(".o")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compiled, [*sources, EMULATOR / "emulator.cpp"]))
        # Our own stand-ins for what a CUDA build of torch holds are taken, also where torch is one.
        link = ["-shared", "-Wl,-Bsymbolic", "-L", torch_folder / "lib", "-ltorch", "-ltorch_cpu", "-lc10"]
        made = library.with_suffix(f".{os.getpid()}")
        _run([compiler, *objects, *link, "-o", made])
        made.replace(library)
        for path in objects:
            path.unlink()
            path.with_suffix(".cpp").unlink()
    torch.ops.load_library(library)


def build(source: str, target: Path) -> None:
    """Compiles kernels that need no torch, and what calls them, to a shared library."""
    plain = target.with_suffix(".cpp")
    plain.write_text(rewritten(source))
    options = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", EMULATOR]
    _run([_compiler(), *options, plain, EMULATOR / "emulator.cpp", "-o", target])


def _compiler() -> str:
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler: no c++ or g++ on PATH")
    return compiler


def _run(command: list[str | Path]) -> None:
    made = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert made.returncode == 0, made.stderr
