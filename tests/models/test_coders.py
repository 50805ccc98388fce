"""Coders of boxes and angles: equal to MMRotate's where it is right, inverse, and finite for any box."""

import json
from functools import cache
from math import pi

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="models need torch")

from rotx import geometry  # noqa: E402
from rotx.boxes import convert, hbox2rbox, rbox2hbox, regularize  # noqa: E402
from rotx.models.coders.angle_coder import PseudoAngleCoder  # noqa: E402
from rotx.models.coders.csl import CSLCoder  # noqa: E402
from rotx.models.coders.delta_xywh import DeltaXYWHHBBoxCoder  # noqa: E402
from rotx.models.coders.delta_xywht import DeltaXYWHTHBBoxCoder, DeltaXYWHTRBBoxCoder  # noqa: E402
from rotx.models.coders.distance_angle_point import DistanceAnglePointCoder  # noqa: E402
from rotx.models.coders.midpoint_offset import MidpointOffsetCoder  # noqa: E402
from rotx.models.coders.psc import PSCCoder  # noqa: E402

OPS = GOLDENS / "ops"
VERSIONS = ["oc", "le90", "le135"]
WINDOWS = [
    ("gaussian", 1, 6), ("triangle", 1, 6), ("rect", 1, 6), ("pulse", 1, 6),
    ("gaussian", 4, 3), ("gaussian", 1, 1), ("pulse", 2, 6),
]  # fmt: skip


@cache
def arrays(name: str = "coders") -> dict[str, torch.Tensor]:
    with np.load(OPS / f"{name}.npz") as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


def rboxes(number: int = 300, seed: int = 0) -> torch.Tensor:
    draw = np.random.default_rng(seed)
    columns = [draw.uniform(0, 300, (number, 2)), draw.uniform(8, 99, (number, 2)), draw.uniform(-9, 9, (number, 1))]
    return torch.from_numpy(np.concatenate(columns, axis=1))


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(geometry.box_iou_aligned(a.double().numpy(), b.double().numpy()))


@pytest.mark.parametrize("kind", ["DeltaXYWHTRBBoxCoder", "DeltaXYWHTHBBoxCoder"])
@pytest.mark.parametrize("case", range(24))
def test_delta_coders_equal_mmrotate(kind: str, case: int) -> None:
    """The goldens of cases 1, 3, 4 and 5 of every six are made with proj_xy; 4 clamps nothing then (bug 16)."""
    values, about = arrays(), json.loads((OPS / "coders.json").read_text())[f"{kind}/{case}"]
    rotated = kind == "DeltaXYWHTRBBoxCoder"
    if rotated and case % 6 in (1, 3, 4, 5):
        about |= {"proj_xy": True, "ctr_clamp": 10**6}
    coder = (DeltaXYWHTRBBoxCoder if rotated else DeltaXYWHTHBBoxCoder)(**about)
    priors = values["rpriors" if rotated else "hpriors"]
    if about["angle_version"] == "r360":
        with pytest.raises(ValueError, match="got 'r360'"):
            coder.encode(priors, values["gts"])
    else:
        torch.testing.assert_close(coder.encode(priors, values["gts"]), values[f"{kind}/{case}/encode"])
    torch.testing.assert_close(coder.decode(priors, values["deltas5"]), values[f"{kind}/{case}/decode"])
    if rotated:
        decoded = coder.decode(priors, values["deltas5"], max_shape=(200, 220))
        torch.testing.assert_close(decoded, values[f"{kind}/{case}/decode_max_shape"])


def test_the_centre_clamp_holds_along_the_priors_sides_too() -> None:
    """MMRotate leaves it out with proj_xy (bug 16 of the goldens)."""
    coder = DeltaXYWHTRBBoxCoder(angle_version="le90", proj_xy=True, add_ctr_clamp=True, ctr_clamp=7)
    prior = torch.tensor([[0.0, 0.0, 100.0, 50.0, pi / 6]])
    moved = coder.decode(prior, torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(moved[0, :2], 7 * torch.tensor([np.cos(pi / 6), 0.5], dtype=torch.float32))


def test_one_box_a_class_equals_mmrotate() -> None:
    values = arrays()
    coder = DeltaXYWHTRBBoxCoder(
        angle_version="le90", edge_swap=True, proj_xy=True, target_stds=(0.1, 0.1, 0.2, 0.2, 0.1)
    )
    decoded = coder.decode(values["rpriors"], values["deltas15"])
    torch.testing.assert_close(decoded, values["DeltaXYWHTRBBoxCoder/multiclass_decode"])
    torch.testing.assert_close(decoded[:, 5:10], coder.decode(values["rpriors"], values["deltas15"][:, 5:10]))


def test_hbox_coder_equals_mmdetection() -> None:
    values, coder = arrays(), DeltaXYWHHBBoxCoder(target_stds=(0.1, 0.1, 0.2, 0.2))
    torch.testing.assert_close(
        coder.encode(values["hpriors"], rbox2hbox(values["gts"])), values["DeltaXYWHHBBoxCoder/encode"]
    )
    decoded = coder.decode(values["hpriors"], values["deltas5"][:, :4], max_shape=(200, 220))
    torch.testing.assert_close(decoded, values["DeltaXYWHHBBoxCoder/decode"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("std", ["0.5", "1.0"])
def test_midpoint_offsets_equal_mmrotate(version: str, std: str) -> None:
    values, name = arrays(), f"MidpointOffsetCoder/{version}/{std}"
    coder = MidpointOffsetCoder(target_stds=[1, 1, 1, 1, float(std), float(std)], angle_version=version)
    torch.testing.assert_close(coder.encode(values["hpriors"], values["gts"]), values[f"{name}/encode"])
    decoded = coder.decode(values["hpriors"], values["deltas6"])
    torch.testing.assert_close(decoded, values[f"{name}/decode"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("version", VERSIONS)
def test_distances_equal_mmrotate(version: str) -> None:
    values, coder = arrays(), DistanceAnglePointCoder(angle_version=version)
    name, points, gts = f"DistanceAnglePointCoder/{version}", values["points"], values["gts"]
    torch.testing.assert_close(coder.encode(points, gts), values[f"{name}/encode"], rtol=1e-5, atol=1e-4)
    limited = coder.encode(points, gts, max_dis=20)
    torch.testing.assert_close(limited, values[f"{name}/encode_max20"], rtol=1e-5, atol=1e-4)
    for shape, key in ((None, "decode"), ((200, 220), "decode_max_shape")):
        torch.testing.assert_close(coder.decode(points, values["distances"], shape), values[f"{name}/{key}"])
    distances = arrays("structures")
    decoded = coder.decode(distances["distance2obb/points"], distances["distance2obb/distance"])
    torch.testing.assert_close(decoded, distances[f"distance2obb/{version}"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("window", "omega", "radius"), WINDOWS)
def test_csl_equals_mmrotate(version: str, window: str, omega: int, radius: int) -> None:
    values, name = arrays(), f"CSL/{version}/{window}_{omega}_{radius}"
    coder = CSLCoder(version, omega=omega, window=window, radius=radius)
    labels = coder.encode(values[f"CSL/{version}/angle"])
    torch.testing.assert_close(labels, values[f"{name}/encode"])
    assert labels.shape[1] == coder.encode_size
    scores = np.random.Generator(np.random.PCG64(131)).normal(0, 1, (40, coder.encode_size)).astype(np.float32)
    decoded = coder.decode(torch.from_numpy(scores))
    # For oc MMRotate decodes to [0, π/2), a quarter turn away from where its boxes lie (bug 6 of the goldens).
    quarter = pi / 2 if version == "oc" else 0
    torch.testing.assert_close(decoded + quarter, values[f"{name}/decode"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("window", "omega", "radius"), WINDOWS)
def test_csl_decodes_what_it_encodes(version: str, window: str, omega: int, radius: int) -> None:
    if version == "oc" and omega == 4:
        pytest.skip("4 does not divide 90")
    angles = regularize(rboxes(), version)[:, 4:]
    coder = CSLCoder(version, omega=omega, window=window, radius=radius, window_form="gaussian")
    labels = coder.encode(angles)
    decoded = coder.decode(labels)
    assert decoded.shape == (300,) and coder.decode(labels, keepdim=True).shape == (300, 1)
    assert (labels.amax(dim=1) == 1).all()
    if window == "rect":  # is as high all over
        assert (labels.sum(dim=1) == 2 * radius).all()
    else:
        assert ((decoded - angles[:, 0]).abs() <= np.deg2rad(omega / 2) + 1e-6).all()


def test_csl_of_oc_keeps_the_box() -> None:
    """−30° decoded to +60.5° in MMRotate: a box across the object (bug 6 of the goldens)."""
    angle = torch.tensor([[np.deg2rad(-30)]])
    coder = CSLCoder("oc", window="pulse")
    assert coder.decode(coder.encode(angle)).rad2deg().item() == pytest.approx(-29.5)


def test_csl_is_circular_and_falls_off_by_the_radius() -> None:
    angle = torch.tensor([[np.deg2rad(-89.5)]])
    for radius in (1, 3, 6):
        labels = CSLCoder("le90", radius=radius, window_form="gaussian").encode(angle)[0]
        torch.testing.assert_close(labels[1:90], labels[91:].flip(0))
        assert labels[0] == 1 and labels[radius] == pytest.approx(np.exp(-0.5), abs=1e-6)
    odd = CSLCoder("le90", radius=6).encode(angle)[0]
    assert odd[0] == pytest.approx(1 / 72) and odd[1] == pytest.approx(np.exp(-1) / 72)


@pytest.mark.parametrize("dual", [True, False])
@pytest.mark.parametrize("steps", [3, 4, 5])
@pytest.mark.parametrize("threshold", ["0.47", "0"])
def test_psc_equals_mmrotate(dual: bool, steps: int, threshold: str) -> None:
    values, name = arrays(), f"PSC/{dual}_{steps}_{threshold}"
    coder = PSCCoder("le90", dual_freq=dual, num_step=steps, thr_mod=float(threshold))
    encoded = coder.encode(values["PSC/angle"])
    torch.testing.assert_close(encoded, values[f"{name}/encode"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(coder.decode(encoded), values[f"{name}/decode_encode"], rtol=1e-5, atol=1e-5)
    random = np.random.Generator(np.random.PCG64(133)).uniform(-1, 1, (60, coder.encode_size)).astype(np.float32)
    decoded = coder.decode(torch.from_numpy(random), keepdim=True)
    torch.testing.assert_close(decoded, values[f"{name}/decode"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dual", [True, False])
def test_psc_decodes_any_shape(dual: bool) -> None:
    """MMRotate slices the second dimension, so that it cannot decode (B, N, C) (bug 14 of the goldens)."""
    angles = regularize(rboxes(), "le90")[:, 4:]
    coder = PSCCoder("le90", dual_freq=dual)
    encoded = coder.encode(angles)
    turned = (coder.decode(encoded) - angles[:, 0] + pi / 2) % pi - pi / 2
    assert turned.abs().max() < 1e-9
    batch = encoded.reshape(3, 100, -1)
    torch.testing.assert_close(coder.decode(batch), coder.decode(encoded).reshape(3, 100))
    assert coder.decode(batch, keepdim=True).shape == (3, 100, 1)
    assert (coder.decode(torch.zeros(2, coder.encode_size)) == 0).all()
    flat = torch.zeros(2, coder.encode_size, requires_grad=True)
    coder.decode(flat).sum().backward()
    assert flat.grad.isfinite().all()


def test_pseudo_angles() -> None:
    angles = torch.tensor([[0.1], [0.2]])
    coder = PseudoAngleCoder()
    assert torch.equal(coder.encode(angles), angles)
    assert coder.decode(angles).shape == (2,) and coder.decode(angles, keepdim=True).shape == (2, 1)


def round_trips() -> list:
    made = []
    for version in VERSIONS:
        for swap in (False, True):
            for factor in (None, 2):
                given = {"angle_version": version, "edge_swap": swap, "norm_factor": factor, "target_means": [0.1] * 5}
                made.append((DeltaXYWHTHBBoxCoder(**given, target_stds=[0.1] * 5), 4))
                made.extend((DeltaXYWHTRBBoxCoder(**given, proj_xy=proj), 5) for proj in (False, True))
        made.append((MidpointOffsetCoder(angle_version=version, target_stds=[0.5] * 6), 4))
        made.append((DistanceAnglePointCoder(angle_version=version), 2))
    return made


@pytest.mark.parametrize(("coder", "columns"), round_trips())
def test_decoding_gives_the_box_back(coder, columns: int) -> None:
    priors = {5: regularize(rboxes(seed=2), "le90"), 4: rbox2hbox(rboxes(seed=2)), 2: rboxes(seed=2)[:, :2]}[columns]
    gts = rboxes(seed=1)
    if columns == 2:  # distances are along the sides as they are written
        gts = regularize(gts, coder.angle_version)
    deltas = coder.encode(priors, gts)
    assert deltas.shape == (300, coder.encode_size)
    decoded = coder.decode(priors, deltas)
    # MidpointOffsetCoder takes boxes for straight that are so to a tenth of a pixel.
    exact = not isinstance(coder, MidpointOffsetCoder)
    assert overlap(decoded, gts).min() > (1 - 1e-6 if exact else 0.97)
    batch = coder.decode(priors.reshape(3, 100, -1), deltas.reshape(3, 100, -1))
    torch.testing.assert_close(batch.reshape(300, 5), decoded)
    for dtype in (torch.float32, torch.float64):
        assert coder.decode(priors.to(dtype), deltas.to(dtype)).dtype == dtype


@pytest.mark.parametrize("angle", [0.0, 0.002, -0.002, 0.0005, -0.0005, pi / 2 + 0.002])
def test_midpoint_offsets_of_long_boxes_at_slight_angles(angle: float) -> None:
    """MMRotate encodes 0.002 as a diagonal without area: two corners are level to 0.1 px, the other two not."""
    gts = torch.tensor([[50.0, 50.0, 100.0, 20.0, angle]])
    coder = MidpointOffsetCoder(angle_version="le90")
    priors = torch.tensor([[10.0, 30.0, 90.0, 70.0]])
    assert overlap(coder.decode(priors, coder.encode(priors, gts)), gts).min() > 0.98


def test_hboxes_around_rboxes_come_back() -> None:
    coder, priors, gts = DeltaXYWHHBBoxCoder(), rbox2hbox(rboxes(seed=2)), rboxes(seed=1)
    deltas = coder.encode(priors, convert(gts, "rbox", coder.box_kind))
    torch.testing.assert_close(coder.decode(priors, deltas), rbox2hbox(gts))
    classes = coder.decode(priors, deltas.repeat(1, 3))
    torch.testing.assert_close(classes, rbox2hbox(gts).repeat(1, 3))
    free = DeltaXYWHHBBoxCoder(clip_border=False).decode(priors, deltas, max_shape=(10, 10))
    torch.testing.assert_close(free, rbox2hbox(gts))


@pytest.mark.parametrize(("coder", "columns"), [*round_trips(), (DeltaXYWHHBBoxCoder(), 4)])
def test_boxes_without_area_and_no_boxes(coder, columns: int) -> None:
    """log(0) and 0 / 0 in MMRotate."""
    sizes = [(0, 0), (0, 9), (9, 0), (1e-6, 1e-6), (1e4, 1), (9, 9)]
    thin = torch.tensor([[50.0, 60.0, w, h, a] for w, h in sizes for a in (0.0, 0.7, -pi / 2)])
    priors = {5: thin, 4: hbox2hbox(thin), 2: thin[:, :2]}[columns].repeat_interleave(len(thin), 0)
    thin = convert(thin, "rbox", coder.box_kind)
    deltas = coder.encode(priors, thin.repeat(len(thin), 1))
    assert deltas.isfinite().all()
    deltas = torch.cat([deltas, torch.zeros_like(deltas), torch.full_like(deltas, 1e6)]).requires_grad_()
    decoded = coder.decode(priors.repeat(3, 1), deltas)
    assert decoded.isfinite().all()
    decoded.sum().backward()
    assert deltas.grad.isfinite().all()
    none = coder.encode(priors[:0], thin[:0])
    assert none.shape == (0, coder.encode_size)
    assert coder.decode(priors[:0], none).shape == (0, 4 if coder.encode_size == 4 else 5)


def hbox2hbox(thin: torch.Tensor) -> torch.Tensor:
    """hboxes of the sizes of rboxes, whatever their angles."""
    half = thin[:, 2:4] / 2
    made = torch.cat([thin[:, :2] - half, thin[:, :2] + half], dim=1)
    assert hbox2rbox(made).shape == thin.shape
    return made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DeltaXYWHTRBBoxCoder(angle_version="le80"), "got 'le80'"),
        (lambda: DeltaXYWHTHBBoxCoder(target_stds=(1, 1)), "target_stds: need 5 numbers, got 2"),
        (lambda: MidpointOffsetCoder(target_means=[0] * 5), "target_means: need 6 numbers, got 5"),
        (lambda: CSLCoder("r360"), "angle_version: need 'oc', 'le90' or 'le135', got 'r360'"),
        (lambda: CSLCoder("oc", window="box"), "window: need 'gaussian', 'triangle', 'rect' or 'pulse', got 'box'"),
        (lambda: CSLCoder("oc", window_form="paper"), "window_form: need"),
        (lambda: CSLCoder("oc", omega=0), "omega, radius: need positive"),
        (lambda: PSCCoder("oc"), "PSC needs 'le90', got 'oc'"),
        (lambda: PSCCoder("le90", num_step=2), "num_step: need at least 3, got 2"),
    ],
)
def test_errors(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
