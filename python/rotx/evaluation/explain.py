"""Explains why two protocols give different numbers for the same files, by changing one rule after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rotx.evaluation.protocols import Protocol
from rotx.evaluation.score import Evaluation, evaluate_boxes

#: Fields of a protocol that affect the score, in the order in which they are changed.
RULES = (
    "classes",
    "iou",
    "boxes",
    "pixels",
    "rounding",
    "difficult",
    "strict",
    "second_choice",
    "max_detections",
    "average",
    "empty_class",
)

#: Rules without effect in a task.
NOT_IN_TASK = {1: ("pixels",), 2: ("boxes", "rounding")}


@dataclass(frozen=True)
class Step:
    """Effect of one rule on mAP: ``alone`` if only this rule changes, ``in_turn`` after the rules before it."""

    rule: str
    before: str
    after: str
    alone: float
    in_turn: float
    map: float


def explain(base: Evaluation, target: Protocol) -> list[Step]:
    """Returns the steps from the protocol of ``base`` to ``target``, on the same files.

    The values ``in_turn`` add up to the whole difference. Where rules interact, they depend on the order and differ
    from ``alone``. Classes that were not read from the files count as empty; see ``also`` of `rotx.evaluate`.
    """
    if base.protocol.classes is not None and target.classes is None:
        target = replace(target, classes=base.protocol.classes)
    steps = []
    current, current_map = base.protocol, base.map
    for rule in RULES:
        before, after = getattr(base.protocol, rule), getattr(target, rule)
        if (
            before == after
            or (rule == "pixels" and base.task == 1)
            or (rule in ("boxes", "rounding") and base.task == 2)
        ):
            continue
        change: dict[str, Any] = {rule: after}
        current = replace(current, **change)
        value = _map(base, current)
        alone = _map(base, replace(base.protocol, **change)) - base.map
        steps.append(Step(rule, _text(before), _text(after), alone, value - current_map, value))
        current_map = value
    return steps


def _map(base: Evaluation, protocol: Protocol) -> float:
    return evaluate_boxes(base.annotations, base.results, protocol, task=base.task, jobs=base.jobs or None).map


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} values" if len(value) > 3 else ", ".join(map(str, value))
    return {True: "yes", False: "no", None: "all"}.get(value, str(value))
