"""Atomic writing of files, so that no reader and no crash ever sees half a file; locks of outputs."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

#: Suffix of temporary files: ``.<name>.<eight characters>.tmp``.
_SUFFIX = ".tmp"


#: Device names of Windows, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
#: Longest part of a path in bytes, with room for the names of temporary files.
_LONGEST = 200


def path_inside(folder: str | Path, name: str, suffix: str = "") -> Path:
    """Path in an output folder for a name that comes from a file, such as the name of an image.

    The name may hold folders, which stay folders. Whatever would lead out of the output folder, or cannot be a file
    name, is replaced: ``..``, roots and drives, control characters, devices of Windows, and the end of long parts.
    :func:`paths_inside` keeps names apart that become one path by this.

    Raises:
        ValueError: If a link in the output folder leads out of it.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
    safe = [_safe(part) for part in parts] or ["_"]
    path = Path(folder, *safe)
    path = path.with_name(path.name + suffix)
    whole = Path(folder).resolve()
    if not path.parent.resolve().is_relative_to(whole) or path.is_symlink():
        raise ValueError(f"{path}: a link leads out of {folder}: remove it, or name another folder")
    return path


def paths_inside(folder: str | Path, names: Sequence[str], suffix: str = "") -> list[Path]:
    """The :func:`path_inside` of each name; a path that another name has already, in any case, gets a number.

    Raises:
        ValueError: As :func:`path_inside`.
    """
    taken: set[str] = set()
    paths = []
    for name in names:
        path = first = path_inside(folder, name, suffix)
        number = 1
        while str(path).lower() in taken:  # some systems do not distinguish case
            number += 1
            path = first.with_name(f"{first.name.removesuffix(suffix)}_{number}{suffix}")
        taken.add(str(path).lower())
        paths.append(path)
    return paths


def _safe(part: str) -> str:
    """A part of a name as the name of a file or folder."""
    part = part.encode(errors="replace").decode()  # lone surrogates
    changed = re.sub(r'[\x00-\x1f\x7f:*?"<>|]', "_", part)
    if part == "..":
        return "_"
    if _DEVICES.fullmatch(changed) or changed.endswith((".", " ")):
        changed = f"_{changed}_"
    raw = changed.encode(errors="replace")
    if changed != part or len(raw) > _LONGEST:
        # Names that differ only in what was replaced stay apart.
        mark = hashlib.sha256(part.encode(errors="surrogatepass")).hexdigest()[:8]
        changed = f"{raw[: _LONGEST - 10].decode(errors='ignore')}_{mark}"
    return changed


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text to a temporary file beside ``path`` and renames it when it is complete.

    Raises:
        OSError: If writing fails; ``path`` is then unchanged.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Writes bytes to a temporary file beside ``path`` and renames it when it is complete and on disk.

    Raises:
        OSError: If writing fails; ``path`` is then unchanged.
    """
    file = Pending(path)
    try:
        file.write(content)
        file.close()
    except BaseException:
        file.discard()
        raise


class Pending:
    """A file that is written in parts under a temporary name; `close` renames it.

    Args:
        path: Path of the file; unchanged until `close`.

    Raises:
        OSError: If writing fails, here and in each method; names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder; name a file", str(path))
        with naming(self.path):
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=_SUFFIX)
        self._temporary, self._file = Path(name), os.fdopen(handle, "wb")

    def write(self, content: bytes | memoryview) -> None:
        """Appends bytes."""
        with naming(self.path):
            self._file.write(content)

    def close(self) -> Path:
        """Renames the file when it is on disk; returns its path."""
        with naming(self.path):
            self._file.flush()
            # Otherwise, a power failure may leave the new name without the content.
            os.fsync(self._file.fileno())
            self._file.close()
            # mkstemp makes files that only the owner can read; set the usual permissions.
            umask = os.umask(0)
            os.umask(umask)
            self._temporary.chmod(0o666 & ~umask)
            self._temporary.replace(self.path)
        return self.path

    def discard(self) -> None:
        """Removes the temporary file; does nothing after `close`."""
        with suppress(OSError):  # buffered bytes may not fit on a full disk
            self._file.close()
        self._temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Context in which errors of a temporary file name the final file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


class PendingFolder:
    """Files of a folder that are first written elsewhere; `close` moves them all into the folder.

    Args:
        path: Path of the folder; its other files stay, and files of the same names are replaced.

    Raises:
        OSError: If writing fails, here and in each method; names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with naming(self.path):
            self._temporary = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=_SUFFIX))

    def write(self, name: str, content: bytes) -> None:
        """Writes a file; the name may contain folders.

        Raises:
            ValueError: If a file of this name has been written before.
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
        """Moves the files into the folder; returns its path."""
        if hasattr(os, "sync"):
            os.sync()  # like `Pending`, for all files at once
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
    """Lock that keeps other runs from writing an output until `release`, or until this process ends.

    The lock has no effect on file systems without locks.

    Args:
        file: Lock file, which `release` removes.
        output: Path of the output, for the error.

    Raises:
        ValueError: If another run holds the lock.
    """

    def __init__(self, file: Path, output: Path) -> None:
        from filelock import FileLock, Timeout  # slow to import

        self._file, self._lock = file, FileLock(file)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"{output}: another run is writing it; wait until it has ended") from None
        except (OSError, NotImplementedError):
            pass

    def release(self) -> None:
        """Releases the lock; does nothing after the first call."""
        if self._lock.is_locked:
            with suppress(OSError):  # Windows cannot remove open files
                self._file.unlink()
            self._lock.release()


def remove_leftovers(*paths: str | Path) -> None:
    """Removes temporary files and folders of killed writers; nothing may be writing to the paths now."""
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
