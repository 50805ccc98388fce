"""Problems in files of annotations or results."""

from __future__ import annotations

from typing import NamedTuple


class FileProblem(NamedTuple):
    """A problem that prevents reading, with its place.

    Attributes:
        file: Name of the file in messages.
        line: Line number from 1; 0 for the whole file.
        reason: Short reason, equal for all problems of one kind.
        text: Full reason, with the text of the line.
    """

    file: str
    line: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"
