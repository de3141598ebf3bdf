"""Whatever breaks an act off, it has happened whole or not at all, and can be done again.

Signals, between any two operations of Python; memory that is not there, at any allocation; and
exceptions of the user's own. Each runs in a process of its own, which must come to its end.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import gradstep as gs
from effort import effort, endurance
from gradstep import _core
from processes import output
from whole import ACTS, Act, Do, Read

HERE = str(Path(__file__).parent)


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


class Interruption:
    """Raises KeyboardInterrupt before the operation of Python with a given number."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self


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
    code = f"from test_interruption import *; interrupt_before_every_operation({effort(7, 1)})"
    print(output(code, timeout=1200, PYTHONPATH=HERE))


def storm(seconds: float) -> None:
    """Do everything over and over, each time under an alarm that may strike at any moment."""
    share_out_every_step()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    for name, act in ACTS.items():
        do, read = act()
        do_twin, read_twin = act()
        begin = time.perf_counter()
        for _ in range(10):
            do(), do_twin()
        longest = (time.perf_counter() - begin) / 10
        strikes = 0
        while time.perf_counter() < begin + seconds / len(ACTS):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, longest))
                do()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                strikes += 1
            if read() != read_twin():
                do_twin()
                assert read() == read_twin(), f"{name}: interrupted, it happened in part"
        assert strikes > 0
        print(name, strikes)


@endurance
def test_a_storm_of_signals() -> None:
    code = f"from test_interruption import *; storm({effort(2, 20)})"
    print(output(code, timeout=120, PYTHONPATH=HERE))


# --- memory -----------------------------------------------------------------------------------


def fail_every_allocation(library: str, every: int) -> None:
    """Do each act with its first allocation failing, then with its second, until none fails."""
    share_out_every_step()
    allocator = ctypes.PyDLL(library)
    fail_after, stop_failing = allocator.fail_after, allocator.stop_failing
    for name, act in ACTS.items():
        seen = set()
        for at in range(random.randrange(every), sys.maxsize, every):
            do, read = act()
            do()
            error: BaseException | None = None
            left = 0
            try:
                fail_after(at, 1)
                do()
                left = stop_failing()
            except BaseException as raised:
                error = raised
            seen.add(repr(error)[:150])
            done = see_that_it_is_whole(name, act, do, read, 1)
            if left:
                break
            do()
            see_that_it_is_whole(name, act, do, read, done + 1)
        print(name, at, seen)


@pytest.fixture(scope="module")
def failing_allocator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the library that makes allocations fail."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and the C library of GNU; apt-get install gcc, on Linux")
    library = tmp_path_factory.mktemp("no_memory") / "no_memory.so"
    source = Path(HERE, "no_memory.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return str(library)


@endurance
def test_no_memory_at_any_allocation(failing_allocator: str) -> None:
    code = (
        "from test_interruption import *\n"
        f"fail_every_allocation({failing_allocator!r}, {effort(7, 1)})"
    )
    print(
        output(
            code,
            timeout=1200,
            PYTHONPATH=HERE,
            PYTHONMALLOC="malloc",
            LD_PRELOAD=failing_allocator,
        )
    )
