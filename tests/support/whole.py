"""Acts that happen whole or not at all, whatever comes in between, and how to see that they did.

An act is made anew by calling it: it gives a function that does it, again and again, and one that
reads all that it may change. Between two calls the reading has one value; broken off at any place,
the act has left either that value or the next. How it is broken off is a test's business.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep as gs

Array = NDArray[Any]
Do = Callable[[], object]
Read = Callable[[], object]
Act = Callable[[], tuple[Do, Read]]

ACTS: dict[str, Act] = {}


def _act(make: Act) -> Act:
    ACTS[make.__name__.replace("_", " ")] = make
    return make


def plain(value: Any) -> object:
    """Return nested values with the bytes of arrays in their place, so that they can be compared."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value.tobytes() if isinstance(value, np.ndarray) else value


def everything(opt: gs.Optimizer) -> object:
    """Return all that an optimizer is: what the core keeps, and what is seen of it from outside."""
    windows = {name: dict(arrays) for name, arrays in opt.state.items()}
    seen = repr(opt), repr(opt.grad_norm), opt.last_nonfinite, opt.average
    return plain([opt.params, opt.t, opt.lr, seen, windows, opt.state_dict()])


def ramp(*shape: int, dtype: Any = np.float32) -> Array:
    return (np.arange(np.prod(shape), dtype=dtype) / 8 - 1).reshape(shape)


def _params() -> dict[str, Array]:
    return {"W": ramp(40, 30), "b": ramp(30, dtype=np.float64), "s": ramp(2, 60)[:, ::2].T}


def _trained(steps: int) -> gs.Optimizer:
    params = _params()
    opt = gs.Adam(params, lr=0.25)
    for _ in range(steps):
        opt.step({name: w / 2 for name, w in params.items()})
    return opt


@_act
def a_step() -> tuple[Do, Read]:
    # Large enough that the interpreter's lock is let go of, and shared out in parts.
    params = {**_params(), "L": ramp(200, 100)}
    opt = gs.AdamW(params, lr=0.25, amsgrad=True)
    # Two dense, of which one in another order than its parameter, and two that are not.
    grads = {"W": np.asfortranarray(ramp(40, 30)), "b": ramp(90, dtype=np.float64)[::3]}
    grads |= {"s": ramp(60, 4)[::2, ::2], "L": ramp(200, 100)}
    return lambda: opt.step(grads), lambda: everything(opt)


@_act
def a_step_over_a_nested_structure() -> tuple[Do, Read]:
    opt = gs.Momentum({"l": [ramp(7), (ramp(5), ramp(3, 3))]}, lr=0.25, nesterov=True)
    grads = {"l": [ramp(7), [ramp(5), ramp(3, 3)]]}
    return lambda: opt.step(grads), lambda: everything(opt)


def _hyperbola(n: int) -> float:
    return 0.5 / (n + 1)


@_act
def a_step_of_groups_that_follow_a_schedule() -> tuple[Do, Read]:
    cosine = gs.schedules.warmup(gs.schedules.Cosine(0.5, steps=1000), 3)
    opt = gs.RMSprop(
        [{"params": [ramp(9)]}, {"params": {"w": ramp(4)}, "lr": _hyperbola}],
        lr=cosine,
        centered=True,
    )
    grads = [[ramp(9)], {"dw": ramp(4)}]
    return lambda: opt.step(grads), lambda: everything(opt)


def _betas() -> tuple[gs.schedules.Schedule, gs.schedules.Schedule]:
    return gs.schedules.Linear(0.5, 0.875, steps=20), gs.schedules.Linear(0.75, 0.99, steps=20)


@_act
def a_step_that_keeps_products() -> tuple[Do, Read]:
    # Of both betas, and of NAdam's factors: state that is in no array.
    opt = gs.NAdam([{"params": [ramp(9)]}, {"params": {"w": ramp(4)}, "lr": 0.5}], betas=_betas())
    grads = [[ramp(9)], {"dw": ramp(4)}]
    return lambda: opt.step(grads), lambda: everything(opt)


@_act
def a_step_of_groups_by_name() -> tuple[Do, Read]:
    params = {"l": [{"W": ramp(6, 5), "b": ramp(5)}], "s": ramp(3)}
    groups = gs.by_name(params, {"*.b": {"weight_decay": 0.0, "lr": _hyperbola}, "s": {"lr": 0.5}})
    opt = gs.Lion(groups, lr=0.25, weight_decay=0.5)
    grads = {"l": [{"dW": ramp(6, 5), "db": ramp(5)}], "ds": ramp(3)}
    return lambda: opt.step(grads), lambda: everything(opt)


@_act
def a_step_by_a_rule_of_others() -> tuple[Do, Read]:
    params = {"W": ramp(6, 5), "b": ramp(5)}
    opt = gs.compat.optax.rmsprop(
        params, 0.25, initial_scale=0.5, centered=True, momentum=0.5, nesterov=True
    )
    grads = {"W": ramp(6, 5), "b": ramp(5)}
    return lambda: opt.step(grads), lambda: everything(opt)


@_act
def a_step_with_gradients_of_another_framework() -> tuple[Do, Read]:
    class Tensor:
        def __init__(self, array: Array) -> None:
            self._array, self._interface = array, array.__array_interface__

        @property
        def __array_interface__(self) -> dict[str, Any]:
            return self._interface

    opt = gs.SGD([ramp(6), ramp(5)], lr=0.25, weight_decay=0.5)
    grads = [Tensor(ramp(6)), Tensor(ramp(5))]
    return lambda: opt.step(grads), lambda: everything(opt)


@_act
def a_step_of_a_function() -> tuple[Do, Read]:
    w, m, v = [ramp(50), ramp(7)], [ramp(50) * 0, ramp(7) * 0], [ramp(50) * 0, ramp(7) * 0]
    g = [ramp(50), ramp(7)]
    return lambda: gs.functional.adam(w, g, m, v, t=3, lr=0.25), lambda: plain([w, m, v])


@_act
def a_step_of_a_function_with_a_product() -> tuple[Do, Read]:
    w, m, v = [ramp(50), ramp(7)], [ramp(50) * 0, ramp(7) * 0], [ramp(50) * 0, ramp(7) * 0]
    g, product = [ramp(50), ramp(7)], np.ones(1)
    # Nearly 1 at once, so that the product takes many steps to vanish.
    betas, decay = (0.999, 0.999), 1000.0

    def step() -> None:
        gs.functional.nadam(
            w, g, m, v, t=3, lr=0.25, mu_product=product, betas=betas, momentum_decay=decay
        )

    return step, lambda: plain([w, m, v, product])


@_act
def a_clipped_step() -> tuple[Do, Read]:
    # Two passes, both of them shared out; one bound is told, the other follows a schedule.
    params = {**_params(), "L": ramp(200, 100)}
    clip_value = gs.schedules.Linear(0.5, 0.25, steps=100)
    opt = gs.Adam(params, lr=0.25, max_norm=40.0, clip_value=clip_value, nonfinite="raise")
    grads = {"W": np.asfortranarray(ramp(40, 30)), "b": ramp(90, dtype=np.float64)[::3]}
    grads |= {"s": ramp(60, 4)[::2, ::2], "L": ramp(200, 100)}
    return lambda: opt.step(grads, scale=0.75), lambda: everything(opt)


@_act
def a_skipped_step() -> tuple[Do, Read]:
    # Its whole effect is that it was counted, and what is said of it.
    opt = gs.NAdam(
        {"W": ramp(40, 30), "b": ramp(5)},
        betas=_betas(),
        max_norm=np.inf,
        nonfinite="skip",
        average=gs.EWA(0.5),
    )
    grads = {"W": ramp(40, 30), "b": ramp(5)}
    opt.step(grads)
    bad = {"W": ramp(40, 30), "b": np.append(ramp(4), np.float32(np.nan))}
    return lambda: opt.step(bad), lambda: [everything(opt), opt.skipped]


@_act
def a_step_that_is_refused_by_an_error() -> tuple[Do, Read]:
    opt = gs.SGD([ramp(5), ramp(40, 500)], max_norm=1.0, nonfinite="raise")
    opt.step([ramp(5), ramp(40, 500)])
    bad = [ramp(5), np.full((40, 500), np.inf, np.float32)]

    def step() -> None:
        try:
            opt.step(bad)
        except FloatingPointError:
            pass
        else:
            raise AssertionError("not refused")

    return step, lambda: [everything(opt), opt.skipped]


@_act
def an_averaged_step() -> tuple[Do, Read]:
    params = [{"params": {"W": ramp(200, 100)}}, {"params": [ramp(2, 60)[:, ::2].T], "lr": 0.5}]
    average = gs.EWA(0.75, bias_correction=True)
    opt = gs.Momentum(params, lr=0.25, average=average)
    grads = [{"W": ramp(200, 100)}, [ramp(30, 2)]]
    return lambda: opt.step(grads), lambda: plain([everything(opt), average.t, average.value])


@_act
def a_clipped_step_of_a_function() -> tuple[Do, Read]:
    w, m, g = [ramp(50), ramp(7)], [ramp(50) * 0, ramp(7) * 0], [ramp(50), ramp(7)]

    def step() -> None:
        gs.functional.momentum(
            w, g, m, lr=0.25, scale=2.0, max_norm=1.0, clip_value=0.125, nonfinite="skip"
        )

    return step, lambda: plain([w, m])


def _averaging(steps: int) -> gs.Optimizer:
    average = gs.EWA(0.75, bias_correction=True)
    opt = gs.Adam(_params(), lr=0.25, average=average, max_norm=3.0 + steps)
    for _ in range(steps):
        opt.step({name: w / 2 for name, w in opt.params.items()})
    return opt


@_act
def averages_in_and_out() -> tuple[Do, Read]:
    # The parameters tell which of both was done last: nothing can be saved where they are in.
    opt = _averaging(3)
    outside, block = plain(opt.params), opt.averaged()

    def change() -> None:
        if plain(opt.params) == outside:
            block.__enter__()
        else:
            block.__exit__(None, None, None)

    return change, lambda: plain([opt.params, opt.t, repr(opt)])


@_act
def a_block_with_averages() -> tuple[Do, Read]:
    opt = _averaging(2)

    def look() -> None:
        with opt.averaged() as params:
            params["W"].sum()

    return look, lambda: everything(opt)


@_act
def adding_a_group_that_is_averaged() -> tuple[Do, Read]:
    opt = _averaging(1)

    def add() -> None:
        n = len(opt.groups)
        opt.add_group({"params": {f"w{n}": ramp(4), f"v{n}": [ramp(3)]}})

    return add, lambda: [everything(opt), _expected(opt)]


@_act
def assigning_an_option() -> tuple[Do, Read]:
    opt = _averaging(1)
    falling = gs.schedules.Linear(0.5, 0.25, steps=100)

    def assign() -> None:
        opt.max_norm = falling if opt.max_norm == 4.0 else 4.0

    return assign, lambda: everything(opt)


@_act
def loading_averages_and_options() -> tuple[Do, Read]:
    opt, other = _averaging(2), _averaging(4)
    other.step({"W": ramp(40, 30), "b": ramp(30, dtype=np.float64), "s": ramp(30, 2)})
    other.clip_value, other.nonfinite = gs.schedules.Linear(0.5, 0.25, steps=100), "skip"
    other.step(
        {
            "W": np.full((40, 30), np.inf, np.float32),
            "b": ramp(30, dtype=np.float64),
            "s": ramp(30, 2),
        }
    )
    saved = opt.state_dict(), other.state_dict()
    return lambda: opt.load_state_dict(saved[opt.t == 2]), lambda: everything(opt)


@_act
def making_an_optimizer_that_averages() -> tuple[Do, Read]:
    params, used = _params(), gs.EWA(0.5, bias_correction=True)
    used.update(params)

    def make() -> None:
        average = gs.EWA()
        average.load_state_dict(used.state_dict())
        gs.Adam(params, max_norm=gs.schedules.Constant(1.0), average=average)

    return make, lambda: plain([params, used.state_dict()])


@_act
def assigning_the_rate() -> tuple[Do, Read]:
    opt = gs.SGD([{"params": ramp(3)}, {"params": ramp(4)}], lr=0.25)

    def assign() -> None:
        opt.lr = opt.lr + 0.25

    return assign, lambda: [everything(opt), [dict(group) for group in opt.groups]]


@_act
def assigning_a_hyperparameter() -> tuple[Do, Read]:
    opt = _trained(1)
    group = opt.groups[0]

    def assign() -> None:
        beta1, beta2 = group["betas"]
        group["betas"] = (beta2, beta1)

    return assign, lambda: everything(opt)


@_act
def assigning_a_schedule_to_a_beta() -> tuple[Do, Read]:
    # Its product begins as the power that stood for it, and goes again.
    opt = gs.Adam(_params(), lr=0.25, betas=(0.5, 0.75))
    opt.step({name: w / 2 for name, w in opt.params.items()})
    group, schedules = opt.groups[0], _betas()

    def assign() -> None:
        group["betas"] = (0.5, 0.75) if callable(group["betas"][0]) else schedules

    return assign, lambda: everything(opt)


def _expected(opt: gs.Optimizer) -> str:
    """Return what gradients are expected, as a refusal tells it."""
    try:
        opt.step([])
    except (TypeError, ValueError) as error:
        return str(error)
    raise AssertionError("a step without gradients")


@_act
def adding_a_group() -> tuple[Do, Read]:
    opt = _trained(1)

    def add() -> None:
        n = len(opt.groups)
        opt.add_group({"params": {f"w{n}": ramp(4), f"v{n}": [ramp(3)]}, "betas": _betas()})

    return add, lambda: [everything(opt), _expected(opt)]


@_act
def loading_products() -> tuple[Do, Read]:
    def trained(steps: int) -> gs.Optimizer:
        opt = gs.NAdam([ramp(4), ramp(3)], betas=_betas())
        for _ in range(steps):
            opt.step([ramp(4), ramp(3)])
        return opt

    opt = trained(2)
    saved = opt.state_dict(), trained(4).state_dict()
    return lambda: opt.load_state_dict(saved[opt.t == 2]), lambda: everything(opt)


@_act
def loading() -> tuple[Do, Read]:
    opt, other = _trained(2), _trained(4)
    other.lr = gs.schedules.Linear(0.5, 0.0, steps=10)
    saved = opt.state_dict(), other.state_dict()
    return lambda: opt.load_state_dict(saved[opt.t == 2]), lambda: everything(opt)


@_act
def saving() -> tuple[Do, Read]:
    opt = _trained(2)
    return opt.state_dict, lambda: everything(opt)


@_act
def making_an_optimizer() -> tuple[Do, Read]:
    params = _params()
    return lambda: gs.Adam(params, lr=0.25), lambda: plain(params)


@_act
def making_an_optimizer_of_groups_by_name() -> tuple[Do, Read]:
    params = _params()
    groups = gs.by_name(params, {"[bs]": {"weight_decay": 0.0}})
    return lambda: gs.NAdam(groups, lr=0.25, betas=_betas()), lambda: plain(params)


@_act
def making_an_optimizer_with_a_mask() -> tuple[Do, Read]:
    params, mask = _params(), {"W": True, "b": False, "s": False}
    return (
        lambda: gs.compat.optax.adamw(params, 0.25, weight_decay=0.5, mask=mask),
        lambda: plain(params),
    )


@_act
def an_average_of_numbers() -> tuple[Do, Read]:
    average = gs.EWA(0.5, bias_correction=True)
    return lambda: average.update(2.0), lambda: plain([average.value, average.state_dict()])


@_act
def an_average_of_a_model() -> tuple[Do, Read]:
    average = gs.EWA(0.5)
    model = {"W": ramp(40, 30), "l": [ramp(5), np.asfortranarray(ramp(4, 3))]}
    return lambda: average.update(model), lambda: plain([average.value, average.state_dict()])


@_act
def loading_an_average() -> tuple[Do, Read]:
    average, other = gs.EWA(0.5), gs.EWA(0.75, bias_correction=True)
    other.update([ramp(3), ramp(4)])
    saved = average.state_dict(), other.state_dict()
    return (
        lambda: average.load_state_dict(saved[average.beta == 0.5]),
        lambda: plain([average.value, average.state_dict()]),
    )


@_act
def averages_of_a_series() -> tuple[Do, Read]:
    series = ramp(40, 30)
    return lambda: gs.ewa(series, 0.5, bias_correction=True), lambda: plain(series)


def _batches() -> gs.MiniBatches:
    return gs.MiniBatches(np.arange(50).reshape(25, 2), ramp(2, 25).T, batch_size=10, seed=3)


@_act
def beginning_an_epoch() -> tuple[Do, Read]:
    batches = _batches()
    return lambda: iter(batches), batches.state_dict


@_act
def the_next_batch() -> tuple[Do, Read]:
    # More of them than anybody takes: an epoch that is begun and dropped is a state of its own.
    batches = gs.MiniBatches(np.zeros((100_000, 2)), np.arange(100_000), batch_size=1, seed=3)
    running = iter(batches)
    return lambda: next(running), batches.state_dict


@_act
def loading_the_place_in_an_epoch() -> tuple[Do, Read]:
    batches, other = _batches(), _batches()
    running = iter(other)
    next(running)
    saved = batches.state_dict(), other.state_dict()
    return (
        lambda: batches.load_state_dict(saved[batches.state_dict()["position"] == 0]),
        batches.state_dict,
    )


class Careless:
    """A user's object whose state is what it goes on with, changed step by step."""

    def __init__(self, value: int) -> None:
        self.values: dict[str, Any] = {"a": value, "b": ramp(3) + value}

    def state_dict(self) -> dict[str, Any]:
        return self.values

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values["a"] = state["a"]
        self.values["b"][...] = state["b"]


@_act
def loading_a_checkpoint() -> tuple[Do, Read]:
    opt, average, batches, own = _trained(2), gs.EWA(0.5), _batches(), Careless(1)
    parts = {"w": opt.params, "opt": opt, "average": average, "batches": batches, "own": own}
    folder = tempfile.TemporaryDirectory()
    gs.save(f"{folder.name}/0", **parts)
    other, later = _trained(4), _batches()
    average.update(other.params)
    running = iter(later)  # held, so that the state is one in the middle of an epoch
    next(running)
    parts |= {"w": other.params, "opt": other, "batches": later, "own": Careless(2)}
    gs.save(f"{folder.name}/1", **parts)
    parts |= {"w": opt.params, "opt": opt, "batches": batches, "own": own}

    def read() -> object:
        states = [part.state_dict() for part in (average, batches, own)]
        return copy.deepcopy([everything(opt), plain(states)])

    gs.load(f"{folder.name}/0", **parts)
    return lambda: gs.load(f"{folder.name}/{int(average.t == 0)}", **parts), read


@_act
def saving_a_checkpoint() -> tuple[Do, Read]:
    folder = tempfile.TemporaryDirectory()
    path, w = f"{folder.name}/run", ramp(40, 30)
    gs.save(path, w=w, turn=0)

    def read() -> object:
        folder  # noqa: B018 - is there for as long as this is
        return gs.load(path)["turn"]

    return lambda: gs.save(path, w=w, turn=gs.load(path)["turn"] + 1), read
