"""Files are written whole or not at all: in which order, and whatever fails on the way."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gradstep.checkpoints.atomic_file as files
from support.effort import effort, endurance

fcntl = pytest.importorskip("fcntl")

OLD, NEW = b"old" * 1000, b"new" * 2000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is there already."""
    path = tmp_path / "run.ckpt"
    path.write_bytes(OLD)
    return path


def in_pieces(sink: Callable[[bytes], object]) -> None:
    for start in range(0, len(NEW), 1000):
        sink(NEW[start : start + 1000])


def assert_untouched(path: Path) -> None:
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


# --- what goes well -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, os.fsencode, Path], ids=["str", "bytes", "path"])
@pytest.mark.parametrize("there", [True, False])
def test_written_and_read(path: Path, kind: Callable[[Path], Any], there: bool) -> None:
    if not there:
        path.unlink()
    files.write_whole(kind(path), in_pieces)
    assert files.read_whole(kind(path)) == NEW
    assert os.listdir(path.parent) == [path.name]


def test_in_the_folder_one_is_in(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    files.write_whole("run.ckpt", in_pieces)
    assert files.read_whole("run.ckpt") == NEW
    assert os.listdir() == [path.name]


def test_an_empty_file(path: Path) -> None:
    files.write_whole(path, lambda sink: None)
    assert len(files.read_whole(path)) == 0


@pytest.mark.parametrize("name", ["ü\udcff", "x" * 255, "β" * 127, "-rf", " ", "a\nb"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    files.write_whole(tmp_path / name, in_pieces)
    assert files.read_whole(tmp_path / name) == NEW
    assert os.listdir(tmp_path) == [name]


def test_a_link_goes_on_leading_where_it_led(path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / "latest"
    link.symlink_to(path)
    files.write_whole(link, in_pieces)
    assert link.is_symlink()
    assert path.read_bytes() == NEW
    assert os.listdir(link.parent) == ["latest"]


def test_what_a_killed_save_left_is_taken_over(path: Path) -> None:
    (path.parent / ".run.ckpt.gradstep-tmp").write_bytes(b"left" * 10_000)
    files.write_whole(path, in_pieces)
    assert path.read_bytes() == NEW
    assert os.listdir(path.parent) == [path.name]


def test_the_mode_is_that_of_any_new_file(path: Path) -> None:
    path.unlink()
    before = os.umask(0o027)
    try:
        files.write_whole(path, in_pieces)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o666])
def test_the_mode_of_an_old_file_stays(path: Path, mode: int) -> None:
    path.chmod(mode)
    temporary = path.parent / ".run.ckpt.gradstep-tmp"
    temporary.write_bytes(b"left by a killed save")
    seen = []

    def look(sink: Callable[[bytes], object]) -> None:
        sink(NEW)
        seen.append(stat.S_IMODE(temporary.stat().st_mode))

    files.write_whole(path, look)
    # Already while it is written. A killed save leaves what the next one may write to.
    assert seen == [mode | 0o600]
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == NEW


def test_a_mode_that_cannot_be_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, mode: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    files.write_whole(path, lambda sink: sink(OLD))  # the same mode: nothing to be done
    path.chmod(0o600)
    with pytest.raises(PermissionError, match=r"not permitted: .*/run\.ckpt'"):
        files.write_whole(path, in_pieces)
    assert_untouched(path)


# --- the order of calls ---------------------------------------------------------------------------

CALLS = ["open", "ftruncate", "write", "fsync", "replace", "unlink", "lstat"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the system is asked, in order; descriptors by the name of their file."""
    calls: list[str] = []

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any) -> Any:
            file = os.readlink(f"/proc/self/fd/{first}") if type(first) is int else os.fspath(first)
            calls.append(f"{name} {os.path.basename(file)}")
            return function(first, *rest)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    flock = fcntl.flock

    def noted_flock(*given: Any) -> None:
        calls.append("flock")
        flock(*given)

    monkeypatch.setattr(fcntl, "flock", noted_flock)
    return calls


def test_the_order_of_calls(path: Path, calls: list[str]) -> None:
    files.write_whole(path, lambda sink: (sink(b"1"), sink(b"2")))
    temporary = ".run.ckpt.gradstep-tmp"
    resolving = [call for call in calls if call.startswith("lstat") and temporary not in call]
    assert [call for call in calls if call not in resolving] == [
        f"open {path.parent.name}",  # before anything is written
        f"open {temporary}",
        "flock",
        f"lstat {temporary}",  # whether it is still there under the lock
        f"ftruncate {temporary}",
        f"write {temporary}",
        f"write {temporary}",
        f"fsync {temporary}",
        f"replace {temporary}",
        f"fsync {path.parent.name}",
    ]


def test_how_the_temporary_file_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    opened = os.open

    def noted(path: str, flags: int, *mode: int) -> int:
        given.append(flags)
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", noted)
    files.write_whole(path, in_pieces)
    assert given[1] == os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def test_a_link_in_the_place_of_the_temporary_file(path: Path) -> None:
    other = path.parent / "precious"
    other.write_bytes(OLD)
    (path.parent / ".run.ckpt.gradstep-tmp").symlink_to(other)
    with pytest.raises(
        OSError,
        match=r"run\.ckpt\.gradstep-tmp', must be a regular file with one name, got .*; remove it: .*/run\.ckpt'",
    ):
        files.write_whole(path, in_pieces)
    assert path.read_bytes() == other.read_bytes() == OLD


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "another name"])
def test_what_else_is_in_the_place_of_the_temporary_file(path: Path, kind: str) -> None:
    temporary, other = path.parent / ".run.ckpt.gradstep-tmp", path.parent / "precious"
    other.write_bytes(OLD)
    if kind == "folder":
        temporary.mkdir()
    elif kind == "pipe":
        os.mkfifo(temporary)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(temporary))
    else:
        os.link(other, temporary)
    before = temporary.lstat()
    for _ in range(2):
        with pytest.raises(OSError, match=r"ckpt\.gradstep-tmp', .*; remove it: '/.*/run\.ckpt'$"):
            files.write_whole(path, in_pieces)
    assert path.read_bytes() == other.read_bytes() == OLD
    assert os.path.samestat(temporary.lstat(), before)
    assert not files._open


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for place in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(OSError, match=r"not a regular file: .*(pipe|link)") as caught:
            files.write_whole(place, in_pieces)
        assert caught.value.errno == errno.EINVAL
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


# --- what fails -----------------------------------------------------------------------------------

FAILING = {"open": 2, "ftruncate": 1, "write": 6, "fsync": 1, "replace": 1}
CODES = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT]


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name, count in FAILING.items() for n in range(count)]
)
def test_a_call_that_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, code: int
) -> None:
    function, count = getattr(os, name), 0

    def fail(*given: Any) -> Any:
        nonlocal count
        count += 1
        if count == number + 1:
            # As the system says it: what has to do with an open file comes without its name.
            names = [given[0]] if name in ("open", "replace") else []
            raise OSError(code, os.strerror(code), *names)
        return function(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            files.write_whole(path, in_pieces)
    assert caught.value.errno == code
    assert "gradstep-tmp" not in str(caught.value)
    assert str(path.parent) in str(caught.value)
    assert count == number + 1
    assert_untouched(path)
    files.write_whole(path, in_pieces)  # and nothing is held
    assert path.read_bytes() == NEW


def test_the_folder_alone_cannot_be_flushed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(
            OSError, match=r"in place and whole, but may not survive a power cut.*run\.ckpt"
        ):
            files.write_whole(path, in_pieces)
    assert path.read_bytes() == NEW
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_knows_no_flushing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    files.write_whole(path, in_pieces)
    assert path.read_bytes() == NEW


@pytest.mark.parametrize(
    "error", [ValueError("own"), KeyboardInterrupt(), OSError("own"), MemoryError()]
)
def test_what_the_caller_raises_passes(path: Path, error: BaseException) -> None:
    def fail(sink: Callable[[bytes], object]) -> None:
        sink(NEW)
        raise error

    with pytest.raises(type(error)) as caught:
        files.write_whole(path, fail)
    assert caught.value is error
    assert_untouched(path)


@pytest.mark.parametrize("after", ["write", "fsync", "replace"])
def test_an_interruption_right_after_a_call(
    path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    function = getattr(os, after)

    def interrupted(*given: Any) -> Any:
        function(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, after, interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.write_whole(path, in_pieces)
    assert path.read_bytes() == (NEW if after == "replace" else OLD)
    assert os.listdir(path.parent) == [path.name]


def test_what_was_renamed_is_no_longer_ours_to_remove(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, other = os.replace, path.parent / ".run.ckpt.gradstep-tmp"

    def interrupted(*given: Any) -> None:
        replace(*given)
        other.write_bytes(b"of the next save, in another process")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.write_whole(path, in_pieces)
    assert path.read_bytes() == NEW
    assert other.exists()


def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    files.write_whole(path, in_pieces)
    assert path.read_bytes() == NEW


def test_a_limit_on_the_size_of_files(path: Path) -> None:
    """The kernel itself says no, in the middle of a write."""
    code = (
        "import resource, sys\n"
        "import gradstep.checkpoints.atomic_file as files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: files.write_whole(sys.argv[1], lambda sink: sink(bytes(6000)))\n"
        "except OSError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert said.stdout == f"[Errno {errno.EFBIG}] File too large: {str(path)!r}\n", said.stderr
    assert_untouched(path)


def test_a_full_disk(path: Path) -> None:
    """On a file system of 64 KiB, where this process may make one."""
    small = path.parent / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        small.rmdir()
        pytest.skip("file systems cannot be mounted here")
    try:
        file = small / "run.ckpt"
        file.write_bytes(OLD)
        with pytest.raises(OSError, match=r"No space left on device: .*run\.ckpt"):
            files.write_whole(file, lambda sink: sink(bytes(100_000)))
        assert_untouched(file)
        files.write_whole(file, in_pieces)
        assert file.read_bytes() == NEW
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        with pytest.raises(OSError, match=r"Read-only file system"):
            files.write_whole(file, in_pieces)
        assert file.read_bytes() == NEW
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            files.write_whole(path, in_pieces)
        assert_untouched(path)
    finally:
        path.parent.chmod(0o700)


PLACES: list[tuple[Any, type[Exception], str]] = [
    ("", FileNotFoundError, r"the path is empty; name a file"),
    (".", IsADirectoryError, r"this is a folder; name a file: "),
    ("folder", IsADirectoryError, r"this is a folder; name a file: .*folder"),
    ("new/", IsADirectoryError, r"this names a folder; name a file"),
    ("none/run", FileNotFoundError, r"No such file or directory: .*none"),
    ("file/run", NotADirectoryError, r"Not a directory: .*file"),
    ("x" * 256, OSError, r"File name too long"),
    ("a\0b", ValueError, r"null"),
    (3, TypeError, r"int"),
    (None, TypeError, r"NoneType"),
]


@pytest.mark.parametrize(("place", "error", "message"), PLACES)
def test_places_that_are_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(error, match=message):
        files.write_whole(place, in_pieces)
    assert sorted(os.listdir()) == ["file", "folder"]
    assert os.listdir("folder") == []


def test_no_descriptor_stays_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.listdir("/proc/self/fd")
    files.write_whole(path, in_pieces)
    files.read_whole(path)
    with pytest.raises(KeyError):
        files.write_whole(path, lambda sink: {}[0])  # type: ignore[index]
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert not files._open


# --- reading --------------------------------------------------------------------------------------


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"not a regular file: .*pipe"):
        files.read_whole(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"not a regular file: '/dev/zero'"):
        files.read_whole("/dev/zero")


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        files.read_whole(tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        files.read_whole(tmp_path / "none")


# --- two at once ----------------------------------------------------------------------------------


def test_two_saves_to_one_path(path: Path) -> None:
    def another(sink: Callable[[bytes], object]) -> None:
        sink(NEW[:100])
        with pytest.raises(BlockingIOError, match=r"another save .* under way; wait .*run\.ckpt"):
            files.write_whole(path, lambda sink: sink(b"second"))
        files.write_whole(path.parent / "other", in_pieces)
        sink(NEW[100:])

    files.write_whole(path, another)
    assert path.read_bytes() == NEW
    assert sorted(os.listdir(path.parent)) == ["other", "run.ckpt"]


def test_a_file_that_was_renamed_while_its_lock_was_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the lock would be on the finished file, which would be emptied next."""
    flock, turns = fcntl.flock, 0

    def late(file: int, how: int) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            os.replace(path.parent / ".run.ckpt.gradstep-tmp", path)
        flock(file, how)

    (path.parent / ".run.ckpt.gradstep-tmp").write_bytes(b"by another process")
    monkeypatch.setattr(fcntl, "flock", late)

    def check(sink: Callable[[bytes], object]) -> None:
        assert path.read_bytes() == b"by another process"
        sink(NEW)

    files.write_whole(path, check)
    assert turns == 2
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_where_there_are_no_locks(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    if code == errno.EIO:
        with pytest.raises(OSError, match="Input/output error"):
            files.write_whole(path, in_pieces)
        assert path.read_bytes() == OLD
    else:
        files.write_whole(path, in_pieces)
        assert path.read_bytes() == NEW


def test_many_processes_and_threads_save_to_one_path(path: Path) -> None:
    code = (
        "import sys\n"
        "import gradstep.checkpoints.atomic_file as files\n"
        "done = 0\n"
        "while done < 20:\n"
        "    data = sys.argv[2].encode() * 50_000\n"
        "    try: files.write_whole(sys.argv[1], lambda sink: [sink(data[:100]), sink(data[100:])])\n"
        "    except BlockingIOError: pass\n"
        "    else: done += 1\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, path, name]) for name in "abc"]
    while any(process.poll() is None for process in running):
        seen = bytes(files.read_whole(path))
        assert seen == OLD or seen == seen[:1] * 50_000
    assert [process.returncode for process in running] == [0, 0, 0]
    assert os.listdir(path.parent) == [path.name]


def test_a_forked_child_lets_go_of_the_lock(path: Path) -> None:
    """Else a child that outlives its killed parent would refuse every later save."""
    waits, ends = os.pipe()
    told, tells = os.pipe()
    child = 0

    def forked(sink: Callable[[bytes], object]) -> None:
        nonlocal child
        child = os.fork()
        if not child:
            os.write(tells, b"x")
            os.read(waits, 1)
            os._exit(0)
        os.read(told, 1)
        raise KeyError  # as if killed: the file is closed, and not renamed

    try:
        with pytest.raises(KeyError):
            files.write_whole(path, forked)
        held = [os.readlink(file) for file in Path(f"/proc/{child}/fd").iterdir()]
        assert not [name for name in held if "gradstep-tmp" in name]
    finally:
        os.write(ends, b"x")
        os.waitpid(child, 0)
        for descriptor in (waits, ends, told, tells):
            os.close(descriptor)


# --- killed ---------------------------------------------------------------------------------------

SAVER = """
import os, sys
import gradstep.checkpoints.atomic_file as files
sizes = [100, 5_000, 200_000]
for turn in range(10**9):
    data = str(turn).encode().ljust(sizes[turn % 3], b".")
    files.write_whole(sys.argv[1], lambda sink: [sink(data[i : i + 4096]) for i in range(0, len(data), 4096)])
    os.write(1, b"%d\\n" % turn)
"""


def whole(path: Path) -> int:
    """Return which file this is; it has to be all of it."""
    data = path.read_bytes()
    turn = int(data.rstrip(b"."))
    assert len(data) == [100, 5_000, 200_000][turn % 3]
    return turn


@pytest.fixture
def random_delays() -> Iterator[float]:
    import random

    chosen = random.Random(0)
    return (chosen.random() * 0.01 for _ in iter(int, 1))


@endurance
def test_kills_lose_nothing(tmp_path: Path, random_delays: Iterator[float]) -> None:
    path = tmp_path / "run.ckpt"
    left = 0
    for _ in range(effort(5, 2000)):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE)
        assert saver.stdout is not None
        assert saver.stdout.readline()  # at least one is through
        select.select([], [], [], next(random_delays))
        saver.send_signal(signal.SIGKILL)
        said = saver.stdout.read()
        saver.wait()
        saver.stdout.close()
        # What was said to be saved is there, or the next one already.
        last = int(said.split(b"\n")[-2]) if said.count(b"\n") else 0
        assert whole(path) in (last, last + 1)
        names = {*os.listdir(tmp_path)} - {path.name}
        assert names <= {".run.ckpt.gradstep-tmp"}
        left += len(names)
    print(f"{left} temporary files were left and taken over")
    files.write_whole(path, in_pieces)
    assert os.listdir(tmp_path) == [path.name]
