"""The library of CUDA kernels: it loads without a GPU too, or one error says why it does not."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the kernels are torch ops")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.symbolic_shapes import ShapeEnv  # noqa: E402

from rotx.ops import _cuda  # noqa: E402

# What the dispatcher calls for CUDA tensors can be called without a CUDA device.
CUDA = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
BOXES = torch.tensor([[5.0, 5, 4, 2, 0.3], [5.0, 6, 4, 2, 0.3]])
ROIS = torch.cat([torch.zeros(2, 1), BOXES], dim=1)
CALLS = [
    ("box_iou_rotated", (BOXES, BOXES)),
    ("box_iou_quadri", (torch.rand(2, 8), torch.rand(2, 8))),
    ("nms_rotated", (BOXES, torch.rand(2), 0.5)),
    ("batched_nms_rotated", (BOXES, torch.rand(2), torch.tensor([3, 4]), 0.5)),
    ("roi_align_rotated", (torch.rand(1, 2, 9, 9), ROIS, [2, 2])),
    ("roi_align_rotated_backward", (torch.rand(2, 2, 2, 2), ROIS, [1, 2, 9, 9], 1.0, 0, True, True)),
]
OPS = pytest.mark.parametrize(("op", "args"), CALLS, ids=[op for op, _ in CALLS])


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading is tried anew in each test."""
    monkeypatch.delenv("ROTX_NO_CUDA_EXT", raising=False)
    monkeypatch.setattr(_cuda, "_load", _cuda.functools.cache(_cuda._load.__wrapped__))


def refused(op: str, args: tuple[object, ...]) -> str:
    """The error that CUDA tensors meet."""
    with pytest.raises(RuntimeError) as raised:
        getattr(torch.ops.rotx, op).default.redispatch(CUDA, *args)
    return str(raised.value)


@OPS
def test_a_library_that_is_not_there(op: str, args: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda, "LIBRARY", Path("nowhere/rotx_cuda.so"))
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    error = refused(op, args)
    assert "nowhere/rotx_cuda.so is not built: run `make cuda`" in error
    assert "set ROTX_NO_CUDA_EXT=1" in error and "\n" not in error


def test_a_library_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "rotx_cuda.so"
    damaged.write_bytes(b"no library")
    monkeypatch.setattr(_cuda, "LIBRARY", damaged)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    error = refused(*CALLS[0])
    # What the loader says, of whatever system, and no more than torch's "could not load".
    with pytest.raises(OSError) as loader:
        ctypes.CDLL(str(damaged))
    assert f"here: {loader.value}: build them again with `make cuda`" in error


def test_gpus_that_are_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = [(6, 1), (7, 0)]
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device])
    error = refused(*CALLS[0])
    assert "they need a GPU of compute capability 7.5 or later, here the newest has 7.0" in error
    # One that has code may be the one that is used.
    capabilities.append((8, 6))
    monkeypatch.setattr(_cuda, "LIBRARY", Path("nowhere/rotx_cuda.so"))
    monkeypatch.setattr(_cuda, "_load", _cuda._load.__wrapped__)
    assert "is not built" in refused(*CALLS[0])


def test_torch_too_old_or_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "was built without CUDA: install one with it" in refused(*CALLS[0])
    monkeypatch.setattr(_cuda, "_load", _cuda._load.__wrapped__)
    monkeypatch.setattr(torch, "__version__", "2.10.1+cu128")
    assert "torch is 2.10.1+cu128, they need 2.11 or later: upgrade torch" in refused(*CALLS[0])


def test_commands_say_it_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("click", reason="the commands need it")
    from rotx.cli import user_errors

    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(SystemExit) as raised:
        user_errors(torch.ops.rotx.box_iou_rotated.default.redispatch)(CUDA, BOXES, BOXES)
    assert raised.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "rotx has no CUDA kernels here: torch" in line


def test_bad_arguments_meet_the_error_of_the_cpu() -> None:
    overload = torch.ops.rotx.box_iou_rotated.default
    with pytest.raises(ValueError, match=r"b: need shape \(N, 5\), got \(2, 4\)"):
        overload.redispatch(CUDA, BOXES, BOXES[:, :4])
    with pytest.raises(ValueError, match="need one device, got cpu and meta"):
        overload.redispatch(CUDA, BOXES, BOXES.to("meta"))


@OPS
def test_without_the_library_by_request(op: str, args: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda, "LIBRARY", Path("nowhere/rotx_cuda.so"))
    monkeypatch.setenv("ROTX_NO_CUDA_EXT", "1")
    overload = getattr(torch.ops.rotx, op).default
    torch.testing.assert_close(overload.redispatch(CUDA, *args), overload(*args), rtol=0, atol=1e-6)


BUILT = pytest.mark.skipif(
    not _cuda.LIBRARY.is_file() or torch.version.cuda is None,
    reason="needs the CUDA library (run `make cuda`) and a torch with CUDA",
)


@BUILT
def test_it_loads_and_has_a_kernel_for_every_op() -> None:
    assert _cuda.LIBRARY.stat().st_size < 3e6
    for schema in _cuda._SCHEMAS:
        op = schema.partition("(")[0]
        assert callable(getattr(_cuda.kernels(), op))
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"rotx_cuda::{op}", "CUDA"), op
        assert not torch._C._dispatch_has_kernel_for_dispatch_key(f"rotx_cuda::{op}", "Meta"), op


@BUILT
def test_its_errors_become_errors_of_python() -> None:
    """An exception of C++ that leaves the library."""
    kernel = _cuda.kernels().box_iou_rotated.default
    with pytest.raises(RuntimeError, match=r"b: need shape \(N, 5\)") as raised:
        kernel.redispatch(CUDA, BOXES, BOXES[:, :4], False, False)
    assert str(Path(__file__).parents[1]) not in str(raised.value)


@BUILT
@OPS
def test_schema_and_fake_kernels_are_right(op: str, args: tuple[object, ...]) -> None:
    _cuda.kernels()
    overload = getattr(torch.ops.rotx, op).default
    torch.library.opcheck(overload, args)
    with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True) as mode:
        fake = [mode.from_tensor(v).to("cuda") if isinstance(v, torch.Tensor) else v for v in args]
        found = overload(*fake)
    assert found.device.type == "cuda"
    assert found.dtype == overload(*args).dtype and found.dim() == overload(*args).dim()


@BUILT
def test_it_holds_no_path_of_the_machine_that_built_it() -> None:
    content = _cuda.LIBRARY.read_bytes()
    for path in (Path(__file__).parents[1], Path(torch.__file__).parents[1]):
        assert str(path).encode() not in content


@BUILT
def test_it_uses_the_stable_abi_alone() -> None:
    tool = Path(sys.executable).with_name("torch-abi-audit")
    if not tool.is_file():
        pytest.skip("needs torch-abi-audit: pip install 'rotx[dev]'")
    run = subprocess.run([tool, "--check", "torch", _cuda.LIBRARY], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0 and "unstable=0" in run.stdout and "min-torch=2.11.0" in run.stdout, run.stdout


BUILD = Path(__file__).parents[1] / "cuda/build.py"


def test_a_compiler_that_is_too_old(tmp_path: Path) -> None:
    nvcc = tmp_path / "bin/nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.4, V12.4.131'\n")
    nvcc.chmod(0o755)
    environment = {**os.environ, "CUDA_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, BUILD], env=environment, capture_output=True, text=True, timeout=100)
    assert run.returncode == 1
    assert run.stderr.startswith(f"{nvcc} is too old: release 12.4, need 12.8 or later; without CUDA_HOME")


def test_the_build_and_the_package_need_the_same_torch_and_gpu() -> None:
    source = BUILD.read_text(encoding="utf-8")
    assert f"TORCH = {_cuda._TORCH}" in source
    assert "ARCHITECTURES = ({}{},".format(*_cuda._CAPABILITY) in source
