"""Two threads and more: each with what is its own, and all on the same optimizer.

With an interpreter that has no lock (`nox -s free_threaded`) they truly run at once; with the usual one
they change places as often as it lets them, and run at once within steps. What a fork does to threads is
in test_fork.py, how many a step gets in test_parallel.py.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support.effort import effort, endurance
from support.oracle import CASES, Case
from support.teams import shared_out

Array = NDArray[Any]
REFUSED = "is stepping or being saved in another thread"
# Below and above what a step lets go of the interpreter's lock for.
SIZES = [3, 20_000]


@pytest.fixture(autouse=True)
def often(others_frozen: None) -> Iterator[None]:
    """Let the interpreter change threads as often as it can, and end the run where they wait for ever."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    faulthandler.dump_traceback_later(effort(300, 3000), exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    sys.setswitchinterval(before)


def at_once(*acts: Callable[[], object], meanwhile: Sequence[Callable[[], object]] = ()) -> None:
    """Run all in threads that begin together; those `meanwhile` again and again until the others are done."""
    begin, done = threading.Barrier(len(acts) + len(meanwhile)), threading.Event()
    errors: list[BaseException] = []

    def run(act: Callable[[], object], again: bool) -> None:
        try:
            begin.wait(60)
            act()
            while again and not done.is_set():
                act()
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            errors.append(error)
            done.set()

    threads = [threading.Thread(target=run, args=(act, False)) for act in acts]
    others = [threading.Thread(target=run, args=(act, True)) for act in meanwhile]
    for thread in threads + others:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]


def had_turn(act: Callable[..., object], *arguments: Any) -> bool:
    """Whether `act` had its turn: it may be refused for another thread's, and for nothing else."""
    try:
        act(*arguments)
    except RuntimeError as error:
        if REFUSED not in str(error):
            raise
        return False
    return True


def take_turns(times: int, act: Callable[..., object], *arguments: Any) -> None:
    """Do it so many times, each as often as it has to be tried."""
    for _ in range(times):
        while not had_turn(act, *arguments):
            time.sleep(0)


# --- each its own -----------------------------------------------------------------------------


def trained(case: Case, grads: list[Array], steps: int) -> bytes:
    w = [np.ones_like(g) for g in grads]
    opt = case.optimizer(w, lr=0.01, **case.options)
    for _ in range(steps):
        opt.step(grads)
    saved = opt.state_dict()
    state = [v for arrays in saved["state"].values() for v in arrays.values()]
    return repr(saved["groups"]).encode() + b"".join(a.tobytes() for a in [*w, *state])


@endurance
@pytest.mark.parametrize("size", SIZES)
def test_different_optimizers_over_the_same_gradients(size: int) -> None:
    # One of them has the helpers at a time; the others step by themselves, and all come to their end.
    rng = np.random.default_rng(0)
    grads = [rng.standard_normal(size).astype(t) for t in (np.float32, np.float64)]
    steps, turns = effort(20, 500), iter(range(10**9))
    found: dict[str, bytes] = {}

    def train(case: Case) -> None:
        found[str(case)] = trained(case, grads, steps)

    with shared_out(3, together=False):
        at_once(
            *(lambda case=case: train(case) for case in CASES[::4]),
            meanwhile=[lambda: gs.set_num_threads(1 + next(turns) % 4)],
        )
    with gs.threads(1):
        for case in CASES[::4]:
            assert found[str(case)] == trained(case, grads, steps), case


@endurance
def test_optimizers_that_come_and_go() -> None:
    def work() -> None:
        for n in range(effort(10, 1000)):
            w = np.zeros(n)
            falling = gs.schedules.ExponentialDecay(0.1, 0.9, 1)
            opt = gs.NAdam({"w": w, "b": np.zeros(1)}, lr=falling, betas=(0.9, falling))
            opt.step({"w": np.ones(n), "b": np.ones(1)})
            again = gs.NAdam({"w": w, "b": np.zeros(1)})
            again.load_state_dict(opt.state_dict())
            assert (repr(again), again.t) == (repr(opt), 1)
            opt.add_group({"params": np.zeros(n), "lr": falling})
            opt.step([{"w": np.ones(n), "b": np.ones(1)}, np.ones(n)])

    at_once(work, work, work, meanwhile=[gc.collect])


@endurance
def test_averages_and_series() -> None:
    values = np.random.default_rng(1).standard_normal((50, 700))

    def averaged() -> Array:
        average = gs.EWA(0.9, bias_correction=True)
        return np.array([average.update(value) for value in values])

    expected, results = averaged(), []

    def work() -> None:
        for _ in range(effort(3, 100)):
            results.append((averaged(), gs.ewa(values, 0.9, bias_correction=True)))

    with shared_out(2, together=False):
        at_once(work, work, work)
    assert all(np.array_equal(found, expected) for pair in results for found in pair)


@endurance
@pytest.mark.parametrize("order", ["C", "F"])
def test_epochs_over_the_same_examples(order: Any) -> None:
    # The same arrays in a `MiniBatches` for each thread, and then one `MiniBatches` for all of them,
    # where each thread begins epochs of its own. In columns, whoever comes first prepares a copy.
    examples = np.asarray(np.arange(40_000).reshape(1000, 40), order=order)
    one_for_all = gs.MiniBatches(examples, batch_size=64, seed=0)

    def epochs(batches: gs.MiniBatches) -> None:
        for _ in range(effort(3, 100)):
            found = np.concatenate(list(batches))
            assert np.array_equal(found[np.argsort(found[:, 0])], examples)

    with shared_out(2, together=False):
        at_once(*(lambda: epochs(gs.MiniBatches(examples, seed=0)) for _ in range(3)))
        at_once(*(lambda: epochs(one_for_all) for _ in range(3)))


# --- all on one -------------------------------------------------------------------------------


@endurance
@pytest.mark.parametrize("size", SIZES)
def test_every_step_is_taken_and_counted_once(size: int) -> None:
    w, g = np.zeros(size), np.ones(size)
    opt = gs.SGD(w, lr=1.0)
    steps = effort(500, 20_000)

    def ask() -> None:
        assert opt.lr == 1.0
        assert 0 <= opt.t <= 3 * steps
        assert repr(opt).startswith(f"SGD({opt.groups[0].listed()}, t=")

    with shared_out(2, together=False):
        at_once(
            *[lambda: take_turns(steps, opt.step, g)] * 3,
            meanwhile=[
                ask,
                lambda: had_turn(setattr, opt, "lr", 1.0),
                lambda: had_turn(opt.groups[0].update, {"weight_decay": 0.0}),
                lambda: had_turn(opt.state_dict),
            ],
        )
    assert opt.t == 3 * steps
    assert (w == -opt.t).all()


IN_PLACE = "the averages are in the parameters' place"


@endurance
@pytest.mark.parametrize("size", SIZES)
def test_steps_are_clipped_skipped_and_averaged_once(size: int) -> None:
    # Clipped, every gradient is of one; each thread takes good steps and bad ones. In the averages'
    # block nobody steps, and whoever comes is told so.
    w, g, bad = np.zeros(size), np.full(size, 2.0), np.full(size, np.inf)
    opt = gs.SGD(w, lr=1.0, average=gs.EWA(0.5, bias_correction=True), nonfinite="skip")
    opt.max_norm, opt.clip_value = float("inf"), 1.0
    steps = effort(100, 5000)
    norms = {None, 2.0 * size**0.5, float("inf")}

    def turn(act: Callable[..., object], *arguments: Any) -> bool:
        try:
            return had_turn(act, *arguments)
        except RuntimeError as error:
            if IN_PLACE not in str(error):
                raise
            return False

    def work() -> None:
        for gradient in [g, bad] * steps:
            while not turn(opt.step, gradient):
                time.sleep(0)

    def look() -> None:
        with opt.averaged():
            t, inside = opt.t, w.copy()
            assert (inside == inside[0]).all()
            assert opt.t == t
            assert (w == inside).all()

    def ask() -> None:
        norm = opt.grad_norm  # looked at once
        assert any(norm == pytest.approx(known) for known in norms)
        assert 0 <= opt.skipped <= 3 * steps
        assert opt.last_nonfinite in (None, "gradient of '0' is inf, at [0]")
        assert (opt.max_norm, opt.nonfinite) == (float("inf"), "skip")

    with shared_out(2, together=False):
        at_once(
            work, work, work,
            meanwhile=[
                ask,
                lambda: turn(look),
                lambda: turn(setattr, opt, "clip_value", 1.0),
                lambda: turn(opt.state_dict),
            ],
        )  # fmt: skip
    assert (opt.t, opt.skipped) == (3 * steps, 3 * steps)
    assert (w == -opt.t).all()
    assert opt.average == pytest.approx(w + 1, abs=1e-6)


@endurance
@pytest.mark.parametrize("size", SIZES)
def test_what_is_saved_and_loaded_is_of_one_moment(size: int) -> None:
    # Under gradients of one, every element of the moment says how many steps were taken.
    options: dict[str, Any] = {"beta": 0.999, "dampening": 0.0}
    steps = effort(250, 10_000)
    one = gs.Momentum(np.zeros(1), **options)
    moments = [0.0]
    for _ in range(2 * steps):
        one.step(np.ones(1))
        moments.append(one.state["0"]["m"][0])

    w, g = np.zeros(size), np.ones(size)
    opt = gs.Momentum(w, **options)
    saved = [opt.state_dict()]

    def save() -> None:
        if had_turn(lambda: saved.append(opt.state_dict())):
            assert (saved[-1]["state"]["0"]["m"] == moments[saved[-1]["t"]]).all()

    with shared_out(2, together=False):
        at_once(
            *[lambda: take_turns(steps, opt.step, g)] * 2,
            meanwhile=[save, lambda: had_turn(opt.load_state_dict, saved[-1])],
        )
    assert (opt.state["0"]["m"] == moments[opt.t]).all()
    assert (w == w[0]).all()


@endurance
@pytest.mark.parametrize("size", SIZES)
def test_products_are_of_the_moment_that_is_saved_and_loaded(size: int) -> None:
    steps = effort(150, 10_000)

    def made(n: int) -> gs.Optimizer:
        schedule = gs.schedules.Linear(0.5, 0.999, steps=steps)
        return gs.NAdam(np.zeros(n), betas=(schedule, schedule))

    one = made(1)
    products = [one.state_dict()["groups"][0]["products"]]
    for _ in range(2 * steps):
        one.step(np.ones(1))
        products.append(one.state_dict()["groups"][0]["products"])

    opt, g = made(size), np.ones(size)
    saved = [opt.state_dict()]

    def save() -> None:
        if had_turn(lambda: saved.append(opt.state_dict())):
            assert saved[-1]["groups"][0]["products"] == products[saved[-1]["t"]]

    with shared_out(2, together=False):
        at_once(
            *[lambda: take_turns(steps, opt.step, g)] * 2,
            meanwhile=[save, lambda: had_turn(opt.load_state_dict, saved[-1])],
        )
    assert opt.state_dict()["groups"][0]["products"] == products[opt.t]


@endurance
def test_groups_that_come_while_others_step() -> None:
    # Every element counts the steps of its own group, which began when the group came.
    opt, ones = gs.SGD([{"params": np.zeros(3)}], lr=1.0), np.ones(3)
    come = effort(100, 2000)

    def step() -> None:
        # Another thread may have brought a group since they were counted.
        with contextlib.suppress(ValueError):
            had_turn(opt.step, [ones] * len(opt.groups))

    def add() -> None:
        for _ in range(come):
            take_turns(1, opt.add_group, {"params": np.zeros(3)})

    def save() -> None:
        if had_turn(lambda: saved.append(opt.state_dict())):
            assert len(saved[-1]["groups"]) == len(saved[-1]["state"])
        shown = repr(opt)
        assert "\n" not in shown or f"SGD({shown.count('lr=')} groups, t=" in shown

    saved = [opt.state_dict()]
    at_once(add, add, meanwhile=[step, save])
    state = opt.state_dict()
    assert len(state["groups"]) == 1 + 2 * come
    for group, entry in zip(state["groups"], opt.params, strict=True):
        assert (entry["params"] == group["start"] - state["t"]).all()


@endurance
def test_no_change_of_a_hyperparameter_is_lost() -> None:
    # Each thread has one to itself and finds it as it left it, whatever the others set.
    w, g = np.zeros(3), np.zeros(3)
    opt = gs.AdamW(w, lr=0.0)
    group = opt.groups[0]
    values = [n / 16_384 for n in range(effort(150, 10_000))]

    def own(name: str) -> None:
        for value in values:
            take_turns(1, group.update, {name: value})
            assert group[name] == value

    def rate() -> None:
        for value in values:
            take_turns(1, setattr, opt, "lr", value)
            assert opt.lr == value == group["lr"]

    at_once(
        rate, lambda: own("weight_decay"), lambda: own("eps"),
        meanwhile=[lambda: had_turn(opt.step, g)],
    )  # fmt: skip
    saved = opt.state_dict()["groups"][0]
    assert [saved[name] for name in ("lr", "weight_decay", "eps")] == [values[-1]] * 3


def test_a_second_thread_on_the_same_optimizer() -> None:
    # The schedule of the first step is held open while the second one comes.
    inside, leave = threading.Event(), threading.Event()

    def slow(n: int) -> float:
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            leave.wait(10)
        return 0.5

    w = np.ones(3, np.float32)
    opt, g = gs.SGD(w, lr=slow), np.ones(3, np.float32)
    thread = threading.Thread(target=opt.step, args=(g,))
    thread.start()
    assert inside.wait(10)
    with pytest.raises(RuntimeError, match=REFUSED):
        opt.step(g)
    assert w.tolist() == [1, 1, 1]
    leave.set()
    thread.join(10)
    opt.step(g)
    assert opt.t == 2
    assert w.tolist() == [0, 0, 0]
