"""Nothing is kept of what passes through: reference counts, objects, memory and threads stay flat.

Each row is one turn of a loop; it runs until all is warm, and then as often again as the effort says.
"""

from __future__ import annotations

import copy
import gc
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support.anything import FUNCTIONS, OPTIMIZERS, arrays_of, following, over
from support.effort import effort, endurance
from support.teams import shared_out

Array = NDArray[Any]
Turn = Callable[[int], None]

TURNS = effort(480, 1_000_000)
WARM = 120

# What belongs to everybody. Others count on these too: their caches fill, and `np.zeros(3)` of
# NumPy 2.4 leaves one reference to float64 behind.
SHARED: list[Any] = [
    None, True, False, NotImplemented, "W", "lr", 0, 1, np.ndarray, np.float32, np.dtype("f4"),
    np.dtype("f8"), np.dtype("i8"), gs.EWA, gs.MiniBatches, float, dict, list, ValueError,
    TypeError, *OPTIMIZERS,
]  # fmt: skip


class Kept:
    """The objects that a loop uses again and again, whose counts are looked at too."""

    def __init__(self) -> None:
        self.w = np.ones(6, np.float32)
        self.g = np.full(6, 1e-3, np.float32)
        self.strided = np.full((6, 2), 1e-3, np.float32)[:, 1]
        self.wide = np.ones(3, np.float64)
        self.m, self.v = np.zeros(6, np.float32), np.zeros(6, np.float32)
        self.params = {"W": self.w}
        self.grads = {"dW": self.g}
        self.key = chr(0x416)  # a string of its own
        self.X, self.order = np.arange(40.0).reshape(10, 4), np.arange(10)
        self.opt = gs.Adam(self.params, lr=gs.schedules.Cosine(0.1, steps=1000))
        self.saved = self.opt.state_dict()
        self.product, self.mask = np.ones(1), {"W": True}

    def counts(self) -> list[int]:
        return [sys.getrefcount(each) for each in vars(self).values()]


def refuse(call: Callable[[], Any], error: type[Exception]) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError("not refused")


def steps(k: Kept) -> Turn:
    return lambda i: k.opt.step(k.grads)


def strided(k: Kept) -> Turn:
    opt = gs.Momentum([k.w, k.X[:, 1]])
    grads = [k.strided, np.ones((10, 2))[:, 0]]
    return lambda i: opt.step(grads)


def many_structures(k: Kept) -> Turn:
    opt = gs.RMSprop([{"params": {"a": [k.w]}}, {"params": (k.wide,), "lr": 0.1}])
    return lambda i: opt.step([{"a": [k.g]}, (np.full(3, 0.1),)])


def every_optimizer(k: Kept) -> Turn:
    """Each with products over its steps, where it corrects with schedules."""
    schedule = gs.schedules.Linear(0.25, 0.5, steps=1000)
    made = [over(kind, k.params, **following(kind, schedule)) for kind in OPTIMIZERS]

    def turn(i: int) -> None:
        opt = made[i % len(made)]
        opt.step(k.grads)
        opt.load_state_dict(opt.state_dict())
        opt.groups[0].update(dict(opt.groups[0]))
        assert opt.lr < 1

    return turn


def groups_that_come(k: Kept) -> Turn:
    def turn(i: int) -> None:
        opt = gs.NAdam(k.params)
        opt.groups[0]["betas"] = (0.9, lambda n: opt.t * 0.0)  # refers to the optimizer
        opt.step(k.grads)
        opt.add_group({"params": [k.m], "lr": lambda n: opt.lr})
        opt.step([k.grads, [k.strided]])
        refuse(lambda: opt.add_group({"params": k.w, "lr": lambda n: opt.t * 0.0}), ValueError)
        refuse(lambda: opt.add_group({"params": k.v, "lr": lambda n: opt.t - 9.0}), ValueError)

    return turn


def groups_by_name(k: Kept) -> Turn:
    params = {"W": k.w, "b": k.wide}
    grads = {"dW": k.g, "db": np.full(3, 0.1)}

    def turn(i: int) -> None:
        opt = gs.AdamW(gs.by_name(params, {"b": {"weight_decay": 0.0, "lr": lambda n: 0.1}}))
        opt.step(grads)
        masked = gs.compat.optax.lion(k.params, 0.1, mask=k.mask)
        masked.step(k.grads)

    return turn


def own_schedule(k: Kept) -> Turn:
    opt = gs.SGD(k.params, lr=lambda n: 1.0 / (1 + n))
    return lambda i: opt.step({"W": k.g})


def scheduled(k: Kept) -> Turn:
    def turn(i: int) -> None:
        schedule = gs.schedules.warmup(gs.schedules.join([0.1, lambda n: 0.2], [5]), steps=3)
        schedule(i % 10)
        gs.schedules.from_config(gs.schedules.to_config(gs.schedules.OneCycle(0.1, steps=10)))
        refuse(lambda: gs.schedules.Cosine(-1.0, steps=3), ValueError)

    return turn


def refused(k: Kept) -> Turn:
    """Errors of every kind, from each place that raises one."""

    def of_text(n: int) -> Any:
        return "x"

    w, schedule = cast(Any, k.w), cast(Any, of_text)

    nadam = gs.functional.nadam
    slow = gs.SGD({"W": k.w}, lr=0.1)
    group = {**k.saved["groups"][0], "products": {k.key: (1.0, 0.0)}}
    read_only = k.g.copy()
    flagged = gs.SGD({"R": read_only})
    read_only.flags.writeable = False
    rows: list[tuple[Callable[[], Any], type[Exception]]] = [
        (lambda: k.opt.step({"dW": k.wide}), TypeError),
        (lambda: k.opt.step({"dW": k.g[:3]}), ValueError),
        (lambda: k.opt.step({"dW": k.w}), ValueError),  # shares memory
        (lambda: k.opt.step({"dW": "x"}), TypeError),
        (lambda: k.opt.step({"dW": k.g, "more": k.g}), ValueError),
        (lambda: k.opt.step({}), ValueError),
        (lambda: k.opt.step([k.g]), TypeError),
        (lambda: k.opt.step(None), TypeError),
        (lambda: flagged.step({"R": k.g}), ValueError),
        (lambda: setattr(slow, "lr", of_text), TypeError),
        (lambda: setattr(slow, "lr", -1), ValueError),
        (lambda: setattr(slow, "lr", 10**400), ValueError),
        (lambda: slow.groups[0].__setitem__("maximize", 1), TypeError),
        (lambda: slow.groups[0].__setitem__(k.key, 1), ValueError),
        (lambda: k.opt.load_state_dict({**k.saved, "t": -1}), ValueError),
        (lambda: k.opt.load_state_dict({**k.saved, "state": {}}), ValueError),
        (lambda: gs.Adam({"W": k.w, "V": k.w}), ValueError),
        (lambda: gs.Adam({"W": k.w}, betas=(0.9, 1.0)), ValueError),
        (lambda: gs.Adam({"W": k.order}), TypeError),
        (lambda: gs.functional.adam(k.w, k.g, k.m, k.wide, t=1, lr=0.1), TypeError),
        (lambda: nadam(k.w, k.g, k.m, k.v, t=1, lr=0.1, mu_product=k.wide), ValueError),
        (lambda: nadam(k.w, k.g, k.m, k.v, t=1, lr=0.1, mu_product=k.v[:1]), ValueError),
        (lambda: nadam(k.w, k.g, k.m, k.wide, t=1, lr=0.1, mu_product=k.product), TypeError),
        (lambda: k.opt.add_group({"params": k.w}), ValueError),
        (lambda: k.opt.add_group({"params": k.wide, "lr": of_text}), TypeError),
        (lambda: k.opt.add_group({"params": k.wide, k.key: 1}), ValueError),
        (lambda: k.opt.add_group({"lr": 1.0}), ValueError),
        (lambda: gs.SGD(gs.by_name(k.params, {k.key: {}})), ValueError),
        (lambda: gs.SGD(gs.by_name(k.params, {"W": {"lr": -1.0}})), ValueError),
        (lambda: gs.by_name(k.params, {k.key: w}), TypeError),
        (lambda: gs.compat.optax.adamw(k.params, 0.1, mask=[k.mask]), ValueError),
        (lambda: gs.compat.keras.Adam(k.params, clipnorm=1.0), ValueError),
        (lambda: gs.compat.torch.Adam(k.params, capturable=True), ValueError),
        (lambda: gs.Adagrad(k.params, initial_accumulator=schedule), TypeError),
        (lambda: k.opt.load_state_dict({**k.saved, "groups": [group]}), ValueError),
        (lambda: gs.MiniBatches(k.X, k.order[:3]), ValueError),
        (lambda: gs.EWA(2.0), ValueError),
        (lambda: gs.ewa([[1.0], [1.0, 2.0]]), ValueError),
        (lambda: gs.EWA().update(k.order.astype("M8[s]")), TypeError),
    ]
    return lambda i: refuse(*rows[i % len(rows)])


def clipped_and_averaged(k: Kept) -> Turn:
    """Two passes; what is refused in the second; averages in and out; and all of it saved."""
    average = gs.EWA(0.5, bias_correction=True)
    opt = gs.Adam([k.w, k.X[:, 1]], max_norm=1.0, nonfinite="skip", average=average)
    grads = [k.strided, np.ones((10, 2))[:, 0]]
    bad = [k.strided, np.full((10, 2), np.nan)[:, 0]]

    def turn(i: int) -> None:
        opt.nonfinite = "skip" if i % 2 else "raise"
        opt.max_norm, opt.clip_value = lambda n: 1.0 + opt.t, gs.schedules.Constant(0.5)
        opt.step(grads, scale=0.5)
        if i % 2:
            opt.step(bad)
        else:
            refuse(lambda: opt.step(bad), FloatingPointError)
        refuse(lambda: opt.step(grads, scale=1e-40), ValueError)
        refuse(lambda: setattr(opt, "max_norm", k.key), TypeError)
        refuse(lambda: setattr(opt, "nonfinite", k.key), ValueError)
        refuse(lambda: average.update(k.g), RuntimeError)
        with opt.averaged() as params:
            assert params[0] is k.w
            refuse(lambda: opt.step(grads), RuntimeError)
            refuse(lambda: opt.averaged().__enter__(), RuntimeError)
        opt.averaged().__enter__()  # and never left
        opt.max_norm = gs.schedules.Constant(1.0)
        assert opt.skipped == opt.t or opt.average
        state = opt.state_dict()
        opt.load_state_dict(state)
        refuse(lambda: opt.load_state_dict({**state, "average": {}}), ValueError)
        refuse(lambda: opt.load_state_dict({**state, "options": {}}), ValueError)

    return turn


def averages_that_come_and_go(k: Kept) -> Turn:
    def turn(i: int) -> None:
        average = gs.EWA(0.5)
        average.update(k.params)
        opt = gs.SGD(k.params, average=average)
        opt.max_norm = lambda n: opt.t + 1.0  # refers to the optimizer
        opt.step(k.grads)
        opt.add_group({"params": {"M": k.m}})
        opt.step([k.grads, {"M": k.strided}])
        refuse(lambda: gs.SGD(k.params, average=average), RuntimeError)
        refuse(lambda: opt.add_group({"params": {"M": k.v}}), ValueError)
        refuse(lambda: gs.SGD(k.w, average=copy.copy(average)), TypeError)
        gs.functional.sgd(k.w, k.g, lr=1e-3, scale=0.5, max_norm=1.0, nonfinite="skip")

    return turn


def functions(k: Kept) -> Turn:
    def turn(i: int) -> None:
        call = FUNCTIONS[i % len(FUNCTIONS)]
        options: dict[str, Any] = {"t": 1 + i % 100} if needs_t[call] else {}
        if call is not gs.functional.ewa:
            options["lr"] = 1e-3
        call(**given[call], **options)
        gs.functional.ewa([k.m], [k.strided])
        k.product[0] = 1.0

    # The state is the caller's, and of one kind as good as of another.
    arrays = {"w": k.w, "g": k.g, "x": k.strided, "mu_product": k.product}
    arrays |= {"m": k.m, "v": k.v, "u": np.ones(6, np.float32), "d": np.ones(6, np.float32)}
    given = {call: {name: arrays[name] for name in arrays_of(call)} for call in FUNCTIONS}
    needs_t = {call: "t" in inspect.signature(call).parameters for call in FUNCTIONS}
    return turn


def averages(k: Kept) -> Turn:
    average = gs.EWA(bias_correction=True)

    def turn(i: int) -> None:
        average.update(k.params)
        average.load_state_dict(average.state_dict())
        gs.ewa(k.X, bias_correction=True)

    return turn


def epochs(k: Kept) -> Turn:
    batches = gs.MiniBatches(k.X, k.order, k.X.T.copy().T, batch_size=4, seed=0)

    def turn(i: int) -> None:
        for xb, _, _ in batches:
            xb += 1
        next(iter(batches))
        batches.load_state_dict(batches.state_dict())

    return turn


def made_and_dropped(k: Kept) -> Turn:
    def turn(i: int) -> None:
        gs.Adam(k.params, lr=lambda n: 0.1).step(k.grads)
        opt = gs.SGD([k.w])
        opt.lr = lambda n: opt.t * 0.0  # refers to the optimizer that calls it
        opt.step([k.g])

    return turn


def saved_and_loaded(k: Kept) -> Turn:
    return lambda i: k.opt.load_state_dict(k.opt.state_dict())


def in_teams(k: Kept) -> Turn:
    opt = gs.Adam([np.ones(20_000, np.float32)])
    grads = [np.ones(20_000, np.float32)]

    def turn(i: int) -> None:
        with shared_out(3, together=False):
            opt.step(grads)

    return turn


def resident() -> int:
    """Return the bytes of memory that the process has in hand."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


@endurance
@pytest.mark.usefixtures("others_frozen")
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="needs /proc: run `pytest` on Linux"
)
@pytest.mark.parametrize(
    "row",
    [
        steps, strided, many_structures, own_schedule, scheduled, refused, functions, averages,
        epochs, made_and_dropped, saved_and_loaded, in_teams, every_optimizer, groups_that_come,
        groups_by_name, clipped_and_averaged, averages_that_come_and_go,
    ],
)  # fmt: skip
def test_nothing_is_kept(row: Callable[[Kept], Turn]) -> None:
    kept = Kept()
    turn = row(kept)

    def run(turns: int) -> tuple[list[int], list[int], int, int, int]:
        for i in range(turns):
            turn(i)
        gc.collect()
        shared = [sys.getrefcount(each) for each in SHARED]
        return kept.counts(), shared, len(gc.get_objects()), native_threads(), resident()

    run(WARM)
    counts, shared, objects, threads, memory = run(WARM)
    counts_after, shared_after, objects_after, threads_after, memory_after = run(TURNS)
    assert counts_after == counts
    # What is kept of every turn shows TURNS times; a cache somewhere may take in a few.
    differ = [after - before for before, after in zip(shared, shared_after, strict=True)]
    assert max(map(abs, differ)) < 400, dict(zip(map(repr, SHARED), differ, strict=True))
    assert objects_after - objects < 10
    assert threads_after == threads
    assert memory_after - memory < max(2 << 20, TURNS)  # a byte a turn is less than any object
