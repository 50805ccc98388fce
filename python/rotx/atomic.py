"""Writing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import glob
import os
import tempfile
from pathlib import Path

#: Of temporary files: ``.<name>.<eight characters>.tmp``.
_SUFFIX = ".tmp"


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text to a temporary file beside ``path`` and puts it in place when it is complete.

    Raises:
        OSError: if that fails; ``path`` then holds what it held before.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Writes bytes to a temporary file beside ``path`` and puts it in place when it is complete, and on the disk.

    Raises:
        OSError: if that fails; ``path`` then holds what it held before.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(0, "is a folder; name a file", str(path))
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            # Else a machine that loses power may have the new name and not yet the content.
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; give this one the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove_leftovers(path: str | Path) -> None:
    """Removes the temporary files that killed writers of ``path`` have left; nobody may be writing it now."""
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????{_SUFFIX}"):
        left.unlink(missing_ok=True)
