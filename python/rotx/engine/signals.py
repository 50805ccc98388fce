"""SIGINT and SIGTERM: training finishes its step, saves and ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(BaseException):
    """A signal ended the training.

    Attributes:
        number: Number of the signal.
        saved: Whether a checkpoint holds everything that was trained.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number, self.saved = number, False


class Signals:
    """The signals that this process receives.

    Attributes:
        number: Number of the signal that came; 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._leave_at_once = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listens to SIGINT and SIGTERM; a second one ends the program at once."""
        process = os.getpid()

        def hear(number: int, frame: object) -> None:
            if os.getpid() != process:
                return  # a worker of the loader: it ends with this process
            signal.signal(number, before[signal.Signals(number)])
            self.number = number
            if self._leave_at_once:
                self._leave_at_once = False
                raise Interrupted(number)

        before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def ending_at_once(self, yes: bool = True) -> Iterator[None]:
        """For code that changes nothing: if ``yes``, a signal raises Interrupted immediately."""
        self._leave_at_once = yes
        yield
        self._leave_at_once = False
