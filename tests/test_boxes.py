"""rotx.boxes: equal to MMRotate's numbers where those are right, and what holds for every box."""

import json
from functools import cache
from math import pi

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="rotx.boxes needs torch")

from rotx import boxes, geometry  # noqa: E402

OPS = GOLDENS / "ops"
VERSIONS = {"oc": (-pi / 2, 0), "le90": (-pi / 2, pi / 2), "le135": (-pi / 4, 3 * pi / 4)}


@cache
def arrays() -> dict[str, torch.Tensor]:
    with np.load(OPS / "structures.npz") as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


def rboxes(number: int = 500, seed: int = 0) -> torch.Tensor:
    draw = np.random.default_rng(seed)
    columns = [draw.uniform(0, 1000, (number, 2)), draw.lognormal(3, 1, (number, 2)), draw.uniform(-9, 9, (number, 1))]
    return torch.from_numpy(np.concatenate(columns, axis=1))


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """IoU row by row, of rboxes or quads."""
    return torch.from_numpy(geometry.box_iou_aligned(a.double().numpy(), b.double().numpy()))


@pytest.mark.parametrize(
    ("function", "source", "target"),
    [
        ("rbox2qbox", "rbox", "rbox2qbox"),
        ("rbox2hbox", "rbox", "rbox2hbox"),
        ("qbox2hbox", "qbox_noisy", "qbox_noisy2hbox"),
        ("hbox2rbox", "rbox2hbox", "hbox2rbox"),
        ("hbox2qbox", "rbox2hbox", "hbox2qbox"),
    ],
)
def test_conversions_equal_mmrotate(function: str, source: str, target: str) -> None:
    torch.testing.assert_close(getattr(boxes, function)(arrays()[source]), arrays()[target], rtol=0, atol=1e-4)


@pytest.mark.parametrize("version", VERSIONS)
def test_angle_versions_equal_mmrotate(version: str) -> None:
    values = arrays()
    torch.testing.assert_close(boxes.regularize(values["rbox"], version), values[f"regularize_{version}"])
    torch.testing.assert_close(boxes.norm_angle(values["angle"], version), values[f"norm_angle_{version}"])


def test_angles_of_boxes_with_a_heading_equal_mmrotate() -> None:
    torch.testing.assert_close(boxes.norm_angle(arrays()["angle"], "r360"), arrays()["norm_angle_r360"])


def test_qbox2rbox_gives_the_rectangles_of_opencv() -> None:
    values = arrays()
    assert overlap(boxes.qbox2rbox(values["rbox2qbox"]), values["qbox2rbox"]).min() > 0.9999
    # Where three corners make the hull, several rectangles have the least area, and OpenCV may take another.
    mine, reference = boxes.qbox2rbox(values["qbox_noisy"]), values["qbox_noisy2rbox"]
    torch.testing.assert_close(mine[:, 2:4].prod(1), reference[:, 2:4].prod(1), rtol=1e-5, atol=0)
    assert (overlap(mine, reference) > 0.9999).sum() >= 50


@pytest.mark.parametrize("kind", ["rbox", "qbox"])
def test_moves_equal_mmrotate(kind: str) -> None:
    values = arrays()
    given = values["rbox" if kind == "rbox" else "qbox_noisy"]
    about = json.loads((OPS / "structures.json").read_text())
    for direction in ("horizontal", "vertical", "diagonal"):
        size = tuple(about[f"{kind}/flip_{direction}"]["img_shape"])
        torch.testing.assert_close(boxes.flip(given, size, direction), values[f"{kind}/flip_{direction}"])
    turn = about[f"{kind}/rotate"]
    turned = boxes.rotate(given, tuple(turn["center"]), np.deg2rad(turn["angle_deg"]))
    torch.testing.assert_close(turned, values[f"{kind}/rotate"], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(boxes.translate(given, (3.5, -7.25)), values[f"{kind}/translate"])
    doubled, reference = boxes.rescale(given, (2, 2)), values[f"{kind}/rescale_2_2"]
    if kind == "rbox":  # MMRotate's atan2 takes whole turns off the angle
        reference = torch.cat([reference[:, :4], given[:, 4:]], dim=1)
    torch.testing.assert_close(doubled, reference)


def test_unequal_factors_scale_quads_as_mmrotate() -> None:
    values = arrays()
    torch.testing.assert_close(boxes.rescale(values["qbox_noisy"], (1.5, 0.75)), values["qbox/rescale_1.5_0.75"])


def test_unequal_factors_give_the_least_rectangle_around_the_scaled_corners() -> None:
    """Where MMRotate takes the direction of the distorted height (trap 15 of the goldens)."""
    given = rboxes()
    scaled = boxes.rescale(given, (1.5, 0.5))
    corners = boxes.rbox2qbox(given) * torch.tensor([1.5, 0.5], dtype=given.dtype).repeat(4)
    around = torch.from_numpy(np.stack([geometry.min_area_rect(quad.numpy().reshape(4, 2)) for quad in corners]))
    assert overlap(scaled, around).min() > 1 - 1e-9
    # A parallelogram fills at least half of it, and no corner lies outside.
    assert (given[:, 2:4].prod(1) * 0.75 >= scaled[:, 2:4].prod(1) * 0.5 * (1 - 1e-9)).all()
    local = boxes.rotate(corners[0], tuple(scaled[0, :2].tolist()), -scaled[0, 4].item()).reshape(4, 2) - scaled[0, :2]
    assert (local.abs() <= scaled[0, 2:4] / 2 + 1e-9).all()
    # The long thin box of the goldens' README: its long side points to 0.27, not to 0.83.
    thin = torch.tensor([[0.0, 0.0, 100.0, 2.0, 0.5]], dtype=torch.float64)
    assert abs(boxes.rescale(thin, (2.0, 1.0))[0, 4] - np.arctan(np.tan(0.5) / 2)) < 0.02


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_regularize_keeps_the_rectangle_and_the_range(version: str, dtype: torch.dtype) -> None:
    given = rboxes().to(dtype)
    edge = torch.tensor([-1e-9, 0, 1e-9], dtype=dtype)
    for k in range(-8, 9):  # angles on the border of every range, and beside it
        at = edge.add(k * pi / 4)
        given = torch.cat([given, torch.stack([at * 0, at * 0, at * 0 + 7, at * 0 + 3, at], dim=1)])
    written = boxes.regularize(given, version)
    least, below = VERSIONS[version]
    slack = torch.finfo(dtype).eps * 4
    assert ((written[:, 4] >= least - slack) & (written[:, 4] < below + slack)).all()
    assert version == "oc" or (written[:, 2] >= written[:, 3]).all()
    assert overlap(given, written).min() > (1 - 1e-9 if dtype == torch.float64 else 1 - 1e-4)
    again = boxes.regularize(written, version)
    assert overlap(again, written).min() > 1 - 1e-4


@pytest.mark.parametrize("version", VERSIONS)
def test_corners_and_back(version: str) -> None:
    given = rboxes()
    back = boxes.qbox2rbox(boxes.rbox2qbox(given), version)
    assert overlap(back, given).min() > 1 - 1e-9
    torch.testing.assert_close(back, boxes.regularize(given, version), rtol=1e-7, atol=1e-7)
    assert overlap(boxes.rbox2qbox(given), torch.from_numpy(geometry.rbox_to_quad(given.numpy()))).min() > 1 - 1e-9


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_a_flip_is_its_own_inverse_and_one_for_both_kinds(direction: str) -> None:
    given = rboxes()
    flipped = boxes.flip(given, (700, 900), direction)
    torch.testing.assert_close(boxes.flip(flipped, (700, 900), direction), given)
    assert overlap(boxes.rbox2qbox(flipped), boxes.flip(boxes.rbox2qbox(given), (700, 900), direction)).min() > 1 - 1e-9


def test_rotating_and_translating_is_one_for_both_kinds() -> None:
    given = rboxes()
    for move in (lambda b: boxes.rotate(b, (300, 200), 0.7), lambda b: boxes.translate(b, (-4, 9))):
        assert overlap(boxes.rbox2qbox(move(given)), move(boxes.rbox2qbox(given))).min() > 1 - 1e-9
    right = boxes.rotate(torch.tensor([[10.0, 0.0, 4.0, 2.0, 0.0]]), (0, 0), pi / 2)
    torch.testing.assert_close(right, torch.tensor([[0.0, 10.0, 4.0, 2.0, pi / 2]]))  # clockwise: right goes down


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 0), (2, 3)])
def test_any_shape_and_dtype(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    given = rboxes(6)[: int(np.prod(shape))].reshape(*shape, 5).to(dtype)
    before = given.clone()
    quads, hboxes = boxes.rbox2qbox(given), boxes.rbox2hbox(given)
    results = {
        8: [quads, boxes.hbox2qbox(hboxes), boxes.translate(quads, (1, 2)), boxes.flip(quads, (9, 9), "diagonal")],
        5: [boxes.qbox2rbox(quads), boxes.hbox2rbox(hboxes), boxes.regularize(given, "oc")],
        4: [hboxes, boxes.qbox2hbox(quads)],
    }
    results[5] += [
        boxes.rescale(given, (2, 1)),
        boxes.rotate(given, (1, 1), 0.3),
        boxes.flip(given, (9, 9), "vertical"),
    ]
    results[8] += [boxes.rescale(quads, (2, 1)), boxes.rotate(quads, (1, 1), 0.3)]
    for columns, made in results.items():
        for result in made:
            assert result.shape == (*shape, columns) and result.dtype == dtype
            assert result.isfinite().all()
    assert torch.equal(given, before)


def test_gradients() -> None:
    given = rboxes(4).requires_grad_()
    for function in (boxes.rbox2qbox, boxes.rbox2hbox, lambda b: boxes.regularize(b, "le135")):
        assert torch.autograd.gradcheck(function, given)
    degenerate = torch.tensor([[1.0, 2.0, 0.0, 0.0, 0.0], [1.0, 2.0, 1e-6, 1e4, -1.0]], requires_grad=True)
    boxes.rbox2hbox(degenerate).sum().backward()
    assert degenerate.grad.isfinite().all()


def test_what_is_not_finite_stays_so() -> None:
    nan = torch.full((1, 5), torch.nan)
    assert boxes.regularize(nan, "le90").isnan().all()
    assert boxes.qbox2rbox(torch.full((1, 8), torch.nan)).isnan().all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_gpu() -> None:
    given = rboxes().cuda()
    back = boxes.qbox2rbox(boxes.rbox2qbox(given))
    assert back.is_cuda
    assert overlap(back.cpu(), given.cpu()).min() > 1 - 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boxes.regularize(torch.zeros(1, 5), "le80"), "need 'oc', 'le90' or 'le135', got 'le80'"),
        (lambda: boxes.norm_angle(torch.zeros(1), "le80"), "got 'le80'"),
        (lambda: boxes.flip(torch.zeros(1, 5), (1, 1), "up"), "need one of 'horizontal', 'vertical', 'diagonal', got"),
        (lambda: boxes.flip(torch.zeros(1, 4), (1, 1), "vertical"), r"need rboxes \(..., 5\) or quads"),
        (lambda: boxes.translate(torch.zeros(1, 4), (1, 1)), r"got shape \(1, 4\)"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
