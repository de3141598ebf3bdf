"""Accumulated gradients: one step by the mean of several micro-batches."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import gradstep as gs
from gradstep import _core
from support.interruption import Interruption
from support.whole import everything, plain

rng = np.random.default_rng(7)


def params_of(dtype: Any = np.float32) -> dict[str, Any]:
    return {
        "W": np.ones((30, 40), dtype),
        "b": np.asfortranarray(np.ones((3, 4), dtype)),
        "s": np.ones(20, np.float64)[::2],
    }


def gradients_like(params: dict[str, Any]) -> dict[str, Any]:
    return {f"d{k}": rng.standard_normal(w.shape).astype(w.dtype) for k, w in params.items()}


@pytest.mark.parametrize("every", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_is_that_of_the_mean_gradient(every: int, dtype: Any) -> None:
    params, plain = params_of(dtype), params_of(dtype)
    steps, opt = gs.Accumulator(gs.Adam(params), every), gs.Adam(plain)
    for _ in range(3):
        batch = [gradients_like(params) for _ in range(every)]
        for i, micro in enumerate(batch):
            assert steps.count == i
            steps.step(micro)
        # The sums in the order that they are added in; every is a power of two, so that dividing
        # is exact.
        total = {name: np.zeros_like(g) for name, g in batch[0].items()}
        for micro in batch:
            for name, g in micro.items():
                total[name] = total[name] + g
        opt.step({name: g / g.dtype.type(every) for name, g in total.items()})
    assert steps.t == 3
    for name, w in plain.items():
        np.testing.assert_array_equal(params[name], w)


def test_parameters_stay_until_the_batch_is_complete() -> None:
    params = params_of()
    steps = gs.Accumulator(gs.SGD(params), 3)
    for _ in range(2):
        steps.step(gradients_like(params))
    assert all((w == 1).all() for w in params.values())
    assert (steps.t, steps.count, steps.every) == (0, 2, 3)
    steps.step(gradients_like(params))
    assert not any((w == 1).all() for w in params.values())
    assert (steps.t, steps.count) == (1, 0)


def test_scale_counts_for_its_own_micro_batch() -> None:
    w = np.zeros(1)
    steps = gs.Accumulator(gs.SGD(w, lr=1.0), 2)
    steps.step(np.array([8.0]), scale=0.25)
    steps.step(np.array([6.0]), scale=0.5)
    assert w[0] == -2.5


def test_groups_and_names() -> None:
    W, b = np.ones(3), np.ones(2)
    steps = gs.Accumulator(gs.SGD([{"params": {"W": W}}, {"params": b, "lr": 2.0}], lr=1.0), 2)
    for _ in range(2):
        steps.step([{"dW": np.ones(3)}, np.ones(2)])
    np.testing.assert_array_equal(W, np.zeros(3))
    np.testing.assert_array_equal(b, -np.ones(2))
    named = gs.Accumulator(gs.SGD(gs.by_name({"W": W, "b": b}, {"b": {"lr": 0.0}}), lr=1.0), 1)
    named.step({"dW": np.ones(3), "db": np.ones(2)})
    np.testing.assert_array_equal(W, -np.ones(3))


@pytest.mark.parametrize("nonfinite", ["skip", "raise"])
@pytest.mark.parametrize("bad", [0, 1])
def test_a_batch_that_is_not_finite_is_left_out_whole(nonfinite: Any, bad: int) -> None:
    w = np.zeros(2)
    steps = gs.Accumulator(gs.SGD(w, lr=1.0, nonfinite=nonfinite), 2)
    for i in range(2):
        g = np.array([1.0, np.nan if i == bad else 1.0])
        if nonfinite == "raise" and i == 1:
            with pytest.raises(FloatingPointError, match="gradient of '0' is nan, at \\[1\\]"):
                steps.step(g)
        else:
            steps.step(g)
    assert (steps.t, steps.skipped) == (0, 1)
    np.testing.assert_array_equal(w, 0)
    for _ in range(2):
        steps.step(np.ones(2))
    np.testing.assert_array_equal(w, -np.ones(2))  # nothing of the bad batch is left
    assert (steps.t, steps.skipped, steps.count) == (1, 1, 0)


def test_under_a_loss_scaler() -> None:
    w = np.zeros(2, np.float32)
    steps = gs.Accumulator(gs.SGD(w, lr=1.0, nonfinite="skip"), 2)
    scaler = gs.LossScaler(steps, scale=8.0, interval=1)
    scaler.step(np.full(2, 8.0, np.float32))
    assert scaler.scale == 8.0  # no step has been taken yet
    scaler.step(np.full(2, 8.0, np.float32))
    assert scaler.scale == 16.0
    np.testing.assert_array_equal(w, [-1.0, -1.0])
    scaler.step(np.full(2, np.inf, np.float32))
    scaler.step(np.full(2, 16.0, np.float32))
    assert scaler.scale == 8.0


@pytest.mark.parametrize("after", [False, True], ids=["before the step", "after the step"])
def test_an_interruption_between_adding_and_stepping(
    after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = np.zeros(1)
    opt = gs.SGD(w, lr=1.0)
    steps = gs.Accumulator(opt, 2)
    steps.step(np.array([1.0]))
    step = opt.step

    def interrupted(grads: Any, scale: float) -> None:
        if after:
            step(grads, scale)
        raise KeyboardInterrupt

    monkeypatch.setattr(opt, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        steps.step(np.array([3.0]))
    monkeypatch.undo()
    steps.step(np.array([10.0]))  # finishes the batch before it adds
    assert w[0] == -2.0
    assert (steps.t, steps.count) == (1, 1)


def test_an_interruption_behind_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.zeros(1)
    steps = gs.Accumulator(gs.SGD(w, lr=1.0), 2)
    steps.step(np.array([1.0]))
    commit, calls = _core.commit, []

    def interrupted(replacements: Any) -> None:
        calls.append(replacements)
        if len(calls) == 2:  # the first notes that the step begins, the second begins anew
            raise KeyboardInterrupt
        commit(replacements)

    monkeypatch.setattr(_core, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        steps.step(np.array([3.0]))
    monkeypatch.undo()
    assert w[0] == -2.0
    steps.step(np.array([10.0]))  # no second time
    assert w[0] == -2.0
    assert (steps.t, steps.count) == (1, 1)


@pytest.mark.parametrize("there", [0, 1, 2, 3])
def test_flush_steps_by_the_mean_of_what_there_is(there: int) -> None:
    params, plain_params = params_of(), params_of()
    steps, opt = gs.Accumulator(gs.Adam(params), 4), gs.Adam(plain_params)
    for _ in range(2):  # an epoch of a whole batch and a part of one
        for count in (4, there):
            batch = [gradients_like(params) for _ in range(count)]
            for micro in batch:
                steps.step(micro)
            if count:
                total = {name: sum(micro[name] for micro in batch) for name in batch[0]}
                opt.step(total, 1.0 / count)
        assert steps.flush() == (there > 0)
        assert not steps.flush()
    assert (steps.t, steps.count) == (opt.t, 0)
    for name, w in plain_params.items():
        np.testing.assert_array_equal(params[name], w)


@pytest.mark.parametrize("nonfinite", ["skip", "raise"])
def test_a_flush_that_is_refused_leaves_the_batch_out(nonfinite: Any) -> None:
    w = np.zeros(1)
    steps = gs.Accumulator(gs.SGD(w, lr=1.0, nonfinite=nonfinite), 3)
    steps.step(np.array([np.nan]))
    if nonfinite == "raise":
        with pytest.raises(FloatingPointError, match="gradient of '0' is nan"):
            steps.flush()
    else:
        assert not steps.flush()
    assert (steps.t, steps.skipped, steps.count, w[0]) == (0, 1, 0, 0.0)
    steps.step(np.ones(1))
    assert steps.flush()
    assert w[0] == -1.0


def test_a_flush_that_fails_leaves_the_sums() -> None:
    w, rates = np.zeros(1), iter([0.0])  # a schedule that raises from the second time on
    opt = gs.SGD(w, lr=1.0, average=gs.EWA(0.5))
    steps = gs.Accumulator(opt, 3)
    steps.step(np.array([1.0]))
    before = plain(steps.state_dict())
    with opt.averaged(), pytest.raises(RuntimeError, match="leave the block"):
        steps.flush()
    opt.lr = lambda n: next(rates)
    with pytest.raises(StopIteration):
        steps.flush()
    assert plain(steps.state_dict()) == before
    opt.lr = gs.schedules.Constant(1.0)
    steps.step(np.array([2.0]))  # into the same batch
    assert (w[0], steps.count) == (0.0, 2)
    assert steps.flush()
    assert w[0] == -1.5
    steps.step(np.array([1.0]))
    opt.add_group({"params": {"b": np.zeros(2)}})
    with pytest.raises(
        ValueError, match="must have its groups from before, got others; make a new Acc"
    ):
        steps.flush()


@pytest.mark.parametrize("act", ["flush", "step"])
def test_an_interruption_before_any_operation(act: str) -> None:
    def begun() -> tuple[gs.Accumulator, gs.Optimizer]:
        opt = gs.Adam({"w": np.ones(3)})
        steps = gs.Accumulator(opt, 3)
        for _ in range(2):
            steps.step({"w": np.ones(3)})
        return steps, opt

    def do(steps: gs.Accumulator) -> None:
        if act == "step":
            steps.step({"w": np.ones(3)})
        else:
            steps.flush()

    def read(steps: gs.Accumulator, opt: gs.Optimizer) -> object:
        return plain(steps.state_dict()), everything(opt)

    allowed = []  # what is read before the act, and behind it
    for times in (0, 1):
        steps, opt = begun()
        for _ in range(times):
            do(steps)
        allowed.append(read(steps, opt))
    found = []
    for at in range(sys.maxsize):
        steps, opt = begun()
        interruption = Interruption(at)
        traced = sys.gettrace()
        try:
            sys.settrace(interruption)
            do(steps)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(traced)
        found.append(allowed.index(read(steps, opt)))
        if interruption.left >= 0:
            break
    assert {*found} == {0, 1}


@pytest.mark.parametrize("cut", range(7))
def test_a_resumed_run_goes_on_alike(cut: int) -> None:
    params, other = params_of(), params_of()
    batches = [gradients_like(params) for _ in range(7)]
    opt = gs.Adam(params)
    steps = gs.Accumulator(opt, 3)
    for g in batches[:cut]:
        steps.step(g)
    for name, w in params.items():
        other[name][...] = w
    resumed_opt = gs.Adam(other)
    resumed = gs.Accumulator(resumed_opt, 3)
    resumed.load_state_dict(steps.state_dict())
    resumed_opt.load_state_dict(opt.state_dict())
    for g in batches[cut:]:
        steps.step(g)
        resumed.step(g)
    assert steps.flush()  # of the seventh
    assert resumed.flush()
    for name, w in params.items():
        np.testing.assert_array_equal(other[name], w)
    assert (resumed.t, resumed.count) == (3, 0)


@pytest.mark.parametrize("when", ["before", "within", "loaded"])
def test_steps_of_the_optimizer_alone_cost_no_batch(when: str) -> None:
    w = np.zeros(1)
    opt = gs.SGD(w, lr=1.0)
    steps = gs.Accumulator(opt, 2)
    if when == "before":
        opt.step(np.zeros(1))
    if when == "loaded":
        opt.load_state_dict({**opt.state_dict(), "t": 5})
    steps.step(np.ones(1))
    if when == "within":
        opt.step(np.zeros(1))
    steps.step(np.ones(1))
    assert w[0] == -1.0


def test_what_keeps_the_optimizer_from_stepping_comes_before_adding() -> None:
    w = np.zeros(1)
    opt = gs.SGD(w, lr=1.0, average=gs.EWA(0.5))
    steps = gs.Accumulator(opt, 2)
    steps.step(np.ones(1))
    with opt.averaged(), pytest.raises(RuntimeError, match="leave the block"):
        steps.step(np.ones(1))
    w.flags.writeable = False
    with pytest.raises(ValueError, match="parameter '0' must be writable"):
        steps.step(np.ones(1))
    w.flags.writeable = True
    assert steps.count == 1
    steps.step(np.array([3.0]))
    assert (w[0], steps.count) == (-2.0, 0)
    opt.add_group({"params": {"b": np.zeros(2)}})
    with pytest.raises(
        ValueError, match="must have its groups from before, got others; make a new Acc"
    ):
        steps.step(np.ones(1))


def test_bad_gradients_are_not_added() -> None:
    params = params_of()
    steps = gs.Accumulator(gs.SGD(params), 2)
    grads = gradients_like(params)
    for wrong, message in [
        ({**grads, "dW": grads["dW"][:3]}, "gradient of 'W' must have shape"),
        (
            {**grads, "dW": grads["dW"].astype(np.float64)},
            "gradient of 'W' must have dtype .*, got float64",
        ),
        ({"dW": grads["dW"]}, "missing: 'db', 'ds'"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            steps.step(wrong)
    assert steps.count == 0
    assert not any(s.any() for s in steps.state_dict()["sums"].values())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"every": 4}, "every of the state must be 2, as here, got 4; make"),
        ({"count": 2}, "count must be an integer below 2"),
        ({"sums": {}}, r"sums of the state must have the keys W, b, s, got \[\]"),
        ({"more": 1}, "the state must have the keys every, count, sums, got .*; load what Acc"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(
    damage: dict[str, Any], message: str
) -> None:
    params = params_of()
    steps = gs.Accumulator(gs.SGD(params), 2)
    steps.step(gradients_like(params))
    before = steps.state_dict()
    zeros = {name: np.zeros_like(s) for name, s in before["sums"].items()}
    with pytest.raises(ValueError, match=message):
        steps.load_state_dict({**before, "sums": zeros, **damage})
    after = steps.state_dict()
    for name, s in before["sums"].items():
        np.testing.assert_array_equal(after["sums"][name], s)
    wrong = {**zeros, "W": np.zeros((3, 3), np.float32)}
    with pytest.raises(ValueError, match="must have shape"):
        steps.load_state_dict({**before, "sums": wrong})


def test_what_cannot_be_accumulated_for() -> None:
    with pytest.raises(TypeError, match="must be an optimizer of this package, got dict"):
        gs.Accumulator({}, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every must be an integer >= 1, got 0"):
        gs.Accumulator(gs.SGD(np.zeros(2)), 0)
    assert repr(gs.Accumulator(gs.SGD(np.zeros(2)), 2)).startswith("Accumulator(SGD(lr=0.01")
