"""Where the time of training and inference goes, on the CPU: Rotated RetinaNet and Oriented R-CNN with ResNet-50.

    python tests/benches/training.py [--size 1024] [--steps 2]

Images and objects are synthetic scenes, about 40 objects to 1024 x 1024 pixels; weights are random. Inference is the
worst case: every score passes, so suppression gets all it can get. A part is charged for its forward and its backward;
of nested parts the inner one is charged.

RetinaNet's own convolutions take as many multiplications as backbone and neck, Oriented R-CNN's layers half as many:
so what is held to a quarter of a training step is all that is no layer of the net, and the share of the
multiplications outside backbone and neck is printed beside the share of the time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rotx.compat import build, load_config
from rotx.datasets.loader import LoadedImages
from rotx.datasets.samplers import DefaultSampler, Draw
from rotx.datasets.synthetic import CLASSES, write_dataset
from rotx.models import build_detector
from rotx.models.detectors import Detector, total_loss
from rotx.models.layers import ConvModule
from rotx.records import Instances

ROOT = Path(__file__).parents[2]
MODELS = {
    "Rotated RetinaNet": "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota",
    "Oriented R-CNN": "oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota",
}

BODY = "backbone and neck"
LAYERS = "layers of the heads"  # convolutions and matrices
ROIS = "RoIAlign"
TARGETS = "assignment and targets"
NMS = "NMS and decoding"
LOSSES = "losses, rest of the heads"
OPTIMIZER = "optimizer"
DATA = "data"
PARTS = (BODY, LAYERS, ROIS, TARGETS, NMS, LOSSES, OPTIMIZER, DATA)
#: Nodes of the backward pass that are layers.
LAYER_NODES = ("ConvolutionBackward0", "AddmmBackward0", "MmBackward0", "ReluBackward0", "TBackward0")


class Clock:
    """Wall time by part."""

    def __init__(self) -> None:
        self.seconds: Counter[tuple[str, str]] = Counter()
        self.open = [(LOSSES, "forward")]
        self.last = time.perf_counter()

    def enter(self, part: str, way: str = "forward") -> None:
        self.charge()
        self.open.append((part, way))

    def leave(self) -> None:
        self.charge()
        self.open.pop()

    def charge(self) -> None:
        """Gives the time since the last change to the innermost part."""
        now = time.perf_counter()
        self.seconds[self.open[-1]] += now - self.last
        self.last = now

    def timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The function, charged to a part."""

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return wrapper

    def watch_backward(self, loss: Tensor, features: list[Tensor]) -> None:
        """Charges each node of the graph, when it starts, to its part: those behind the features are the body's."""
        seen: set[Any] = set()

        def walk(roots: list[Any], part: Callable[[Any], str]) -> None:
            while roots:
                node = roots.pop()
                if node is None or node in seen or node.name() == "torch::autograd::AccumulateGrad":
                    continue
                seen.add(node)
                roots += [after for after, _ in node.next_functions]
                node.register_prehook(self.switcher(part(node)))

        walk([x.grad_fn for x in features], lambda _: BODY)
        walk([loss.grad_fn], part_of_node)

    def switcher(self, part: str) -> Callable[[Any], None]:
        """What charges all that follows to the backward of a part."""

        def switch(_: Any) -> None:
            self.charge()
            self.open[-1] = (part, "backward")

        return switch


def part_of_node(node: Any) -> str:
    """The part of a node that stands behind no feature map."""
    if node.name() in LAYER_NODES:
        return LAYERS
    return ROIS if "roi_align" in node.name() else LOSSES


def watch(detector: Detector, clock: Clock) -> list[list[Tensor]]:
    """Charges what a detector calls to its parts; returns the list that the features of each call are put in."""
    features: list[list[Tensor]] = []
    extract = clock.timed(detector.extract, BODY)

    def kept(images: Tensor) -> list[Tensor]:
        features.append(list(extract(images)))
        return features[-1]

    detector.extract = kept
    calls = [(detector, "data_preprocessor", DATA)]
    for head in (m for name, m in detector.named_children() if name.endswith("head")):
        calls += [(m, "forward", LAYERS) for m in head.modules() if isinstance(m, ConvModule | nn.Conv2d | nn.Linear)]
    if hasattr(detector, "roi_head"):
        rpn, roi = detector.rpn_head, detector.roi_head
        calls += [(rpn, "targeter", TARGETS), (rpn, "decode", NMS), (rpn, "propose", NMS)]
        calls += [(roi.bbox_roi_extractor, "forward", ROIS)]
        calls += [(roi.assigner, "assign", TARGETS), (roi.sampler, "sample", TARGETS)]
        calls += [(roi.bbox_head, "targets", TARGETS), (roi.bbox_head, "decode", NMS), (roi, "suppress", NMS)]
    else:
        head = detector.bbox_head
        calls += [(head, "targeter", TARGETS), (head, "decode", NMS), (head, "suppress", NMS)]
    for owner, name, part in calls:
        timed = clock.timed(getattr(owner, name), part)
        if isinstance(getattr(owner, name), nn.Module):
            delattr(owner, name)  # a module's place takes no function
        setattr(owner, name, timed)
    return features


def multiplications(detector: Detector, image: Tensor) -> float:
    """The share of the multiplications of a forward pass that is outside the backbone and neck."""
    counts: Counter[bool] = Counter()

    def count(inside: bool) -> Callable[..., None]:
        def hook(layer: nn.Module, _: Any, output: Tensor) -> None:
            counts[inside] += output.numel() * layer.weight[0].numel()  # type: ignore[operator,index]

        return hook

    hooks = [
        layer.register_forward_hook(count(name.startswith(("backbone", "neck"))))
        for name, layer in detector.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    detector(
        detector.data_preprocessor([image]), [Instances(torch.zeros(0, 5), "rbox", torch.zeros(0, dtype=torch.int64))]
    )
    for hook in hooks:
        hook.remove()
    return counts[False] / (counts[True] + counts[False])


def make_dataset(size: int) -> Any:
    """Synthetic scenes with the pipeline of the DOTA configs, as the configs say it."""
    folder = ROOT / "bench-data" / f"synthetic-{size}"
    if not folder.is_dir():
        write_dataset(folder, train=16, val=0, size=size)
    described = load_config(ROOT / "configs/_base_/datasets/dota.py")["train_dataloader"]["dataset"]
    described |= {"data_root": str(folder), "ann_file": "train/labelTxt", "metainfo": {"classes": CLASSES}}
    described["data_prefix"] = {"img_path": "train/images"}
    described["pipeline"][3] = {"type": "Resize", "scale": (size, size), "keep_ratio": True}
    return build(described)


def make_detector(name: str) -> Detector:
    """A detector of a config with random weights."""
    model = load_config(ROOT / "configs" / f"{MODELS[name]}.py")["model"]
    model["backbone"]["init_cfg"] = None
    detector = build_detector(model)
    detector.init_weights()
    return detector


def show(what: str, clock: Clock, steps: int, images: int) -> tuple[float, Counter[str]]:
    """Prints the shares of the parts; returns the seconds of a step and of its parts."""
    total = sum(clock.seconds.values())
    print(f"{what:<44} {images * steps / total:9.3f} images/s {total / steps:9.2f} s a step", flush=True)
    parts: Counter[str] = Counter()
    for (part, _), seconds in clock.seconds.items():
        parts[part] += seconds / steps
    for part in PARTS:
        ways = {way: clock.seconds[part, way] / total for way in ("forward", "backward")}
        both = f"(forward {ways['forward']:5.1%}, backward {ways['backward']:5.1%})" if ways["backward"] else ""
        print(f"  {part:<42} {parts[part] * steps / total:9.1%} {both}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {'greatest memory of the process':<42} {peak:9,.0f} MB", flush=True)
    return total / steps, parts


def measure(name: str, training: bool, size: int, steps: int) -> None:
    """The parts of training steps or of predictions of one detector, batches of two."""
    torch.manual_seed(0)
    dataset = make_dataset(size)
    assert len(DefaultSampler().batches(dataset, 2, seed=0, epoch=0)) > steps
    detector = make_detector(name)
    items = LoadedImages(dataset)
    floor = multiplications(detector, items[Draw(0, 0)].image)
    clock = Clock()
    features = watch(detector, clock)
    weights = [p for p in detector.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1e-5, momentum=0.9, weight_decay=1e-4)

    def load(step: int) -> tuple[Any, list[Instances]]:
        clock.enter(DATA)
        draws = [Draw(2 * step + i, (2 * step + i) % len(dataset)) for i in range(2)]
        batch = [items[draw] for draw in draws]
        clock.leave()
        return detector.data_preprocessor([x.image for x in batch]), [x.instances for x in batch]

    def train(step: int) -> None:
        batch, targets = load(step)
        loss = total_loss(detector(batch, targets))
        clock.watch_backward(loss, features.pop())
        clock.enter(LOSSES, "backward")
        loss.backward()
        clock.leave()
        assert loss.isfinite()
        clock.enter(OPTIMIZER)
        nn.utils.clip_grad_norm_(weights, 35)
        optimizer.step()
        optimizer.zero_grad()
        clock.leave()

    def predict(step: int) -> None:
        batch, _ = load(step)
        detector.predict(batch)
        features.clear()

    def run(step: Callable[[int], None]) -> None:
        step(0)
        clock.charge()
        clock.seconds.clear()
        for i in range(1, steps + 1):
            step(i)
        clock.charge()

    if not training:
        detector.eval()
        score_everything(detector)
        run(predict)
        show(f"predict with {name}, {size} px", clock, steps, 2)
        return
    run(train)
    total, parts = show(f"train {name}, {size} px", clock, steps, 2)
    outside, layers = total - parts[BODY], parts[LAYERS]
    print(f"  outside backbone and neck {outside / total:.1%}; {floor:.1%} of the multiplications are there")
    print(f"  outside all layers of the net {(outside - layers) / total:.1%} (at most 25.0%)", flush=True)


def score_everything(detector: Detector) -> None:
    """Lets every score pass: all candidates of each level, or all classes of all proposals."""
    for head in (getattr(detector, "bbox_head", None), getattr(detector, "roi_head", None)):
        if head is not None:
            head.score_thr = 0.0


def training(size: int = 1024, steps: int = 2) -> None:
    """Prints all of it; each part runs in a process of its own, so that its memory is known."""
    for name in MODELS:
        for train in (True, False):
            child = multiprocessing.get_context("spawn").Process(target=measure, args=(name, train, size, steps))
            child.start()
            child.join()
            assert child.exitcode == 0, name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=2)
    training(**vars(parser.parse_args()))
