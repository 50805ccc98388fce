"""The error of a training step that cannot be computed."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from rotx.datasets.loader import LoadedImage

#: Number of images that a message names.
NAMED = 4


class StepFailed(RuntimeError):
    """A training step after the first raised an error: a fault of a layer, a loss or the data, not of the config.

    The error itself is its ``__cause__``.

    Attributes:
        saved: Whether a checkpoint holds everything that was trained before.
    """

    def __init__(self, step: int, error: Exception, items: Sequence[LoadedImage]) -> None:
        """Makes the message.

        Args:
            step: Number of batches trained before.
            error: What was raised.
            items: The images of the step.
        """
        frames = traceback.extract_tb(error.__traceback__)
        # The deepest line that is no library's names the layer.
        own = [frame for frame in frames if "site-packages" not in frame.filename] or list(frames)
        where = f" ({own[-1].filename}:{own[-1].lineno}, in {own[-1].name})" if own else ""
        names = ", ".join(str(item.path) for item in items[:NAMED])
        more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
        what = str(error).strip().partition("\n")[0]
        super().__init__(f"step {step}: {type(error).__name__}: {what}{where}; images {names}{more}")
        self.saved = False
