"""Places of head settings in MMRotate configs, which keep them in ``train_cfg`` and ``test_cfg``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rotx.compat.allowed import Allowed

#: Settings of heads with assigned priors, and of heads that output detections.
TRAINING = ("assigner", "sampler", "allowed_border", "pos_weight")
TESTING = ("nms_pre", "score_thr", "nms", "max_per_img", "min_bbox_size")
PROPOSALS = ("nms_pre", "nms", "max_per_img", "min_bbox_size")

_DEBUG: dict[str, Allowed] = {"debug": (False,)}


@dataclass(frozen=True)
class Place:
    """A dict of settings for one head.

    Attributes:
        path: Path in the model, such as ``train_cfg.rpn``.
        keys: Allowed settings.
        harmless: Further keys, with the values that have no effect.
        prefix: Prefix of the head's keywords for these settings.
        keyword: Keyword under which the head gets the whole dict, as an object of the class ``type``.
        type: See ``keyword``.
        otherwise: Path to read if there is nothing at ``path``.
        per_stage: Whether this is a list with one dict for each stage, if the head has stages.
    """

    path: str
    keys: tuple[str, ...]
    harmless: Mapping[str, Allowed] = field(default_factory=dict)
    prefix: str = ""
    keyword: str | None = None
    type: str | None = None
    otherwise: str | None = None
    per_stage: bool = False


def _proposals(path: str, keyword: str, otherwise: str | None = None) -> Place:
    return Place(path, PROPOSALS, keyword=keyword, type="Proposals", otherwise=otherwise)


_TEST = Place("test_cfg", TESTING)

#: Kind of detector → head → places of its settings. A model is of the first kind with a head that the model has, else
#: of the last kind.
KINDS: dict[str, dict[str, tuple[Place, ...]]] = {
    "two-stage": {
        "rpn_head": (
            Place("train_cfg.rpn", TRAINING, _DEBUG),
            _proposals("train_cfg.rpn_proposal", "train_proposals", otherwise="test_cfg.rpn"),
            _proposals("test_cfg.rpn", "test_proposals"),
        ),
        "roi_head": (
            Place("train_cfg.rcnn", ("assigner", "sampler", "pos_weight", "mask_size"), _DEBUG, per_stage=True),
            # MMRotate's configs have the last two keys, but do not use them either.
            Place(
                "test_cfg.rcnn",
                ("score_thr", "nms", "max_per_img", "mask_thr_binary"),
                {"nms_pre": (int,), "min_bbox_size": (float,)},
            ),
        ),
    },
    # R3Det, S2ANet: every head refines the boxes of the previous one.
    "refining": {
        "bbox_head_init": (Place("train_cfg.init", TRAINING, _DEBUG), _TEST),
        "bbox_head_refine": (Place("train_cfg.refine", TRAINING, _DEBUG, per_stage=True), _TEST),
    },
    "single-stage": {
        "bbox_head": (
            Place("train_cfg", TRAINING, _DEBUG),
            # RepPoints: one head with two stages.
            Place("train_cfg.init", TRAINING, _DEBUG, prefix="init_"),
            Place("train_cfg.refine", TRAINING, _DEBUG, prefix="refine_"),
            _TEST,
        ),
    },
}

#: Settings of the detector itself: kind → keyword → path.
OF_DETECTOR = {"refining": {"stage_loss_weights": "train_cfg.stage_loss_weights"}}
