"""The ops within torch's machinery on the GPU: opcheck, compile, graphs, streams, several devices, errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from test_ops import DTYPES, boxes, labels, samples, scores
from test_roi_align import images, rois

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import ops  # noqa: E402

pytestmark = pytest.mark.gpu
Tensor = torch.Tensor


def moved(args: tuple[object, ...], device: torch.device) -> list[object]:
    return [v.detach().to(device).requires_grad_(v.requires_grad) if isinstance(v, Tensor) else v for v in args]


@pytest.mark.parametrize("requires_grad", [False, True], ids=["plain", "requires_grad"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck(dtype: torch.dtype, requires_grad: bool, device: torch.device) -> None:
    for op, args in samples(dtype, requires_grad):
        torch.library.opcheck(getattr(torch.ops.rotx, op).default, moved(args, device))
    x = images(2, 3, 9, 8, dtype=dtype).requires_grad_(requires_grad)
    for args in ((x, rois(5), [2, 3]), (x, rois(0), [2, 3], 0.25, 2, False, False)):
        # Sums of gradients in any order differ in their last bits.
        torch.library.opcheck(torch.ops.rotx.roi_align_rotated.default, moved(args, device), rtol=1e-4, atol=1e-4)


#: The ops among the samples that have a gradient.
DIFFERENTIABLE = {"convex_giou"}


@pytest.mark.parametrize(("op", "args"), samples(torch.float32, True))
def test_results_stay_on_the_device_and_require_grad_only_if_differentiable(
    op: str, args: tuple[object, ...], device: torch.device
) -> None:
    overload = getattr(torch.ops.rotx, op).default
    found = overload(*moved(args, device))
    assert found.device.type == device.type
    assert found.requires_grad == (op in DIFFERENTIABLE)
    torch.testing.assert_close(found.cpu(), overload(*args), rtol=0, atol=1e-6)


def test_compile(device: torch.device) -> None:
    def step(a: Tensor, b: Tensor, x: Tensor, regions: Tensor) -> Tensor:
        best = ops.box_iou_rotated(2 * a, b).amax(dim=1)
        return best.sum() + ops.roi_align_rotated(2 * x, regions, (3, 2), 0.5).square().sum()

    def chosen(a: Tensor, s: Tensor, c: Tensor) -> Tensor:
        return a[ops.batched_nms_rotated(a, s, c, 0.3)] * 2

    backend = "inductor" if device.type == "cuda" else "aot_eager"
    compiled = torch.compile(step, fullgraph=True, backend=backend, dynamic=True)
    compiled_nms = torch.compile(chosen, fullgraph=True, backend="aot_eager", dynamic=True)
    for n, height in ((7, 9), (12, 12)):
        a, b, regions = boxes(n).to(device), boxes(5, seed=3).to(device), rois(n).to(device)
        x = images(2, 3, height, 8).to(device).requires_grad_()
        want, found = step(a, b, x, regions), compiled(a, b, x, regions)
        torch.testing.assert_close(found, want)
        torch.testing.assert_close(*(torch.autograd.grad(loss, x)[0] for loss in (found, want)))
        args = a, scores(n).to(device), labels(n).to(device)
        torch.testing.assert_close(compiled_nms(*args), chosen(*args))


def test_cuda_graphs(gpu: torch.device) -> None:
    a, b, x, regions = (v.to(gpu) for v in (boxes(70), boxes(40, seed=3), images(2, 40, 20, 24), rois(30)))
    grad = torch.ones(30, 40, 7, 7, dtype=x.dtype, device=gpu)

    def run() -> list[Tensor]:
        backward = torch.ops.rotx.roi_align_rotated_backward(grad, regions, x.shape, 0.5, 2, True, True)
        return [
            ops.box_iou_rotated(a, b),
            ops.box_iou_rotated(a[:40], b, "iof", aligned=True),
            ops.roi_align_rotated(x, regions, 7, 0.5, 2),
            backward,
        ]

    side = torch.cuda.Stream(gpu)
    side.wait_stream(torch.cuda.current_stream(gpu))
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream(gpu).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    for seed in (5, 6):
        a.copy_(boxes(70, seed=seed))
        regions.copy_(rois(30, seed=seed))
        graph.replay()
        for found, want in zip(captured, run(), strict=True):
            torch.testing.assert_close(found, want, rtol=0, atol=1e-12)


def test_iou_and_roi_align_do_not_wait_for_the_gpu(gpu: torch.device) -> None:
    a, x, regions = (v.to(gpu) for v in (boxes(70), images(2, 40, 20, 24), rois(30)))
    grad, backward = x.new_ones(30, 40, 7, 7), torch.ops.rotx.roi_align_rotated_backward
    torch.cuda.set_sync_debug_mode("error")
    try:
        ops.box_iou_rotated(a, a)
        ops.roi_align_rotated(x, regions, 7)
        for deterministic in (False, True):
            torch.use_deterministic_algorithms(deterministic)
            backward(grad, regions, x.shape, 1.0, 0, True, True)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.cuda.set_sync_debug_mode("default")


def check_streams(run: Callable[[Tensor], Tensor], values: Tensor) -> None:
    """On two streams at once, on which the input is only written after a long wait."""
    want = run(values)
    streams = [torch.cuda.Stream(values.device) for _ in range(2)]
    buffers, results = [torch.zeros_like(values) for _ in streams], []
    torch.cuda.synchronize(values.device)
    for buffer, stream in zip(buffers, streams, strict=True):
        with torch.cuda.stream(stream):
            torch.cuda._sleep(200_000_000)
            buffer.copy_(values)
            results.append(run(buffer))
    torch.cuda.synchronize(values.device)
    for found in results:
        torch.testing.assert_close(found, want, rtol=0, atol=1e-12)


def test_work_is_done_on_the_current_stream(gpu: torch.device) -> None:
    a, s, c, x, regions = (v.to(gpu) for v in (boxes(300), scores(300), labels(300), images(2, 9, 20, 24), rois(30)))
    grad, backward = x.new_ones(30, 9, 2, 2), torch.ops.rotx.roi_align_rotated_backward
    check_streams(lambda v: ops.box_iou_rotated(v, a), a)
    check_streams(lambda v: ops.box_iou_rotated(v, v, aligned=True), a)
    check_streams(lambda v: ops.batched_nms_rotated(v, s, c, 0.3), a)
    check_streams(lambda v: ops.roi_align_rotated(v, regions, 7), x)
    check_streams(lambda v: ops.roi_align_rotated(v, regions, 7), x.to(memory_format=torch.channels_last))
    check_streams(lambda v: backward(grad, v, x.shape, 1.0, 0, True, True), regions)


def test_a_device_that_is_not_the_current_one(gpu: torch.device) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    other = torch.device("cuda", 1)
    a, s, x, regions = (v.to(other) for v in (boxes(300), scores(300), images(2, 9, 20, 24), rois(30)))
    for found, want in (
        (ops.box_iou_rotated(a, a), ops.box_iou_rotated(a.cpu(), a.cpu())),
        (ops.nms_rotated(a, s, 0.3), ops.nms_rotated(a.cpu(), s.cpu(), 0.3)),
        (ops.roi_align_rotated(x, regions, 7), ops.roi_align_rotated(x.cpu(), regions.cpu(), 7)),
    ):
        assert found.device == other
        torch.testing.assert_close(found.cpu(), want, rtol=0, atol=1e-12)
    assert torch.cuda.current_device() == 0


def test_errors_are_those_of_the_cpu(device: torch.device) -> None:
    a, x = boxes(3).to(device), images(2, 3, 9, 8).to(device)
    for run, error, text in (
        (lambda: ops.box_iou_rotated(a[:, :4], a), ValueError, "a: need shape (N, 5), got (3, 4)"),
        (lambda: ops.box_iou_rotated(a, a.float()), TypeError, "a and b: need one dtype, got float64 and float32"),
        (lambda: ops.nms_rotated(a, a[:2, 0], 0.5), ValueError, "scores: need one per box, got 2 for 3 boxes"),
        (lambda: ops.nms_rotated(a, a[:, 0], 2), ValueError, "iou_threshold: need a number in [0, 1], got 2"),
        (lambda: ops.roi_align_rotated(x, a, 2), ValueError, "rois: need shape (N, 6), got (3, 5)"),
        (lambda: ops.roi_align_rotated(x[0], rois(2).to(device), 2), ValueError, "input: need shape (N, C, H, W)"),
    ):
        with pytest.raises(error) as raised:
            run()
        assert text in str(raised.value)


def test_tensors_of_two_devices(gpu: torch.device) -> None:
    with pytest.raises(ValueError, match="a and b: need one device, got cuda:0 and cpu"):
        ops.box_iou_rotated(boxes(3).to(gpu), boxes(3))
