"""Writing files so that neither readers nor crashes ever leave or see half of one, and locks of outputs."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Suffix of temporary files: ``.<name>.<eight characters>.tmp``.
_SUFFIX = ".tmp"


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text to a temporary file beside ``path`` and puts it in place when it is complete.

    Raises:
        OSError: If that fails; ``path`` then holds what it held before.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Writes bytes to a temporary file beside ``path`` and puts it in place when it is complete on the disk.

    Raises:
        OSError: If that fails; ``path`` then holds what it held before.
    """
    file = Pending(path)
    try:
        file.write(content)
        file.close()
    except BaseException:
        file.discard()
        raise


class Pending:
    """A file that is written piece by piece under a temporary name; `close` puts it in place, complete.

    Args:
        path: Path of the file; until `close` it holds what it held before.

    Raises:
        OSError: If that fails, here and in each method; names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder; name a file", str(path))
        with naming(self.path):
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=_SUFFIX)
        self._temporary, self._file = Path(name), os.fdopen(handle, "wb")

    def write(self, content: bytes | memoryview) -> None:
        """Adds bytes at the end."""
        with naming(self.path):
            self._file.write(content)

    def close(self) -> Path:
        """Puts the file in place when it is on the disk; returns its path."""
        with naming(self.path):
            self._file.flush()
            # Otherwise a machine that loses power may have the new name without the content.
            os.fsync(self._file.fileno())
            self._file.close()
            # mkstemp makes files that only their owner can read; this one gets the usual permissions.
            umask = os.umask(0)
            os.umask(umask)
            self._temporary.chmod(0o666 & ~umask)
            self._temporary.replace(self.path)
        return self.path

    def discard(self) -> None:
        """Removes the temporary file; does nothing after `close`."""
        with suppress(OSError):  # what is not on the disk yet may not fit there
            self._file.close()
        self._temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Makes errors of a temporary file name the final one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


class PendingFolder:
    """A folder of many files that are written elsewhere one by one; `close` puts them all in place.

    Args:
        path: Path of the folder; its files stay, unless new ones have their names.

    Raises:
        OSError: If that fails, here and in each method; names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with naming(self.path):
            self._temporary = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=_SUFFIX))

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whose name may contain folders.

        Raises:
            ValueError: If a file of this name was written before.
        """
        file = self._temporary / name
        with naming(self.path / name):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with file.open("xb") as opened:
                    opened.write(content)
            except FileExistsError:
                raise ValueError(f"{self.path / name}: two images have this name") from None

    def close(self) -> Path:
        """Puts the files in place; returns the folder."""
        if hasattr(os, "sync"):
            os.sync()  # as `Pending` does, for all files at once
        for folder, _, names in os.walk(self._temporary):
            target = self.path / Path(folder).relative_to(self._temporary)
            with naming(target):
                target.mkdir(parents=True, exist_ok=True)
            for name in names:
                with naming(target / name):
                    Path(folder, name).replace(target / name)
        self.discard()
        return self.path

    def discard(self) -> None:
        """Removes the files that are not in place yet."""
        shutil.rmtree(self._temporary, ignore_errors=True)


class OutputLock:
    """Keeps other runs from writing an output until `release`, or until this process ends.

    It keeps nobody out where the file system has no locks.

    Args:
        file: Lock file, which `release` removes.
        output: The output, which the error names.

    Raises:
        ValueError: If another run holds the lock.
    """

    def __init__(self, file: Path, output: Path) -> None:
        from filelock import FileLock, Timeout  # takes long to import

        self._file, self._lock = file, FileLock(file)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"{output}: another run is writing it; wait until it has ended") from None
        except (OSError, NotImplementedError):
            pass

    def release(self) -> None:
        """Lets other runs in; does nothing after the first time."""
        if self._lock.is_locked:
            with suppress(OSError):  # Windows removes no open file
                self._file.unlink()
            self._lock.release()


def remove_leftovers(*paths: str | Path) -> None:
    """Removes what killed writers of files or folders have left behind; nobody may be writing them now."""
    names: dict[Path, set[str]] = {}
    for path in map(Path, paths):
        names.setdefault(path.parent, set()).add(path.name)
    for folder, known in names.items():
        for left in folder.glob(f".*.????????{_SUFFIX}"):
            if left.name[1 : -len(f".????????{_SUFFIX}")] not in known:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
