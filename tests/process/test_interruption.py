"""Whatever breaks an act off, it has happened whole or not at all, and can be done again.

Signals, between any two operations of Python; memory that is not there, at any allocation; and
exceptions of the user's own. Each runs in a process of its own, which must come to its end.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import pytest

import gradstep as gs
from gradstep import _core
from support.anything import OWN, Kind, following, over
from support.effort import effort, endurance
from support.interruption import Interruption
from support.paths import TESTS
from support.processes import output
from support.teams import FREE_THREADED
from support.whole import ACTS, Act, Array, Do, Read, everything, ramp


def share_out_every_step() -> None:
    gs.set_num_threads(3)
    _core.set_work_per_thread(1, 1)


def see_that_it_is_whole(name: str, act: Act, do: Do, read: Read, done: int) -> int:
    """Compare an act, that was done `done` times and then broken off, with a twin that never was.

    Returns how often it has been done.
    """
    do_twin, read_twin = act()
    for _ in range(done):
        do_twin()
    if read() != read_twin():
        do_twin()
        assert read() == read_twin(), f"{name}: broken off, it happened in part"
        done += 1
    return done


# --- signals ----------------------------------------------------------------------------------


def interrupt_before_every_operation(every: int) -> None:
    share_out_every_step()
    for name, act in ACTS.items():
        for at in range(random.randrange(every), sys.maxsize, every):
            do, read = act()
            do()
            interruption = Interruption(at)
            try:
                sys.settrace(interruption)
                do()
                sys.settrace(None)
            except KeyboardInterrupt:
                pass
            sys.settrace(None)
            done = see_that_it_is_whole(name, act, do, read, 1)
            if interruption.left >= 0:
                break
            do()
            see_that_it_is_whole(name, act, do, read, done + 1)
        print(name, at)


@endurance
def test_an_interruption_before_any_operation() -> None:
    code = f"from process.test_interruption import *; interrupt_before_every_operation({effort(300, 1)})"
    print(output(code, 1200))


def storm(seconds: float) -> None:
    """Do everything over and over, each time under an alarm that may strike at any moment."""
    share_out_every_step()
    armed = False

    # The system may hand the signal to another thread, and it then arrives a little later.
    def strike(number: int, frame: FrameType | None) -> None:
        if armed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, strike)
    for name, act in ACTS.items():
        do, read = act()
        do_twin, read_twin = act()
        begin = time.perf_counter()
        for _ in range(10):
            do()
            do_twin()
        longest = (time.perf_counter() - begin) / 20
        begin, strikes = time.perf_counter(), 0
        # On a busy machine an alarm may come late, each time.
        while time.perf_counter() < begin + seconds / len(ACTS) or not strikes:
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, longest))
                do()
                armed = False
            except KeyboardInterrupt:
                armed = False
                strikes += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            if read() != read_twin():
                do_twin()
                assert read() == read_twin(), f"{name}: interrupted, it happened in part"
        print(name, strikes)


@endurance
def test_a_storm_of_signals() -> None:
    code = f"from process.test_interruption import *; storm({effort(1, 20)})"
    print(output(code, 120))


# --- memory -----------------------------------------------------------------------------------


# MemoryError, and what Python and pybind11 make of it in places.
NO_MEMORY = MemoryError, RuntimeError, SystemError


# An average's value and an epoch's iterator are made when they have been folded in and begun, and a
# folder is flushed when the new file is in it, so that an error may come then. A step that is counted
# as refused says so by an error, for which Python may have no memory on its way. Where anything else
# is refused, nothing has changed.
TOLD_WHEN_DONE = {
    "an average of numbers",
    "an average of a model",
    "beginning an epoch",
    "saving a checkpoint",
    "a step that is refused by an error",
}


def fail_every_allocation(library: str, every: int) -> None:
    """Do each act with its first allocation failing, then with its second, until none fails.

    Each is done twice so: for the first time, and when it has been done before.
    """
    share_out_every_step()
    allocator = ctypes.PyDLL(library)
    for (name, act), before in itertools.product(ACTS.items(), (0, 1)):
        for at in itertools.count(random.randrange(every), every):
            do, read = act()
            for _ in range(before):
                do()
            refused, left = True, 0
            try:
                allocator.fail_after(at, 1)
                do()
                refused = False
                left = allocator.stop_failing()
            except NO_MEMORY:
                pass
            done = see_that_it_is_whole(name, act, do, read, before)
            assert not refused or done == before or name in TOLD_WHEN_DONE, name
            if left:
                break
            do()
            see_that_it_is_whole(name, act, do, read, done + 1)
        print(name, at)


@pytest.fixture(scope="module")
def failing_allocator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the library that makes allocations fail."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and the C library of GNU; apt-get install gcc, on Linux")
    library = tmp_path_factory.mktemp("no_memory") / "no_memory.so"
    source = TESTS / "support/no_memory.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return str(library)


@endurance
@pytest.mark.skipif(
    FREE_THREADED,
    reason="CPython's own allocator is fixed there; run on CPython with its lock",
)
def test_no_memory_at_any_allocation(failing_allocator: str) -> None:
    code = (
        "from process.test_interruption import *\n"
        f"fail_every_allocation({failing_allocator!r}, {effort(50, 1)})"
    )
    malloc = {"PYTHONMALLOC": "malloc", "LD_PRELOAD": failing_allocator}
    print(output(code, 1200, **malloc))


# --- exceptions of the user's own -------------------------------------------------------------


class Fuse:
    """Raises an error when it is called for the time that was set."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error
        self.left: int | None = None  # never

    def __call__(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise self.error("blown")


def structures(fuse: Fuse) -> dict[str, Any]:
    """Return gradients for `W` and `b` whose own code burns a fuse."""

    class Tensor:
        def __init__(self, array: Array) -> None:
            self.array = array

        @property
        def __array_interface__(self) -> dict[str, Any]:
            fuse()
            return self.array.__array_interface__

    class Copying:
        def __init__(self, array: Array) -> None:
            self.array = array

        def __array__(self, *args: Any, **kwargs: Any) -> Array:
            fuse()
            return self.array

    arrays = {"W": ramp(6, 5), "b": ramp(5)}

    class Lazy(Mapping[str, Array]):
        def __getitem__(self, key: str) -> Array:
            fuse()
            return arrays[key][...]  # another window every time

        def __iter__(self) -> Iterator[str]:
            fuse()
            return iter(("W", "b"))

        def __len__(self) -> int:
            fuse()
            return 2

    return {
        "arrays": {"W": ramp(6, 5), "b": ramp(5)},
        "tensors": {"W": Tensor(ramp(6, 5)), "b": Tensor(ramp(5))},
        "copies": {"W": Copying(ramp(6, 5)), "b": Copying(ramp(5))},
        "a mapping": Lazy(),
    }


ERRORS = [LookupError, MemoryError, KeyboardInterrupt]


@pytest.mark.parametrize("optimizer", OWN)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("kind", ["arrays", "tensors", "copies", "a mapping"])
def test_an_exception_in_any_call_of_the_users_code(
    kind: str, error: type[BaseException], optimizer: Kind
) -> None:
    fuse = Fuse(error)

    def rate(n: int) -> float:
        fuse()
        return 0.5 / (n + 1)

    params = {"W": ramp(6, 5), "b": ramp(5)}
    options = following(optimizer, rate)
    opt = over(optimizer, params, **options)
    twin = over(optimizer, {name: w.copy() for name, w in params.items()}, **options)
    grads, plain_grads = structures(fuse)[kind], {"W": ramp(6, 5), "b": ramp(5)}
    told = {"blown"}
    for n in itertools.count():
        before = everything(opt)
        fuse.left = n
        try:
            opt.step(grads)
        except TypeError:  # what an array's own code raised, told with the gradient's name
            assert error is LookupError
        except error as raised:
            told.add(str(raised))
        else:
            break
        finally:
            fuse.left = None
        assert everything(opt) == before
    assert n >= 2
    assert told == {"blown"}
    twin.step(plain_grads)
    assert everything(opt) == everything(twin)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("kind", ["arrays", "tensors", "a mapping"])
def test_an_exception_while_a_group_is_added(kind: str, error: type[BaseException]) -> None:
    fuse = Fuse(error)

    def rate(n: int) -> float:
        fuse()
        return 0.5 / (n + 1)

    opt = gs.NAdam([ramp(3)], lr=0.25)
    opt.step([ramp(3)])
    group = {"params": structures(fuse)[kind], "lr": rate, "betas": (0.5, rate)}
    told = {"blown"}
    for n in itertools.count():
        before = everything(opt)
        fuse.left = n
        try:
            opt.add_group(group)
        except TypeError:  # what an array's own code raised, told with the parameter's name
            assert error is LookupError
        except error as raised:
            told.add(str(raised))
        else:
            break
        finally:
            fuse.left = None
        assert everything(opt) == before
    assert n >= 2
    assert told == {"blown"}
    assert list(opt.state) == ["0", "W", "b"]
    opt.step([[ramp(3)], {"W": ramp(6, 5), "b": ramp(5)}])


def test_an_exception_while_a_rate_is_assigned() -> None:
    fuse = Fuse(LookupError)

    def rate(n: int) -> float:
        fuse()
        return 0.5

    opt = gs.SGD([{"params": ramp(3)}, {"params": ramp(4)}], lr=0.25)
    before = everything(opt)
    for n in range(2):
        fuse.left = n
        with pytest.raises(LookupError, match="blown"):
            opt.lr = rate
        fuse.left = None
        assert everything(opt) == before
