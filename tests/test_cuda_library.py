"""The library of CUDA kernels: it loads without a GPU too, or one error says why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the kernels are torch ops")

from rotx.ops import _cuda  # noqa: E402

# What the dispatcher calls for CUDA tensors can be called without a CUDA device.
CUDA = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
BOXES = torch.tensor([[5.0, 5, 4, 2, 0.3], [5.0, 6, 4, 2, 0.3]])
CALLS = [
    ("box_iou_rotated", (BOXES, BOXES)),
    ("box_iou_quadri", (torch.rand(2, 8), torch.rand(2, 8))),
    ("nms_rotated", (BOXES, torch.rand(2), 0.5)),
    ("batched_nms_rotated", (BOXES, torch.rand(2), torch.tensor([3, 4]), 0.5)),
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
    assert str(damaged) in error and "build them again with `make cuda`" in error


def test_torch_too_old_or_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "was built without CUDA: install one with it" in refused(*CALLS[0])
    monkeypatch.setattr(_cuda, "_load", _cuda._load.__wrapped__)
    monkeypatch.setattr(torch, "__version__", "2.10.1+cu128")
    assert "torch is 2.10.1+cu128, they need 2.11 or later: upgrade torch" in refused(*CALLS[0])


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
