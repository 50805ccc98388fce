"""rotx.ops on the CPU: dispatcher, dtypes, autograd, compile, errors. Reference numbers: test_ops_goldens."""

import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest

from rotx import geometry

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import ops  # noqa: E402
from rotx.ops import _library  # noqa: E402

IOU, QUADRI, NMS, BATCHED = ops.box_iou_rotated, ops.box_iou_quadri, ops.nms_rotated, ops.batched_nms_rotated
CONVEX_IOU, GIOU, INSIDE = ops.convex_iou, ops.convex_giou, ops.points_in_boxes
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
THRESHOLD = 0.3


def boxes(n: int, columns: int = 5, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    """Rboxes (5 columns) or quads (8) crowded enough to overlap; sizes 5 to 30 on 60 by 60 pixels."""
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(0, 60, (n, 2)), rng.uniform(5, 30, (n, 2)), rng.uniform(-4, 4, (n, 1))]
    rboxes = np.concatenate(parts, axis=1)
    return torch.from_numpy(rboxes if columns == 5 else geometry.rbox_to_quad(rboxes)).to(dtype)


def point_sets(n: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(4).uniform(0, 60, (n, 18))).to(dtype)


def scores(n: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Only eight different values, so that there are ties."""
    return torch.from_numpy(np.random.default_rng(1).integers(0, 8, n) / 8).to(dtype)


def labels(n: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).integers(-1, 2, n))


def strided(values: torch.Tensor) -> torch.Tensor:
    """The same values, not contiguous: every other column of a wider tensor."""
    wide = values.repeat_interleave(2, dim=-1)
    assert not wide[..., ::2].is_contiguous() or values.numel() == 0
    return wide[..., ::2]


def samples(dtype: torch.dtype, requires_grad: bool) -> list[tuple[str, tuple[object, ...]]]:
    def leaf(values: torch.Tensor) -> torch.Tensor:
        return values.detach().requires_grad_(requires_grad)

    made = []
    for op, columns in (("box_iou_rotated", 5), ("box_iou_quadri", 8)):
        a, b = leaf(boxes(7, columns, dtype)), leaf(boxes(4, columns, dtype, seed=3))
        made += [
            (op, (a, b)),
            (op, (a, a, "iof", True)),
            (op, (leaf(strided(a)), leaf(strided(b)), "iof")),
            (op, (leaf(a[:0]), b)),
            (op, (leaf(a[:0]), leaf(b[:0]), "iou", True)),
        ]
    s, c = leaf(scores(12, dtype)), labels(12)
    for op, columns in (("nms_rotated", 5), ("nms_quadri", 8)):
        b, batched = leaf(boxes(12, columns, dtype)), f"batched_{op}"
        made += [(op, (b[i], s[i], THRESHOLD)) for i in (slice(None), slice(0))]
        made += [(batched, (b[i], s[i], c[i], THRESHOLD)) for i in (slice(None), slice(0))]
        made.append((batched, (leaf(strided(b)), leaf(strided(s)), strided(c).int(), THRESHOLD)))
        made += [("points_in_boxes", (p, b)) for p in (b[:, :2], b[:0, :2], leaf(strided(b[:, 2:4])))]
    points, quads = leaf(point_sets(6, dtype)), boxes(6, 8, dtype)  # the quads get no gradient
    for p in (points, leaf(strided(points)), leaf(points[:0])):
        made += [(op, (p,)) for op in ("hull_indices", "min_area_rect")]
        made.append(("convex_iou", (p, leaf(quads[:4]))))
        made.append(("convex_giou", (p, quads[: len(p)])))
    grad = torch.linspace(-1, 1, 6, dtype=dtype)
    made.append(("convex_giou_backward", (grad, points.detach(), quads)))
    return made


@pytest.mark.parametrize("requires_grad", [False, True], ids=["plain", "requires_grad"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck(dtype: torch.dtype, requires_grad: bool) -> None:
    for op, args in samples(dtype, requires_grad):
        torch.library.opcheck(getattr(torch.ops.rotx, op).default, args)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", [5, 8])
def test_iou_is_float64_rounded_once(dtype: torch.dtype, columns: int) -> None:
    iou = ops.box_iou_rotated if columns == 5 else ops.box_iou_quadri
    a, b = boxes(40, columns, dtype), boxes(30, columns, dtype, seed=3)
    exact_a, exact_b = a.double().numpy(), b.double().numpy()
    for mode in ("iou", "iof"):
        expected = torch.from_numpy(geometry.box_iou(exact_a, exact_b, mode)).to(dtype)
        assert expected.count_nonzero() > 100
        assert torch.equal(iou(a, b, mode), expected)
        assert torch.equal(iou(strided(a), strided(b), mode), expected)
        assert torch.equal(iou(a[:30], b, mode, aligned=True), expected[:30].diagonal())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", [5, 8])
def test_nms_is_the_definition(columns: int, dtype: torch.dtype) -> None:
    b, s, c = boxes(150, columns, dtype), scores(150, dtype), labels(150)
    nms, batched = (NMS, BATCHED) if columns == 5 else (ops.nms_quadri, ops.batched_nms_quadri)
    iou = (IOU if columns == 5 else QUADRI)(b.double(), b.double())
    order = sorted(range(150), key=lambda i: (-s[i].item(), i))
    for classes, keep in (
        (torch.zeros(150), nms(b, s, THRESHOLD)),
        (c, batched(b, s, c, THRESHOLD)),
        (c, batched(strided(b), strided(s), strided(c).to(torch.int8), THRESHOLD)),
    ):
        expected: list[int] = []
        for i in order:
            if not any(classes[i] == classes[k] and iou[i, k] > THRESHOLD for k in expected):
                expected.append(i)
        assert keep.dtype == torch.int64
        assert keep.tolist() == expected
        assert 10 < len(expected) < 140


def test_batched_nms_is_nms_of_each_label() -> None:
    b, s, c = boxes(200), scores(200), labels(200)
    alone = [(members := (c == k).nonzero()[:, 0])[ops.nms_rotated(b[members], s[members], 0.1)] for k in c.unique()]
    together = ops.batched_nms_rotated(b, s, c, 0.1)
    assert together.sort().values.equal(torch.cat(alone).sort().values)
    assert together.tolist() == sorted(together.tolist(), key=lambda i: (-s[i].item(), i))


def test_scores_may_have_another_dtype_than_boxes() -> None:
    b, s = boxes(50, dtype=torch.float32), scores(50)  # eighths: exact in every dtype
    assert ops.nms_rotated(b, s.half(), THRESHOLD).equal(ops.nms_rotated(b, s, THRESHOLD))


@pytest.mark.parametrize("columns", [5, 8])
def test_boxes_without_area_or_finite_numbers(columns: int) -> None:
    iou = ops.box_iou_rotated if columns == 5 else ops.box_iou_quadri
    bad = boxes(1, columns).repeat(4, 1)
    bad[0, 0], bad[1, 1], bad[2, 2:], bad[3] = float("nan"), float("inf"), 0, 0
    assert iou(bad, boxes(9, columns)).count_nonzero() == 0
    assert iou(bad, bad, "iof", aligned=True).count_nonzero() == 0
    if columns == 5:
        assert ops.nms_rotated(bad, torch.tensor([0.1, float("nan"), 0.3, 0.2]), 0.0).tolist() == [2, 3, 0, 1]


def test_float64_is_read_in_place_and_nothing_is_written() -> None:
    a, s, c = boxes(20), scores(20), labels(20)
    assert _library.to_numpy(a).__array_interface__["data"][0] == a.data_ptr()
    before = [t.clone() for t in (a, s, c)]
    ops.box_iou_rotated(a, a)
    ops.box_iou_rotated(a, a, "iof", aligned=True)
    ops.batched_nms_rotated(a, s, c, THRESHOLD)
    assert all(torch.equal(t, old) for t, old in zip((a, s, c), before, strict=True))


def test_results_require_no_grad_and_leave_other_gradients_alone() -> None:
    a, b = boxes(6).requires_grad_(), boxes(5, seed=3).requires_grad_()
    iou = ops.box_iou_rotated(a, b)
    assert not iou.requires_grad
    assert not ops.nms_rotated(a, a[:, 0], THRESHOLD).requires_grad
    (iou.sum(dim=1) * a[:, 0]).sum().backward()
    assert a.grad is not None
    assert torch.equal(a.grad[:, 0], iou.sum(dim=1))  # as if the IoU were a constant
    assert b.grad is None


def test_autocast_no_grad_and_inference_mode_change_nothing() -> None:
    a, b, s = boxes(20, dtype=torch.float32), boxes(9, dtype=torch.float32, seed=3), scores(20)
    iou, keep = ops.box_iou_rotated(a, b), ops.nms_rotated(a, s, THRESHOLD)
    for context in (torch.autocast("cpu", torch.bfloat16), torch.no_grad(), torch.inference_mode()):
        with context:
            again = ops.box_iou_rotated(a, b)
            assert again.dtype == torch.float32
            assert torch.equal(again, iou)
            assert torch.equal(ops.nms_rotated(a, s, THRESHOLD), keep)


def test_compile_iou() -> None:
    def both(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        quads = torch.cat([b, b[:, :3]], dim=1)
        return ops.box_iou_rotated(2 * a, 2 * b, "iof").sum() + ops.box_iou_quadri(quads, quads, aligned=True)

    compiled = torch.compile(both, fullgraph=True, backend="aot_eager", dynamic=True)
    for n in (7, 3, 0):
        a, b = boxes(5).requires_grad_(), boxes(n, seed=3)
        assert torch.equal(compiled(a, b), both(a, b))


@torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True)  # torch 2.6 asks for it
def test_compile_nms_with_a_size_that_depends_on_data() -> None:
    def kept(b: torch.Tensor, s: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        one, many = ops.nms_rotated(b, s, THRESHOLD), ops.batched_nms_rotated(b, s, c, THRESHOLD)
        return torch.cat([b[one] * 2, b[many] + 1])

    compiled = torch.compile(kept, fullgraph=True, backend="aot_eager", dynamic=True)
    sizes = set()
    for n in (30, 12, 0):
        args = boxes(n), scores(n), labels(n)
        sizes.add(len(compiled(*args)))
        assert torch.equal(compiled(*args), kept(*args))
    assert len(sizes) == 3


def test_export_nms() -> None:
    class Kept(torch.nn.Module):
        def forward(self, b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
            return b[ops.nms_rotated(b, s, THRESHOLD)]

    program = torch.export.export(Kept(), (boxes(30), scores(30)))
    other = boxes(30, seed=5)
    assert torch.equal(program.module()(other, scores(30)), Kept()(other, scores(30)))


@pytest.mark.parametrize("device", ["cpu", "meta"])  # meta runs the fake kernel
@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda z: IOU(z(3, 4), z(3, 5)), ValueError, "a: need shape (N, 5), got (3, 4)"),
        (lambda z: IOU(z(3, 5), z(5)), ValueError, "b: need shape (N, 5), got (5,)"),
        (lambda z: IOU(z(0), z(3, 5)), ValueError, "a: need shape (N, 5), got (0,)"),
        (lambda z: IOU(z(3, 8), z(3, 8)), ValueError, "a: need shape (N, 5), got (3, 8)"),
        (lambda z: QUADRI(z(3, 8), z(3, 5)), ValueError, "b: need shape (N, 8), got (3, 5)"),
        (lambda z: QUADRI(z(1, 3, 8), z(3, 8)), ValueError, "a: need shape (N, 8), got (1, 3, 8)"),
        (lambda z: IOU(z(3, 5), z(2, 5), aligned=True), ValueError, "need equal numbers of boxes, got 3 and 2"),
        (lambda z: IOU(z(3, 5), z(3, 5), "giou"), ValueError, "mode: need 'iou' or 'iof', got 'giou'"),
        (
            lambda z: IOU(z(3, 5).half(), z(3, 5)),
            TypeError,
            "a and b: need one dtype, got float16 and float32",
        ),
        (
            lambda z: IOU(z(3, 5).long(), z(3, 5)),
            TypeError,
            "a: need float16, bfloat16, float32 or float64, got",
        ),
        (
            lambda z: QUADRI(z(3, 8), z(3, 8).bool()),
            TypeError,
            "b: need float16, bfloat16, float32 or float64, got",
        ),
        (lambda z: NMS(z(3, 8), z(3), 0.5), ValueError, "boxes: need shape (N, 5), got (3, 8)"),
        (lambda z: ops.nms_quadri(z(3, 5), z(3), 0.5), ValueError, "boxes: need shape (N, 8), got (3, 5)"),
        (lambda z: CONVEX_IOU(z(3, 7), z(3, 8)), ValueError, "points: need shape (N, 2k), got (3, 7)"),
        (lambda z: CONVEX_IOU(z(3, 0), z(3, 8)), ValueError, "points: need shape (N, 2k), got (3, 0)"),
        (lambda z: CONVEX_IOU(z(3, 6), z(3, 5)), ValueError, "quads: need shape (N, 8), got (3, 5)"),
        (lambda z: GIOU(z(3, 6), z(2, 8)), ValueError, "points and quads: need equal numbers of rows, got 3 and 2"),
        (lambda z: GIOU(z(3, 6), z(3, 8).half()), TypeError, "points and quads: need one dtype, got float32 and"),
        (lambda z: ops.convex_hull(z(3, 6).int()), TypeError, "points: need float16, bfloat16, float32 or"),
        (lambda z: ops.min_area_rect(z(6)), ValueError, "points: need shape (N, 2k), got (6,)"),
        (lambda z: INSIDE(z(3, 3), z(3, 5)), ValueError, "points: need shape (N, 2), got (3, 3)"),
        (lambda z: INSIDE(z(3, 2), z(3, 4)), ValueError, "boxes: need shape (N, 5) or (N, 8), got (3, 4)"),
        (
            lambda z: NMS(z(3, 5).int(), z(3), 0.5),
            TypeError,
            "boxes: need float16, bfloat16, float32 or float64",
        ),
        (
            lambda z: NMS(z(3, 5), z(3).int(), 0.5),
            TypeError,
            "scores: need float16, bfloat16, float32 or float64",
        ),
        (lambda z: NMS(z(3, 5), z(3, 1), 0.5), ValueError, "scores: need shape (N,), got (3, 1)"),
        (lambda z: NMS(z(3, 5), z(4), 0.5), ValueError, "scores: need one per box, got 4 for 3 boxes"),
        (lambda z: NMS(z(3, 5), z(3), 1.5), ValueError, "iou_threshold: need a number in [0, 1], got 1.5"),
        (lambda z: NMS(z(3, 5), z(3), -0.1), ValueError, "iou_threshold: need a number in [0, 1], got -0.1"),
        (
            lambda z: NMS(z(3, 5), z(3), float("nan")),
            ValueError,
            "iou_threshold: need a number in [0, 1], got nan",
        ),
        (
            lambda z: BATCHED(z(3, 5), z(3), z(3), 0.5),
            TypeError,
            "labels: need an integer dtype, got float32",
        ),
        (
            lambda z: BATCHED(z(3, 5), z(3), z(3).bool(), 0.5),
            TypeError,
            "labels: need an integer dtype, got bool",
        ),
        (
            lambda z: BATCHED(z(3, 5), z(3), z(2).int(), 0.5),
            ValueError,
            "labels: need one per box, got 2 for 3 boxes",
        ),
        (
            lambda z: BATCHED(z(3, 5), z(3), z(3).int(), 2),
            ValueError,
            "iou_threshold: need a number in [0, 1], got 2",
        ),
    ],
)
def test_bad_arguments_fail_alike_run_and_traced(call, error, text, device) -> None:
    with pytest.raises(error) as raised:
        call(partial(torch.zeros, device=device))
    assert text in str(raised.value)


def test_devices_must_be_one() -> None:
    with pytest.raises(ValueError, match="a and b: need one device, got meta and cpu"):
        ops.box_iou_rotated(boxes(3).to("meta"), boxes(3))
    with pytest.raises(ValueError, match="scores and boxes: need one device, got cpu and meta"):
        ops.nms_rotated(boxes(3).to("meta"), scores(3), 0.5)


# What the dispatcher calls for tensors of a device can be called without that device.
XPU = torch._C.DispatchKeySet(torch._C.DispatchKey.XPU)


@pytest.mark.parametrize(("op", "args"), samples(torch.float32, False))
def test_other_devices_run_on_the_cpu(op: str, args: tuple[object, ...]) -> None:
    overload = getattr(torch.ops.rotx, op).default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = overload.redispatch(XPU, *args)
    assert torch.equal(result, overload(*args))


def test_other_devices_warn_once_a_process() -> None:
    code = (
        "import warnings; warnings.simplefilter('always')\n"
        "import torch; from rotx import ops\n"
        "xpu = torch._C.DispatchKeySet(torch._C.DispatchKey.XPU)\n"
        "for op in ('box_iou_rotated', 'box_iou_quadri'):\n"
        "    boxes = torch.ones(2, 5 if op == 'box_iou_rotated' else 8)\n"
        "    for _ in range(3): getattr(torch.ops.rotx, op).default.redispatch(xpu, boxes, boxes)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    warned = [line for line in run.stderr.splitlines() if "UserWarning" in line]
    assert len(warned) == 2, run.stderr
    for op, line in zip(("box_iou_rotated", "box_iou_quadri"), warned, strict=True):
        assert f"rotx.ops.{op}: got tensors on cpu; there is no kernel for that device" in line


def test_other_devices_make_the_same_checks() -> None:
    overload = torch.ops.rotx.box_iou_rotated.default
    with pytest.raises(ValueError, match="need one device, got cpu and meta"):
        overload.redispatch(XPU, boxes(3), boxes(3).to("meta"))
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"need shape \(N, 5\), got \(3, 8\)"):
        warnings.simplefilter("ignore")
        overload.redispatch(XPU, boxes(3, 8), boxes(3, 8))


def test_sparse_tensors_meet_one_clear_error() -> None:
    with pytest.raises(NotImplementedError, match=r"box_iou_rotated: got a sparse tensor: make it dense"):
        ops.box_iou_rotated(boxes(3).to_sparse(), boxes(3))


def test_without_torch_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import rotx.geometry\n"
        "try: import rotx.ops\n"
        "except ImportError as error: print(type(error).__name__, error, error.__suppress_context__)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "ImportError rotx.ops needs torch: pip install 'rotx[train]' True\n"
