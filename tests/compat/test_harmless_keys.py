"""Keys that have nothing to choose: each class has its own, with the values that change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from rotx.compat import own_keys, own_model
from rotx.compat.allowed import check_value
from rotx.compat.harmless import EVERYWHERE, HARMLESS, strip
from rotx.config import ConfigError
from rotx.registry import TABLE, keywords_of, resolve
from small import small_config

#: A value of each type that a table may name.
EXAMPLES = {bool: True, int: 7, float: 0.5, str: "mmdet", list: ["a"]}
RETINA = "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota"
FASTER = "rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota"

KEYS = [(name, key) for name, keys in HARMLESS.items() for key in (*keys, *EVERYWHERE)]


@pytest.mark.parametrize(("name", "key"), KEYS, ids=lambda value: str(value))
def test_every_key_of_the_table(name: str, key: str) -> None:
    for choice in (EVERYWHERE | HARMLESS[name])[key]:
        value = EXAMPLES[choice] if isinstance(choice, type) else choice
        assert strip({"type": f"mmdet.{name}", key: value}, "part") == {"type": f"mmdet.{name}"}
    with pytest.raises(ConfigError, match=rf"^part\.{key}: .*, got \{{'no': 'such value'\}}$"):
        strip({"type": name, key: {"no": "such value"}}, "part")


@pytest.mark.parametrize("name", sorted(TABLE))
def test_no_class_takes_a_harmless_key(name: str) -> None:
    """What a constructor takes means something: it has no place in the table."""
    keywords, _ = keywords_of(resolve(name))
    assert not HARMLESS.get(name, {}).keys() & keywords.keys()


@pytest.mark.parametrize(
    ("value", "allowed", "fits"),
    [
        (True, (1,), False),
        (1, (True,), False),
        (0, (False,), False),
        (1.0, (1,), True),
        ([1, 2], ((1, 2),), True),
        ((1, 2), ([1, 2],), True),
        ([True, 2], ((1, 2),), False),
        ("mmdet.Linear", ("Linear",), True),
        ({"type": "mmdet.Linear"}, ({"type": "Linear"},), True),
        ({"type": "Linear", "bias": True}, ({"type": "Linear"},), False),
        (True, (bool,), True),
        (1, (bool,), False),
        (True, (int,), False),
        (3, (float,), True),
        (True, (float,), False),
        (None, (None,), True),
        (None, (bool,), False),
        ((), (list,), True),
        ("x", (list,), False),
    ],
)
def test_values_are_compared_strictly(value: Any, allowed: tuple[Any, ...], fits: bool) -> None:
    if fits:
        check_value(value, allowed, "key")
    else:
        with pytest.raises(ConfigError, match=r"^key: only .* is supported, got "):
            check_value(value, allowed, "key")


@pytest.mark.parametrize(
    ("path", "key", "value", "message"),
    [
        (
            "bbox_head",
            "pad_mask",
            True,
            r"model\.bbox_head: RetinaHead takes no 'pad_mask'.*belongs in model\.data_pre",
        ),
        ("neck", "clip_border", "nonsense", r"model\.neck: FPN takes no 'clip_border'"),
        ("neck", "act_cfg", {"type": "ReLU"}, r"model\.neck\.act_cfg: only None is supported, got 'ReLU'"),
        ("backbone", "with_cp", 0, r"model\.backbone\.with_cp: only False is supported, got 0"),
        ("backbone", "deep_stem", True, r"model\.backbone\.deep_stem: only False is supported, got True"),
        ("bbox_head", "gpu_assign_thr", 9, r"takes no 'gpu_assign_thr'.*belongs in model\.train_cfg\.assigner$"),
        ("train_cfg", "debug", True, r"model\.train_cfg\.debug: only False is supported, got True"),
        (
            "bbox_head.loss_bbox",
            "use_sigmoid",
            True,
            r"L1Loss takes no 'use_sigmoid'.*belongs in model\.bbox_head\.loss_c",
        ),
    ],
)
def test_a_harmless_key_counts_for_its_class_alone(path: str, key: str, value: Any, message: str) -> None:
    model = small_config(RETINA)
    part = model
    for name in path.split("."):
        part = part[name]
    part[key] = value
    with pytest.raises(ConfigError, match=message):
        own_model(model)


def test_mmcv_names_are_ours() -> None:
    layer = {"type": "mmcv.RoIAlignRotated", "output_size": 5, "use_torchvision": False}
    assert own_keys(layer, "roi_layer") == {"type": "mmcv.RoIAlignRotated", "out_size": 5}


@pytest.mark.parametrize(
    ("name", "path", "key", "message"),
    [
        (
            RETINA,
            "train_cfg",
            "nms_pre",
            r"model\.train_cfg: RetinaHead takes no 'nms_pre'.*'nms_pre' belongs in model\.test_cfg",
        ),
        (RETINA, "test_cfg", "assigner", r"model\.test_cfg: .*'assigner' belongs in model\.train_cfg$"),
        (RETINA, "train_cfg", "num_classes", r"model\.train_cfg: .*'num_classes' belongs in model\.bbox_head$"),
        (RETINA, "train_cfg", "start_level", r"model\.train_cfg: .*'start_level' belongs in model\.neck$"),
        (RETINA, "bbox_head", "depth", r"model\.bbox_head: .*'depth' belongs in model\.backbone$"),
        (RETINA, "", "num_classes", r"model: SingleStage takes no 'num_classes'.*belongs in model\.bbox_head$"),
        (RETINA, "train_cfg.assigner", "sampler", r"train_cfg\.assigner: .*'sampler' belongs in model\.train_cfg$"),
        (FASTER, "test_cfg.rpn", "score_thr", r"model\.test_cfg\.rpn: .*'score_thr' belongs in model\.test_cfg\.rcnn$"),
        (FASTER, "test_cfg", "nms", r"model\.test_cfg: has no part 'nms' in a two-stage .* belongs in .*test_cfg\.rpn"),
        (FASTER, "train_cfg", "assigner", r"'assigner' belongs in model\.train_cfg\.rpn or model\.train_cfg\.rcnn"),
        (
            FASTER,
            "train_cfg.rcnn",
            "nms_pre",
            r"model\.train_cfg\.rcnn: .*belongs in model\.train_cfg\.rpn_proposal or",
        ),
        (FASTER, "roi_head", "num_classes", r"model\.roi_head: .*'num_classes' belongs in model\..*bbox_head"),
    ],
)
def test_a_misplaced_key_says_where_it_belongs(name: str, path: str, key: str, message: str) -> None:
    model = small_config(name)
    part = model
    for name in filter(None, path.split(".")):
        part = part[name]
    part[key] = {"type": "nms"} if key == "nms" else 1
    with pytest.raises(ConfigError, match=message):
        own_model(model)


@pytest.mark.parametrize(
    ("name", "part", "key", "place"),
    [
        (RETINA, "bbox_head", "assigner", "train_cfg"),
        (RETINA, "bbox_head", "score_thr", "test_cfg"),
        (FASTER, "rpn_head", "sampler", "train_cfg.rpn"),
        (FASTER, "rpn_head", "test_proposals", "test_cfg.rpn"),
        (FASTER, "roi_head", "max_per_img", "test_cfg.rcnn"),
    ],
)
def test_settings_do_not_stand_in_their_head(name: str, part: str, key: str, place: str) -> None:
    model = small_config(name)
    settings = model
    for step in place.split("."):
        settings = settings[step]
    model[part][key] = settings.pop(key, 1)
    with pytest.raises(ConfigError, match=rf"^model\.{part}\.{key}: belongs in model\.{place}$"):
        own_model(model)
