"""Threads, levels and what the environment says about them. Timings belong to the benchmarks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import gradstep as gs
from gradstep import _core
from support.processes import STEP, output, outputs, run

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc; run on Linux")


def with_environment(environment: dict[str, str], code: str) -> str:
    """Return the code with these variables in its environment."""
    return f"import os; os.environ.update({environment!r}); {code}"


# --- levels -----------------------------------------------------------------------------------


def test_the_highest_level_is_used() -> None:
    code = "import gradstep; print(gradstep.cpu_info()['isa'])"
    assert output(code) == gs.cpu_info()["isas"][-1]


def test_a_level_can_be_forced() -> None:
    code = "import gradstep; print(gradstep.cpu_info()['isa'])"
    assert (
        outputs(*(with_environment({"GRADSTEP_ISA": isa}, code) for isa in _core.isas()))
        == _core.isas()
    )


def test_a_level_that_cannot_be_is_an_import_error() -> None:
    done = run("import gradstep", GRADSTEP_ISA="x86-64-v9")
    assert done.returncode != 0
    assert "ImportError: GRADSTEP_ISA: instruction-set level 'x86-64-v9' is unknown" in done.stderr
    assert "available: baseline" in done.stderr


@linux
def test_levels_match_the_processors_flags() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split("flags", 1)[-1].split("\n", 1)[0].split())
    if "lm" not in flags:
        pytest.skip("not an x86-64 processor; run on one")
    v3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
    v4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    assert ("x86-64-v3" in _core.isas()) == (v3 <= flags)
    assert ("x86-64-v4" in _core.isas()) == (v3 | v4 <= flags)


# --- how many threads -------------------------------------------------------------------------

COUNT = "import gradstep; print(gradstep.get_num_threads())"


def test_the_environment_decides() -> None:
    rows = [
        ({"GRADSTEP_NUM_THREADS": "7"}, "7"),
        ({"OMP_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "3,2"}, "3"),
        ({"GRADSTEP_NUM_THREADS": "7", "OMP_NUM_THREADS": "3"}, "7"),
        ({"GRADSTEP_NUM_THREADS": "", "OMP_NUM_THREADS": "3"}, "3"),
    ]
    found = outputs(*(with_environment(environment, COUNT) for environment, _ in rows))
    assert found == [expected for _, expected in rows]


def test_a_number_of_threads_that_cannot_be_is_an_import_error() -> None:
    values = ["0", "-1", "two", "1.5", "99999999999"]
    for said in outputs(
        *(with_environment({"GRADSTEP_NUM_THREADS": value}, COUNT) for value in values)
    ):
        assert "ImportError: GRADSTEP_NUM_THREADS must be an integer >= 1, got" in said


def test_set_and_get_and_with() -> None:
    before = gs.get_num_threads()
    with gs.threads(9):
        assert gs.get_num_threads() == 9
        with pytest.raises(KeyError), gs.threads(2):  # noqa: PT012
            assert gs.cpu_info()["threads"] == 2
            raise KeyError
        gs.set_num_threads(np.int64(4))
        assert gs.get_num_threads() == 4
    assert gs.get_num_threads() == before


class Blocks:
    """Blocks of `threads`, each in a thread of its own."""

    def __init__(self, count: int) -> None:
        self.workers = [ThreadPoolExecutor(1) for _ in range(count)]
        self.blocks = [ExitStack() for _ in range(count)]

    def enter(self, i: int, number: int) -> None:
        self.workers[i].submit(self.blocks[i].enter_context, gs.threads(number)).result()

    def leave(self, i: int) -> None:
        self.workers[i].submit(self.blocks[i].close).result()


@pytest.mark.parametrize(
    ("order", "numbers"),
    [  # of blocks 0, 1 and 2, entered in that order; the last one that is open gives the number
        ((0, 1, 2), [13, 13]),
        ((0, 2, 1), [13, 12]),
        ((1, 0, 2), [13, 13]),
        ((1, 2, 0), [13, 11]),
        ((2, 0, 1), [12, 12]),
        ((2, 1, 0), [12, 11]),
    ],
)
def test_blocks_that_overlap_in_several_threads(order: Sequence[int], numbers: list[int]) -> None:
    before, blocks = gs.get_num_threads(), Blocks(3)
    for i in range(3):
        blocks.enter(i, 11 + i)
    found = []
    for i in order:
        blocks.leave(i)
        found.append(gs.get_num_threads())
    assert found == [*numbers, before]


def test_a_number_that_is_set_holds_until_the_last_block_entered_ends() -> None:
    before, blocks = gs.get_num_threads(), Blocks(3)
    blocks.enter(0, 11)
    blocks.enter(1, 12)
    gs.set_num_threads(21)
    blocks.leave(0)
    assert gs.get_num_threads() == 21
    blocks.enter(2, 13)
    blocks.leave(2)
    assert gs.get_num_threads() == 21
    blocks.leave(1)
    assert gs.get_num_threads() == before


@pytest.mark.parametrize("between", [False, True])
def test_a_block_whose_end_was_interrupted_ends_with_the_one_around_it(
    between: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, blocks = gs.get_num_threads(), Blocks(1)
    with gs.threads(11):
        if between:
            blocks.enter(0, 12)
        with monkeypatch.context() as patch:
            patch.setattr(gs.thread_count, "_leave", interrupted)
            with pytest.raises(KeyboardInterrupt), gs.threads(13):
                pass
        assert gs.get_num_threads() == 13
    if between:
        assert gs.get_num_threads() == 12
        blocks.leave(0)
    assert gs.get_num_threads() == before


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks; run on Unix")
def test_a_forked_child_is_in_no_block_of_another_thread() -> None:
    code = """
import os, threading, gradstep as gs
def say():  # a line in one piece: print writes two, where Python's output is not buffered
    os.write(1, b"%d\\n" % gs.get_num_threads())
gs.set_num_threads(5)
entered, left = threading.Event(), threading.Event()
def block():
    with gs.threads(7):
        entered.set()
        left.wait()
thread = threading.Thread(target=block)
with gs.threads(6):
    thread.start()
    entered.wait()
    child = os.fork()
    say()
say()
if child:
    os.waitpid(child, 0)
    left.set()
    thread.join()
    say()
"""
    # The lines of the two processes may come in any order, but for the last.
    *lines, last = output(code).split()
    assert sorted(lines) == ["5", "6", "7", "7"]
    assert last == "5"


def test_a_team_is_bounded_by_work_and_by_the_user() -> None:
    before = _core.get_work_per_thread()
    _core.set_work_per_thread(1000, 1000)
    try:
        with gs.threads(4):
            assert [_core.team_size(n) for n in (0, 999, 1000, 2000, 3999, 4000, 10**9)] == [
                1, 1, 1, 2, 3, 4, 4,
            ]  # fmt: skip
        with gs.threads(1):
            assert _core.team_size(10**9) == 1
    finally:
        _core.set_work_per_thread(*before)


def test_helpers_are_awake_for_steps_that_follow_closely() -> None:
    # Three decisions within 30 µs of each other; an interruption between them is tried again.
    code = """
import time
from gradstep import _core, set_num_threads
set_num_threads(4)
_core.set_work_per_thread(10**9, 1)
team = _core.team_size
team(10)  # starts what a team needs
def after(pause):
    time.sleep(pause)
    return [team(10) for _ in range(5)][-1]
assert any(after(0) == 4 for _ in range(100))
def paused():
    sizes = []
    for _ in range(5):
        time.sleep(0.001)
        sizes.append(team(10))
    return sizes
assert paused() == [1] * 5
print("done")
"""
    assert output(code) == "done"


@linux
def test_import_starts_no_thread_and_leaves_the_environment_alone() -> None:
    code = """
import os, numpy
before = len(os.listdir("/proc/self/task")), dict(os.environ)
import gradstep
assert (len(os.listdir("/proc/self/task")), dict(os.environ)) == before
print("done")
"""
    assert output(code) == "done"


@linux
def test_helpers_sleep_between_steps() -> None:
    # Processor time of all threads over a pause after steps: none of it is spent on waiting.
    code = (
        STEP
        + """
import time
for _ in range(50):
    opt.step(g)
assert len(os.listdir("/proc/self/task")) > tasks
time.sleep(0.05)
before = time.process_time()
time.sleep(0.5)
assert time.process_time() - before < 0.1
print("done")
"""
    )
    assert output(code) == "done"
