"""What is wrong with a file of annotations or results."""

from __future__ import annotations

from typing import NamedTuple


class FileProblem(NamedTuple):
    """What cannot be read, and where it stands.

    Attributes:
        file: The file, as messages call it.
        line: Its line, from 1; 0 for the file as a whole.
        reason: A few words, the same for all problems of one sort.
        text: The reason in full, and what stands there.
    """

    file: str
    line: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"
