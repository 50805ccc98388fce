"""Samplers: numbers and shares, seeds, added ground truths, and fewer candidates than asked for."""

import pytest

torch = pytest.importorskip("torch", reason="models need torch")

from rotx.boxes import rbox2hbox  # noqa: E402
from rotx.models.assigners.max_iou import Assignment  # noqa: E402
from rotx.models.samplers.ohem_sampler import OHEMSampler  # noqa: E402
from rotx.models.samplers.pseudo_sampler import PseudoSampler  # noqa: E402
from rotx.models.samplers.random_sampler import RandomSampler  # noqa: E402
from rotx.models.samplers.sampler import SampledPriors  # noqa: E402
from rotx.records import Instances  # noqa: E402

GTS = torch.tensor([[20.0, 20.0, 10.0, 6.0, 0.3], [60.0, 60.0, 30.0, 9.0, -0.7]])
LABELS = torch.tensor([4, 7])
OBJECTS = Instances(GTS, "rbox", LABELS)
KINDS = {4: "hbox", 5: "rbox"}


def assigned(positive: int = 30, negative: int = 200, ignored: int = 20, columns: int = 5) -> tuple:
    """An assignment in mixed order, its priors, and the objects."""
    gt_inds = torch.cat(
        [torch.arange(positive) % 2 + 1, torch.zeros(negative, dtype=torch.int64), torch.full((ignored,), -1)]
    )
    gt_inds = gt_inds[torch.randperm(len(gt_inds), generator=torch.Generator().manual_seed(1))]
    labels = torch.where(gt_inds > 0, LABELS[(gt_inds - 1).clamp(min=0)], -1)
    priors = torch.arange(len(gt_inds) * columns, dtype=torch.float32).reshape(-1, columns)
    return Assignment(gt_inds, (gt_inds > 0).float(), labels), priors, OBJECTS


def check(samples: SampledPriors, assignment: Assignment) -> None:
    """What holds for every result."""
    gt_inds = torch.cat([torch.arange(1, samples.num_added + 1), assignment.gt_inds])
    for inds in (samples.pos_inds, samples.neg_inds):
        assert torch.equal(inds, inds.unique())
    assert (gt_inds[samples.pos_inds] > 0).all() and (gt_inds[samples.neg_inds] == 0).all()
    filled = samples.gt_inds >= 0
    assert torch.equal(samples.gt_inds[filled], gt_inds[samples.rows[filled]])
    assert torch.equal(
        samples.rows[filled].sort().values, torch.cat([samples.pos_inds, samples.neg_inds]).sort().values
    )
    assert torch.equal(samples.boxes, samples.priors[samples.rows]) and samples.targets is OBJECTS
    assert samples.is_gt.sum() <= samples.num_added


def test_pseudo_takes_all() -> None:
    given = assigned()
    samples = PseudoSampler().sample(*given, kind="rbox")
    check(samples, given[0])
    assert len(samples.pos_inds) == 30 and len(samples.neg_inds) == 200 and samples.avg_factor == 30
    assert len(samples.priors) == 250 and not samples.is_gt.any()


@pytest.mark.parametrize(
    ("num", "fraction", "bound", "positive", "negative"),
    [
        (64, 0.25, -1, 16, 48),
        (64, 0.5, -1, 32, 32),  # all 30 and the 2 gts
        (64, 1.0, -1, 32, 32),
        (64, 0.25, 2, 16, 32),
        (64, 0.0, 3, 0, 3),
        (64, 0.25, 0, 16, 0),
        (10**6, 1.0, -1, 32, 200),
    ],
)
def test_numbers(num: int, fraction: float, bound: int, positive: int, negative: int) -> None:
    given = assigned()
    samples = RandomSampler(num, fraction, bound).sample(*given, kind="rbox")
    check(samples, given[0])
    assert (len(samples.pos_inds), len(samples.neg_inds)) == (positive, negative)
    assert samples.avg_factor == max(positive, 1) + max(negative, 1)


def test_one_seed_one_result() -> None:
    given, sampler = assigned(), RandomSampler(64, 0.25)

    def draw(seed: int) -> SampledPriors:
        return sampler.sample(*given, kind="rbox", generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(0).pos_inds, draw(0).pos_inds) and torch.equal(draw(0).neg_inds, draw(0).neg_inds)
    assert not torch.equal(draw(0).neg_inds, draw(1).neg_inds)
    torch.manual_seed(5)
    first = sampler.sample(*given, kind="rbox")
    torch.manual_seed(5)
    assert torch.equal(first.neg_inds, sampler.sample(*given, kind="rbox").neg_inds)


def test_every_candidate_is_as_likely() -> None:
    given, sampler, generator = assigned(), RandomSampler(64, 0.25), torch.Generator().manual_seed(0)
    counts = torch.zeros(252)
    for _ in range(600):
        samples = sampler.sample(*given, kind="rbox", generator=generator)
        counts[samples.pos_inds] += 1
        counts[samples.neg_inds] += 1
    gt_inds = torch.cat([torch.tensor([1, 2]), given[0].gt_inds])
    for candidates, expected in ((gt_inds > 0, 600 * 16 / 32), (gt_inds == 0, 600 * 48 / 200)):
        assert (counts[candidates] - expected).abs().max() < 6 * expected**0.5
    assert counts[gt_inds < 0].sum() == 0


@pytest.mark.parametrize("columns", [4, 5])
def test_gts_are_candidates_of_the_kind_of_the_priors(columns: int) -> None:
    given = assigned(columns=columns)
    before = [values.clone() for values in (*given[0], given[1], GTS, LABELS)]
    samples = RandomSampler(10**6, 1.0).sample(*given, kind=KINDS[columns])
    expected = GTS if columns == 5 else rbox2hbox(GTS)
    assert samples.pos_inds[:2].tolist() == [0, 1] and samples.is_gt.sum() == 2
    torch.testing.assert_close(samples.priors[samples.pos_inds[:2]], expected)
    assert sorted(LABELS[samples.gt_inds[samples.is_gt] - 1].tolist()) == [4, 7]
    assert all(torch.equal(a, b) for a, b in zip(before, (*given[0], given[1], GTS, LABELS), strict=True))
    without = RandomSampler(10**6, 1.0, add_gt_as_proposals=False).sample(*given, kind=KINDS[columns])
    assert len(without.priors) == 250 and len(without.pos_inds) == 30


def test_hard_candidates_are_chosen() -> None:
    given = assigned()
    asked = []

    def hardness(priors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        asked.append((len(priors), labels.unique().tolist()))
        return priors[:, 0]  # later ones are harder

    samples = OHEMSampler(64, 0.25).sample(*given, kind="rbox", hardness=hardness)
    check(samples, given[0])
    gt_inds = torch.cat([torch.tensor([1, 2]), given[0].gt_inds])
    order = samples.priors[:, 0]
    for inds, candidates, number in ((samples.pos_inds, gt_inds > 0, 16), (samples.neg_inds, gt_inds == 0, 48)):
        least = order[candidates].sort(descending=True).values[number - 1]
        assert len(inds) == number and (order[inds] >= least).all()
    assert asked == [(32, [4, 7]), (200, [-1])]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_fewer_candidates_than_asked_for(number: int) -> None:
    """Users of MMDetection meet `topk` out of range here."""
    given = assigned(positive=number, negative=number, ignored=2)
    for sampler in (OHEMSampler(512, 0.25), RandomSampler(512, 0.25)):
        samples = sampler.sample(*given, kind="rbox", hardness=lambda priors, labels: pytest.fail("nothing to choose"))
        assert len(samples.pos_inds) == number + 2 and len(samples.neg_inds) == number


def test_hardness_is_needed() -> None:
    with pytest.raises(ValueError, match="OHEMSampler: sample needs hardness"):
        OHEMSampler(8, 0.25).sample(*assigned(), kind="rbox")


@pytest.mark.parametrize("sampler", [PseudoSampler(), RandomSampler(8, 0.5), OHEMSampler(8, 0.5)])
@pytest.mark.parametrize("columns", [4, 5])
def test_no_gts_and_no_priors(sampler, columns: int) -> None:
    nobody = Instances(torch.zeros(0, 5), "rbox", torch.zeros(0, dtype=torch.int64))
    zeros = torch.zeros(5, dtype=torch.int64)
    background = Assignment(zeros, zeros.float(), zeros - 1)
    samples = sampler.sample(background, torch.ones(5, columns), nobody, kind=KINDS[columns])
    assert len(samples.pos_inds) == 0 and len(samples.neg_inds) == 5 and not samples.is_gt.any()
    nothing = Assignment(zeros[:0], zeros[:0].float(), zeros[:0])
    samples = sampler.sample(nothing, torch.ones(0, columns), nobody, kind=KINDS[columns])
    assert samples.boxes.shape == (0, columns) and samples.avg_factor in (1, 2)


def test_ignored_objects_are_no_candidates() -> None:
    assignment, priors, _ = assigned()
    mixed = Instances(GTS, "rbox", LABELS, ignored=torch.tensor([False, True]))
    for sampler in (RandomSampler(10**6, 1.0), OHEMSampler(10**6, 1.0)):
        samples = sampler.sample(assignment, priors, mixed, kind="rbox")
        assert samples.rows[samples.is_gt].tolist() == [0] and 1 not in samples.neg_inds
