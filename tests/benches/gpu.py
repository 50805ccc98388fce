"""Measures the ops on a GPU and prints a Markdown table: `make bench-gpu`.

Times are medians of CUDA events after a warm-up. The copy bandwidth is measured in the same run. What an op moves
counts every number of inputs and results once, that of pixels only where a sample touches them.
"""

from __future__ import annotations

import inspect
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torchvision
from dota_like import scene_of
from torch import Tensor

from rotx import ops
from rotx.ops import _cuda, _plain, _plain_roi_align

#: Seconds that a call takes.
Clock = Callable[[Callable[[], object]], float]
#: More pairs than this are not worth waiting for in plain torch.
PLAIN_PAIRS = 5_000_000
BACKWARD = torch.ops.rotx.roi_align_rotated_backward


class Row(NamedTuple):
    what: str
    seconds: float
    amount: float
    unit: str
    others: dict[str, float] = {}  # noqa: RUF012  (never changed)

    def text(self, bandwidth: float) -> str:
        """A line of the table; ``bandwidth`` in bytes a second."""
        rate = self.amount / self.seconds
        shown = f"{rate / 1e9:,.2f} G{self.unit}/s"
        if self.unit == "B":
            shown += f", {100 * rate / bandwidth:.0f} % of copying"
        others = [f"{name}: {1e3 * t:,.3f} ms, {t / self.seconds:.1f} times" for name, t in self.others.items()]
        return f"| {self.what} | {1e3 * self.seconds:,.3f} ms | {shown} | {'; '.join(others)} |"


def on_gpu(run: Callable[[], object]) -> float:
    """The median of as many runs as take about a second, at least 5 and at most 100."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    times: list[float] = []
    end_at = time.perf_counter() + 1
    while len(times) < 5 or (len(times) < 100 and time.perf_counter() < end_at):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def copy_bandwidth(device: torch.device, clock: Clock, size: int = 1 << 30) -> float:
    """Bytes a second, read and written."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / clock(lambda: target.copy_(source))


def boxes_of(rng: np.random.Generator, number: int, side: float, device: torch.device) -> Tensor:
    """(N, 5) in float32, of 8 to 100 pixels, on a square of a side."""
    parts = [rng.uniform(0, side, (number, 2)), rng.uniform(8, 100, (number, 2)), rng.uniform(-2, 2, (number, 1))]
    return torch.from_numpy(np.hstack(parts)).float().to(device)


def iou_rows(device: torch.device, clock: Clock, scale: float) -> Iterator[Row]:
    """Pairwise IoU at several sizes, crowded and sparse; and aligned."""
    rng = np.random.default_rng(0)
    theirs_knows = "fmt" in inspect.signature(torchvision.ops.box_iou).parameters
    for n, m, side in ((2000, 2000, 150), (2000, 2000, 4000), (20_000, 2000, 4000), (100_000, 10_000, 4000)):
        n, m = max(1, int(n * scale)), max(1, int(m * scale))
        a, b = boxes_of(rng, n, side, device), boxes_of(rng, m, side, device)
        others = {}
        if n * m <= PLAIN_PAIRS:
            others["plain torch"] = clock(lambda a=a, b=b: _plain.box_iou(a, b, "iou", False))
            if theirs_knows:
                to_degrees = torch.tensor([1, 1, 1, 1, 180 / math.pi], device=device)
                p, q = a * to_degrees, b * to_degrees
                others["torchvision"] = clock(lambda p=p, q=q: torchvision.ops.box_iou(p, q, fmt="cxcywhr"))
        seconds = clock(lambda a=a, b=b: ops.box_iou_rotated(a, b))
        yield Row(f"IoU, {n:,} × {m:,} boxes on {side} px", seconds, n * m, "pairs", others)
    n = max(1, int(1_000_000 * scale))
    a, b = boxes_of(rng, n, 150, device), boxes_of(rng, n, 150, device)
    yield Row(f"IoU of {n:,} pairs", clock(lambda: ops.box_iou_rotated(a, b, aligned=True)), n, "pairs")


def nms_rows(device: torch.device, clock: Clock, scale: float) -> Iterator[Row]:
    """Suppression at the density of DOTA."""
    for number in (2_000, 20_000, 200_000, 1_000_000):
        n = max(12, int(number * scale))
        boxes, scores, _ = (torch.from_numpy(v).float().to(device) for v in scene_of(np.random.default_rng(1), n))
        others = {}
        if n <= 20_000:
            others["plain torch"] = clock(lambda b=boxes, s=scores: _plain.nms(b, s, None, 0.1))
        seconds = clock(lambda b=boxes, s=scores: ops.nms_rotated(b, s, 0.1))
        yield Row(f"NMS of {n:,} boxes at DOTA density", seconds, n, "boxes", others)


def roi_rows(device: torch.device, clock: Clock, scale: float) -> Iterator[Row]:
    """Features of 512 boxes from a map of 256 channels, forward and backward."""
    side, count = max(8, int(256 * scale**0.5)), max(1, int(512 * scale))
    rng = np.random.default_rng(2)
    regions = torch.cat([torch.zeros(count, 1, device=device), boxes_of(rng, count, side * 4, device)], dim=1)
    options, shape = (0.25, 2, True, True), (1, 256, side, side)
    samples = _plain_roi_align._samples(regions, shape, (7, 7), *options)
    pixels = len(torch.unique(torch.cat([taps.flatten() for _, taps, _ in samples])))
    for dtype in (torch.float32, torch.float16):
        for layout in (torch.channels_last, torch.contiguous_format):
            x = torch.randn(shape, device=device, dtype=dtype).to(memory_format=layout)
            grad = torch.randn(count, 256, 7, 7, device=device, dtype=dtype)
            what = f"{str(dtype)[6:]}, {str(layout)[6:]}"
            plain = {"plain torch": clock(lambda x=x: _plain_roi_align.roi_align_rotated(x, regions, (7, 7), *options))}
            seconds = clock(lambda x=x: ops.roi_align_rotated(x, regions, 7, *options))
            moved = (pixels * 256 + grad.numel()) * x.element_size()
            yield Row(f"RoIAlign of {count} boxes, {side} × {side} × 256, {what}", seconds, moved, "B", plain)
        moved = (x.numel() + grad.numel()) * x.element_size()
        for deterministic in (False, True):
            torch.use_deterministic_algorithms(deterministic)
            seconds = clock(lambda g=grad: BACKWARD(g, regions, shape, *options))
            torch.use_deterministic_algorithms(False)
            name = "backward, deterministic" if deterministic else "backward"
            yield Row(f"{name}, {str(dtype)[6:]}", seconds, moved, "B")


def table(device: torch.device, clock: Clock, scale: float = 1.0) -> Iterator[str]:
    """The lines of the table; ``scale`` shrinks what is measured."""
    bandwidth = copy_bandwidth(device, clock, max(1, int((1 << 30) * scale)))
    yield f"Copy bandwidth: {bandwidth / 1e9:,.0f} GB/s.\n"
    yield "| what | time | rate | others |"
    yield "|---|---|---|---|"
    for rows in (iou_rows, nms_rows, roi_rows):
        for row in rows(device, clock, scale):
            yield row.text(bandwidth)


def main() -> None:
    """Prints the table, or one line that says why there is none."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured", file=sys.stderr)
        sys.exit(2)
    try:
        _cuda.kernels()
    except RuntimeError as error:
        print(f"nothing was measured: {error}", file=sys.stderr)
        sys.exit(2)
    device = torch.device("cuda")
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}", flush=True)
    for line in table(device, on_gpu):
        print(line, flush=True)


if __name__ == "__main__":
    main()
