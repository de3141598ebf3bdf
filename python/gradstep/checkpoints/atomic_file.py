"""Files that are read whole, and written whole or not at all.

The content of a file is the caller's. Saves in the background are in background.py.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, NoReturn

import numpy as np

try:
    import fcntl
except ImportError:  # Windows, where two saves at once go unnoticed
    fcntl = None  # type: ignore[assignment]

StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

# The flags for opening a temporary file, as far as the system has them. A link in its place is
# refused, as it would lead to a file of somebody else.
_FLAGS = os.O_CREAT | os.O_RDWR
for _name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)
# The errors of file systems without locks, and of those that cannot flush folders: mostly file systems
# over a network.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_NO_FLUSHING = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_LONGEST = 200  # bytes of a name to which the prefix and suffix of a temporary file can be added

# Files that are being written. A forked child closes them, or it would hold their locks for as long as
# it lives.
_open: set[BinaryIO] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: [file.close() for file in [*_open]])


def read_whole(path: StrPath) -> memoryview:
    """Return the bytes of a file, in writable memory that is aligned for arrays.

    Raises
    ------
    OSError
        If the system refuses, or `path` does not lead to a regular file.
    """
    path = text(path)
    # Checked before it is opened: opening a pipe would wait for a writer.
    _require_regular(path, os.stat(path))
    with open(path, "rb", buffering=0) as file:
        data = np.empty(os.fstat(file.fileno()).st_size, np.uint8).data
        done = 0
        with _named(path):
            while count := file.readinto(data[done:]):
                done += count
    return data[:done]


def write_whole(path: StrPath, write: Callable[[Callable[[bytes], object]], object]) -> None:
    """Write a file, and put it in the place of the old one if there is one.

    `write` is called with a function that takes the bytes, in order. If it or the system raises, the
    old file stays and nothing else is left. The new file is a temporary one in the same folder at
    first. If the process is killed, the temporary file remains, and the next call uses it. A link at
    `path` keeps its target, and the new file gets the mode bits of the old one.

    Raises
    ------
    OSError
        If the system refuses, or `path` leads to something that is not a regular file;
        BlockingIOError if another call is writing to the same path. If only the folder could not be
        flushed, the new file is in place already, and the message says so.
    """
    path = os.path.realpath(_checked(text(path)))
    old = _stat(path)
    with _folder_of(path) as folder:
        with _temporary_beside(path) as (temporary, file):
            try:
                with _named(path):
                    os.ftruncate(file.fileno(), 0)  # a killed process may have left some bytes
                # Before the file has content that others could read. The owner may always write: if
                # this process is killed, the next one has to, whatever the mode is in the end.
                _set_mode(file, old, path, stat.S_IRUSR | stat.S_IWUSR)
                _fill(file, write, path)
                _set_mode(file, old, path)
                if fcntl is None:
                    file.close()  # Windows does not rename or remove open files
                with _named(path):
                    os.replace(temporary, path)
            except BaseException:
                _remove(temporary, file)
                raise
        if folder is not None:
            _flush_folder(folder, path)


def _set_mode(file: BinaryIO, old: os.stat_result | None, path: str, more: int = 0) -> None:
    """Give a file the mode bits of the old one, if there is one, and `more`."""
    if old is None or not hasattr(os, "fchmod"):
        return
    mode = stat.S_IMODE(old.st_mode) | more
    with _named(path):
        # Only if it differs: file systems without modes refuse any change.
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
            os.fchmod(file.fileno(), mode)


def _fill(file: BinaryIO, write: Callable[[Callable[[bytes], object]], object], path: str) -> None:
    descriptor = file.fileno()

    def write_all(data: bytes) -> None:
        view = memoryview(data)
        with _named(path):
            while view:
                view = view[os.write(descriptor, view) :]

    write(write_all)
    with _named(path):
        os.fsync(descriptor)


@contextlib.contextmanager
def _folder_of(path: str) -> Iterator[int | None]:
    """Open the folder before anything is written, if the system can: a later error is too late."""
    if not hasattr(os, "O_DIRECTORY"):
        yield None
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


def _flush_folder(folder: int, path: str) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno in _NO_FLUSHING:
            return
        raise OSError(
            error.errno,
            "the new file is in place and whole, but may not survive a power cut, because its "
            f"folder could not be flushed: {error.strerror}",
            path,
        ) from error


@contextlib.contextmanager
def _temporary_beside(path: str) -> Iterator[tuple[str, BinaryIO]]:
    folder, name = os.path.split(path)
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    temporary = os.path.join(folder, f".{name}.gradstep-tmp")
    while True:
        with open(temporary, "r+b", buffering=0, opener=partial(_opener, path)) as file:
            _open.add(file)
            try:
                _lock(file, path)
                # The process that had the lock may have renamed or removed the file since the open.
                if _leads_to(temporary, file):
                    yield temporary, file
                    return
            finally:
                _open.discard(file)


def _opener(path: str, temporary: str, flags: int) -> int:
    """Open the temporary file of `path`; refuse anything else that is in its place."""
    try:
        descriptor = os.open(temporary, _FLAGS, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a folder, a socket
            _refuse_temporary(temporary, error.errno, path)
        raise OSError(error.errno, error.strerror, path) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            _refuse_temporary(temporary, errno.EINVAL, path)
        if found.st_nlink > 1:  # a file of somebody else under another name
            _refuse_temporary(temporary, errno.EMLINK, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_temporary(temporary: str, code: int, path: str) -> NoReturn:
    raise OSError(
        code,
        f"the temporary file beside it, {temporary!r}, must be a regular file with one name, got "
        "another kind of file, or a link; remove it",
        path,
    )


def _lock(file: BinaryIO, path: str) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            error.errno, "another save to the same path is under way; wait until it is done", path
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OSError(error.errno, error.strerror, path) from error


def _remove(temporary: str, file: BinaryIO) -> None:
    """Remove the temporary file if it is still this one; after renaming, it may be of another."""
    with contextlib.suppress(OSError):
        if fcntl is None:
            file.close()
            os.unlink(temporary)
        elif _leads_to(temporary, file):
            os.unlink(temporary)


def _leads_to(path: str, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def text(path: StrPath) -> str:
    """Return a path as text."""
    return os.fsdecode(os.fspath(path))


def _checked(path: str) -> str:
    """Refuse a path at once that only the renaming would refuse, after everything was written."""
    if not path:
        raise FileNotFoundError(errno.ENOENT, "the path is empty; name a file", path)
    if not os.path.basename(path):
        raise IsADirectoryError(errno.EISDIR, "this names a folder; name a file", path)
    found = _stat(path)
    if found is not None:
        _require_regular(path, found)
    return path


def _stat(path: str) -> os.stat_result | None:
    """Return the stat of `path`; None if there is none, and the writing will say why."""
    try:
        return os.stat(path)
    except OSError:
        return None


def _require_regular(path: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "this is a folder; name a file", path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Add the path to errors of the system: calls on open files do not know it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
