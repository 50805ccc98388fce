"""The GIL is released while Rust works: Python code runs during a call, not only before and after it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rotx import _rust, geometry


@pytest.fixture
def no_forced_switch() -> Iterator[None]:
    """Without this the interpreter takes the GIL from any thread after 5 ms if that runs Python code."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)


def turns_during(call: Callable[[], object]) -> int:
    """How often the main thread's loop turned between begin and end of a call in another thread.

    No clock is read. As nothing but the call itself can give up the GIL in between, a call that holds it
    leaves no turn at all, however long it takes and however busy the machine is.
    """
    begun: list[bool] = []
    ended: list[bool] = []

    def work() -> None:
        begun.append(True)
        call()
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    turns = 0
    while not ended:
        thread.join(timeout=1e-4)  # gives up the GIL for a moment, so that the worker can take it
        if begun and not ended:
            turns += 1
    thread.join()
    return turns


def crowd(n: int) -> np.ndarray:
    """Boxes all of which overlap."""
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(0, 5, (n, 2)), rng.uniform(50, 100, (n, 2)), rng.uniform(-3, 3, n)])


def test_a_call_that_holds_the_gil_leaves_no_turn(no_forced_switch: None) -> None:
    assert turns_during(lambda: sum(range(3_000_000))) == 0


BOXES = crowd(3000)
QUADS = geometry.rbox_to_quad(BOXES)
SCORES = np.linspace(0, 1, len(BOXES))
IMAGE, FEATURES = np.zeros((1, 32, 64, 64)), np.zeros((3000, 32, 2, 2))
ROIS = np.column_stack([np.zeros(3000), BOXES])
POOLING = (2, 2), 1.0, 2, True, True, 1


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: geometry.box_iou(BOXES, BOXES, jobs=1), id="box_iou of rboxes"),
        pytest.param(lambda: geometry.box_iou(QUADS, QUADS, jobs=1), id="box_iou of quads"),
        pytest.param(lambda: geometry.box_iou(BOXES, BOXES, jobs=2), id="box_iou, 2 threads"),
        pytest.param(lambda: geometry.nms(BOXES, SCORES, 1.0), id="nms of rboxes"),
        pytest.param(lambda: geometry.nms(QUADS, SCORES, 1.0), id="nms of quads"),
        pytest.param(lambda: _rust.roi_align_rotated(IMAGE, ROIS, *POOLING, FEATURES), id="roi_align"),
        pytest.param(lambda: _rust.roi_align_rotated_backward(FEATURES, ROIS, *POOLING, IMAGE), id="its backward"),
    ],
)
def test_python_runs_during_the_call(call: Callable[[], object], no_forced_switch: None) -> None:
    # The scheduler may, rarely, not wake the main thread while the call lasts; 20 times in a row it will not.
    assert any(turns_during(call) for _ in range(20))


def test_calls_at_the_same_time_do_not_disturb_each_other() -> None:
    want, keep = geometry.box_iou(BOXES[:300], BOXES), geometry.nms(BOXES, SCORES, 0.5)
    with ThreadPoolExecutor(4) as pool:
        overlaps = [pool.submit(geometry.box_iou, BOXES[:300], BOXES) for _ in range(8)]
        keeps = [pool.submit(geometry.nms, BOXES, SCORES, 0.5) for _ in range(8)]
        for overlap, kept in zip(overlaps, keeps, strict=True):
            np.testing.assert_array_equal(overlap.result(), want)
            np.testing.assert_array_equal(kept.result(), keep)
