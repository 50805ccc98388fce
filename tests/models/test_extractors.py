"""Features of RoIs: levels and values equal to MMRotate's, in any precision, for boxes that are none, too."""

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="models need torch")

from rotx.models.heads.roi_extractor import RoIAlign, RoIAlignRotated, SingleRoIExtractor, to_rois  # noqa: E402

STRIDES = [4, 8, 16, 32]


def extractor(rotated: bool) -> SingleRoIExtractor:
    layer = RoIAlignRotated(out_size=7, sample_num=2) if rotated else RoIAlign(output_size=7)
    return SingleRoIExtractor(roi_layer=layer, out_channels=4, featmap_strides=STRIDES)


def test_equals_mmrotate() -> None:
    with np.load(GOLDENS / "ops/roi_align_rotated.npz") as file:
        features = [torch.from_numpy(file[f"extractor/feat{i}"]) for i in range(4)]
        rois, levels, out = (torch.from_numpy(file[name]) for name in ("rois", "extractor/levels", "extractor/out"))
    made = extractor(rotated=True)
    assert torch.equal(made.map_levels(rois), levels.long())
    torch.testing.assert_close(made(features, rois), out)


def far_out(rotated: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Waves for features, which show any shift, and a RoI at coordinates that half precision rounds by pixels."""
    wave = torch.arange(512, dtype=torch.float32).cos()
    features = [wave[: 2048 // s].expand(1, 4, 8, -1).contiguous() for s in STRIDES]
    box = [1001.3, 13.0, 24.0, 18.0, 0.0] if rotated else [989.3, 4.0, 1013.3, 22.0]
    return features, to_rois([torch.tensor([box])])


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [True, False])
def test_half_precision_keeps_the_coordinates(rotated: bool, dtype: torch.dtype, autocast: bool) -> None:
    features, rois = far_out(rotated)
    halves = [x.to(dtype) for x in features]
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        out = extractor(rotated)(halves, rois)
    exact = extractor(rotated)([x.float() for x in halves], rois)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), exact, rtol=float(torch.finfo(dtype).eps), atol=1e-6)


@pytest.mark.parametrize("rotated", [True, False])
def test_a_row_for_every_roi(rotated: bool) -> None:
    """Also for one that is not finite: a diverged model's is no box of any level."""
    features, rois = far_out(rotated)
    rois = rois.repeat(4, 1)
    rois[1, 3], rois[2, 3] = torch.nan, torch.inf
    out = extractor(rotated)(features, rois)
    assert out.shape == (4, 4, 7, 7)
    assert torch.equal(out[0], out[3]) and out[0].isfinite().all()
    assert extractor(rotated)(features, rois[:0]).shape == (0, 4, 7, 7)
