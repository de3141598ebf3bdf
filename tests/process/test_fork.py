"""A forked child: it steps, serially, and finds every optimizer whole, whenever it was forked."""

from __future__ import annotations

import os

import pytest

from support.effort import effort, endurance
from support.processes import STEP, output

if not hasattr(os, "fork"):
    pytest.skip("needs fork; run on Linux or macOS", allow_module_level=True)

# Python 3.12 and later warn of every fork of a process that has threads.
QUIET = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"

# What a child has to be able to do, and how its parent waits for it: a hang is seen as one.
CHILD = """
import signal, time
def child_of(act):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            act()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@endurance
def test_a_child_steps_serially_after_its_parent_stepped_in_parallel() -> None:
    code = (
        QUIET
        + STEP
        + CHILD
        + f"""
opt.step(g)
def step():
    assert _core.team_size(w.size) == 1
    opt.step(g)
    assert opt.t == 2 and np.allclose(w, -1)
    child_of(lambda: opt.step(g))
for _ in range({effort(20, 500)}):
    child_of(step)
assert _core.team_size(w.size) == 3
opt.step(g)
assert opt.t == 2 and np.allclose(w, -1)
print("done")
"""
    )
    assert output(code, 300) == "done"


@endurance
def test_a_fork_during_a_step_finds_it_taken_or_not_begun() -> None:
    # Another thread steps without a pause. SGD at rate 1 with gradient 1 counts the steps in every
    # element: the child sees whether they agree, and goes on with the same optimizer.
    code = (
        QUIET
        + STEP
        + CHILD
        + f"""
import threading
w = np.zeros(3_000_000, np.float32)
opt, g = gs.SGD(w, lr=1.0), np.ones_like(w)
stop = threading.Event()
def steps():
    while not stop.is_set():
        opt.step(g)
        if opt.t % 8 == 0:
            opt.state_dict()
thread = threading.Thread(target=steps, daemon=True)
thread.start()
def look():
    t = opt.t
    assert w.min() == w.max() == -t, (w.min(), w.max(), t)
    opt.step(g)
    opt.state_dict()
    assert opt.t == t + 1 and w.min() == w.max() == -t - 1
for _ in range({effort(20, 500)}):
    child_of(look)
stop.set()
thread.join()
assert w.min() == w.max() == -opt.t
print("done")
"""
    )
    assert output(code, 600) == "done"


def test_a_fork_within_a_schedule_leaves_the_step_to_go_on_in_both() -> None:
    code = (
        QUIET
        + STEP
        + CHILD
        + """
children = []
def rate(n):
    if n == 1:
        children.append(os.fork())
        try:
            opt.step(g)
        except RuntimeError:
            return 0.5
    return 0.5
opt = gs.SGD(w, lr=rate)
opt.step(g)
opt.step(g)
assert opt.t == 2 and np.all(w == -1), (opt.t, w[0])
if children[0] == 0:
    os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
print("done")
"""
    )
    assert output(code) == "done"


# Averages in the place of the parameters, of a step before.
AVERAGED = """
opt = gs.SGD(w, lr=0.5, average=gs.EWA(0.75, bias_correction=True), max_norm=float("inf"))
opt.step(g)
opt.step(g)
average, outside = opt.average, w.copy()
def whole():
    assert np.array_equal(w, outside) and np.array_equal(opt.average, average)
    opt.step(g)
    assert opt.t == 3 and opt.grad_norm == np.sqrt(w.size)
"""


def test_a_fork_within_averaged_leaves_the_block_to_be_left_in_both() -> None:
    code = (
        QUIET
        + STEP
        + CHILD
        + AVERAGED
        + """
def child():
    assert np.array_equal(w, average)
    block.__exit__(None, None, None)
    whole()
block = opt.averaged()
block.__enter__()
child_of(child)
assert np.array_equal(w, average)
block.__exit__(None, None, None)
whole()
print("done")
"""
    )
    assert output(code) == "done"


def test_a_child_of_another_threads_averaged_is_told_so() -> None:
    # Nobody is there to bring the parameters back: a step would take the averages for them.
    code = (
        QUIET
        + STEP
        + CHILD
        + AVERAGED
        + """
import threading
inside, leave = threading.Event(), threading.Event()
def evaluate():
    with opt.averaged():
        inside.set()
        leave.wait()
thread = threading.Thread(target=evaluate)
thread.start()
inside.wait()
def child():
    for act in (lambda: opt.step(g), opt.state_dict, lambda: opt.averaged().__enter__()):
        try:
            act()
        except RuntimeError as error:
            assert "the averages are in the parameters' place" in str(error)
        else:
            raise AssertionError("not refused")
    assert np.array_equal(w, average)
child_of(child)
leave.set()
thread.join()
whole()
print("done")
"""
    )
    assert output(code) == "done"


@endurance
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_step(method: str, tmp_path: object) -> None:
    # The parent has stepped in parallel; workers get arrays, not optimizers, and step their own.
    program = f"{tmp_path}/program.py"
    with open(program, "w", encoding="utf-8") as file:
        file.write(
            QUIET
            + """
import multiprocessing, sys
import numpy as np, gradstep as gs
from gradstep import _core

def train(seed):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(50_000).astype(np.float32)
    opt = gs.Adam(w)
    for _ in range(3):
        opt.step(rng.standard_normal(50_000).astype(np.float32))
    return w.tobytes()

if __name__ == "__main__":
    method, runs = sys.argv[1], int(sys.argv[2])
    _core.set_work_per_thread(1, 1)
    gs.set_num_threads(3)
    expected = train(0)
    for _ in range(runs):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map_async(train, [0, 0, 0]).get(timeout=60) == [expected] * 3
    print("done")
"""
        )
    runs = effort(1, 500)
    code = f"import runpy, sys; sys.argv = ['', {method!r}, '{runs}']\n"
    code += f"runpy.run_path({program!r}, run_name='__main__')"
    assert output(code, 600) == "done"
