"""What every optimizer offers: names, groups, state, rates, saving and loading."""

from __future__ import annotations

import gc
import weakref
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support.oracle import CASES, Case

Array = NDArray[Any]


def ones(*shape: int) -> Array:
    return np.ones(shape)


@pytest.mark.parametrize(
    ("params", "names"),
    [
        (ones(2), ["0"]),
        ([ones(2), ones(3)], ["0", "1"]),
        ((ones(2), [ones(3), ones(4)]), ["0", "1.0", "1.1"]),
        ({"W1": ones(2), "b1": ones(3)}, ["W1", "b1"]),
        ({"o": [ones(2)], "h": {"W": ones(3), 7: ones(4)}}, ["o.0", "h.W", "h.7"]),
        ([{"params": [ones(2), ones(3)]}, {"params": [ones(4)]}], ["0", "1", "2"]),
        ([{"params": ones(2)}, {"params": {"a": ones(1)}}, {"params": ones(3)}], ["0", "a", "1"]),
    ],
)
def test_names(params: Any, names: list[str]) -> None:
    opt = gs.Momentum(params)
    assert list(opt.state) == names
    assert opt.params is params


@pytest.mark.parametrize(
    ("params", "grads"),
    [
        ({"W": ones(2), "b": ones(3)}, {"b": ones(3), "W": ones(2)}),
        ({"W": ones(2), "b": ones(3)}, {"db": ones(3), "dW": ones(2)}),
        ({"W": ones(2)}, {"dW": ones(2)}),
        ({"W": ones(2), "dW": ones(3)}, {"dW": ones(3), "W": ones(2)}),
        ({"W": ones(2), "dW": ones(3)}, {"ddW": ones(3), "dW": ones(2)}),
        ({"l": {"W": ones(2)}, "b": ones(3)}, {"l": {"dW": ones(2)}, "db": ones(3)}),
        ({"l": [{"W": ones(2)}]}, {"l": [{"dW": ones(2)}]}),
        ({"l": [ones(2), ones(3)]}, {"dl": [ones(2), ones(3)]}),
        ([ones(2), (ones(3),)], (ones(2), [ones(3)])),
        ([{"params": {"W": ones(2)}}, {"params": [ones(3)]}], [{"dW": ones(2)}, [ones(3)]]),
    ],
)
def test_gradients_find_their_parameters(params: Any, grads: Any) -> None:
    # Shapes differ, so a gradient that went astray would be refused.
    opt = gs.SGD(params, lr=0.25)
    opt.step(grads)

    def leaves(tree: Any) -> list[Array]:
        if isinstance(tree, dict):
            tree = list(tree.values())
        return [tree] if isinstance(tree, np.ndarray) else [x for t in tree for x in leaves(t)]

    for leaf in leaves(params):
        assert np.all(leaf == 0.75)


def test_gradients_may_change_their_keys_from_step_to_step() -> None:
    params = {"W": ones(2), "dW": ones(3)}
    opt = gs.SGD(params, lr=0.25)
    for grads in ({"dW": ones(2), "ddW": ones(3)}, {"W": ones(2), "dW": ones(3)}) * 2:
        opt.step(grads)
    assert params["W"].tolist() == [0.0] * 2
    assert params["dW"].tolist() == [0.0] * 3


def test_groups_step_by_their_own_hyperparameters() -> None:
    a, b, c = np.ones(3), np.ones(3), np.ones(3, np.float32)
    opt = gs.Adam(
        [{"params": [a]}, {"params": [b], "lr": 0.5, "amsgrad": True}, {"params": c, "eps": 1.0}],
        lr=0.25,
        eps_root=0.0,
    )
    opt.step([[ones(3)], [ones(3)], np.ones(3, np.float32)])
    np.testing.assert_allclose(a, 0.75)
    np.testing.assert_allclose(b, 0.5)
    np.testing.assert_allclose(c, 0.875)  # 0.25 · 1 / (1 + 1)
    assert [dict(group)["lr"] for group in opt.groups] == [0.25, 0.5, 0.25]
    assert [list(s) for s in opt.state.values()] == [["m", "v"], ["m", "v", "v_max"], ["m", "v"]]
    assert repr(opt).startswith("Adam(3 groups, t=1:\n  lr=0.25, betas=(0.9, 0.999), eps=0.0,")


def test_rates_by_hand_and_by_schedule() -> None:
    w = np.zeros(1)
    seen = []

    def halving(n: int) -> float:
        seen.append(n)
        return 0.5**n

    opt = gs.SGD(w, lr=0.5)
    assert opt.lr == 0.5
    opt.lr = 2
    opt.step(ones(1))
    assert w[0] == -2
    opt.lr = halving
    assert opt.lr == 0.5  # one step was taken
    opt.step(ones(1))
    opt.step(ones(1))
    assert w[0] == -2.75
    assert opt.lr == 0.125
    assert set(seen) == {1, 2, 3}
    assert all(type(n) is int for n in seen)
    assert opt.groups[0]["lr"] is halving
    opt.lr = gs.schedules.Constant(1.0)
    opt.step(ones(1))
    assert w[0] == -3.75
    assert opt.t == 4


def test_assigning_lr_sets_every_group() -> None:
    opt = gs.SGD([{"params": ones(1), "lr": 0.5}, {"params": ones(1)}], lr=0.25)
    assert opt.lr == 0.5
    opt.lr = 0.125
    assert [group["lr"] for group in opt.groups] == [0.125, 0.125]


def test_any_hyperparameter_may_follow_a_schedule() -> None:
    w, judged = np.ones(2), np.ones(2)
    opt = gs.Momentum(w, lr=1.0, beta=lambda n: 0.5 / (n + 1), dampening=0.0)
    m = np.zeros(2)
    for n in range(3):
        m = 0.5 / (n + 1) * m + 1
        judged -= m
        opt.step(ones(2))
    np.testing.assert_allclose(w, judged)


def test_dampening_follows_beta() -> None:
    w = np.zeros(1)
    opt = gs.Momentum(w, lr=1.0)
    opt.groups[0]["beta"] = 0.75
    opt.step(ones(1))
    assert w[0] == -0.25


def test_a_schedule_that_raises_changes_nothing() -> None:
    def late(n: int) -> float:
        if n == 1:
            raise LookupError("no rate")
        return 1.0

    w = np.zeros(2)
    opt = gs.Adam(w, lr=late)
    opt.step(ones(2))
    before = w.copy(), opt.state["0"]["m"].copy()
    with pytest.raises(LookupError, match="no rate"):
        opt.step(ones(2))
    assert np.array_equal(w, before[0])
    assert np.array_equal(opt.state["0"]["m"], before[1])
    assert opt.t == 1


def test_repr_shows_every_hyperparameter() -> None:
    opt = gs.AdamW(ones(1), lr=gs.schedules.Cosine(0.1, 10), betas=(0.8, 0.9))
    assert repr(opt) == (
        "AdamW(lr=Cosine(lr=0.1, steps=10, end=0.0), betas=(0.8, 0.9), eps=0.0, eps_root=1e-08, "
        "bias_correction=True, amsgrad=False, weight_decay=0.01, maximize=False, t=0; lr is 0.1 now)"
    )
    opt.step(ones(1))
    assert repr(opt).endswith(f", t=1; lr is {opt.lr!r} now)")
    opt.lr = lambda n: 1 / (2 - n)
    opt.step(ones(1))
    assert repr(opt).endswith(", t=2; lr fails now: ZeroDivisionError)")


def test_repr_shows_the_rate_of_each_group() -> None:
    groups = [
        {"params": ones(1)},
        {"params": ones(1), "lr": lambda n: 0.25 + n},
        {"params": ones(1), "lr": lambda n: 0.75},
    ]
    lines = repr(gs.SGD(groups, lr=0.5)).split("\n")
    assert [line.partition("; ")[2] for line in lines[1:4]] == [
        "",
        "lr is 0.25 now",
        "lr is 0.75 now",
    ]


def test_state_is_the_arrays_themselves() -> None:
    w = np.asfortranarray(np.zeros((3, 4), np.float32))
    opt = gs.Adam({"w": w})
    m = opt.state["w"]["m"]
    assert m.dtype == w.dtype
    assert m.shape == w.shape
    assert m.strides == w.strides  # walked in the parameter's own order
    opt.step({"w": np.ones((3, 4), np.float32)})
    assert opt.state["w"]["m"] is m
    assert np.all(m == np.float32(0.1))
    m[...] = 0
    opt.step({"w": np.zeros((3, 4), np.float32)})
    assert np.all(m == 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_loaded_run_goes_on_with_the_same_bits(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    start = {"a": rng.normal(size=(3, 5)).astype(dtype), "b": rng.normal(size=7).astype(dtype)}
    grads = [
        {k: rng.normal(size=w.shape).astype(dtype) for k, w in start.items()} for _ in range(6)
    ]
    schedule = gs.schedules.warmup(gs.schedules.ExponentialDecay(0.1), 3)
    for stop in range(6):
        whole = {k: w.copy() for k, w in start.items()}
        opt = case.optimizer(whole, lr=schedule, **case.options)
        for g in grads[:stop]:
            opt.step(g)
        saved, then = opt.state_dict(), repr(opt)
        resumed = {k: w.copy() for k, w in whole.items()}
        for g in grads[stop:]:
            opt.step(g)
        again = case.optimizer(resumed, **case.options)
        again.load_state_dict(saved)
        assert again.t == stop
        assert repr(again) == then
        for g in grads[stop:]:
            again.step(g)
        for k in start:
            assert resumed[k].tobytes() == whole[k].tobytes()


def test_state_dict_is_a_snapshot_of_plain_values() -> None:
    opt = gs.Adam(
        {"w": np.zeros(2)}, lr=gs.schedules.join([0.1, gs.schedules.Linear(1, 0, 9)], [5])
    )
    opt.step({"w": ones(2)})
    saved = opt.state_dict()
    before = saved["state"]["w"]["m"].copy()
    opt.step({"w": ones(2)})
    assert np.array_equal(saved["state"]["w"]["m"], before)

    def check(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                assert type(key) is str
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)
        else:
            assert type(value) in (int, float, bool, str, type(None), np.ndarray), value

    check(saved)


def test_an_own_callable_stays_with_its_optimizer() -> None:
    def rate(n: int) -> float:
        return 0.5

    saved = gs.Adam(np.zeros(2), lr=rate, betas=(0.5, 0.6)).state_dict()
    opt = gs.Adam(np.zeros(2), lr=rate)
    with pytest.warns(UserWarning, match="lr was a callable that could not be saved"):
        opt.load_state_dict(saved)
    assert opt.groups[0]["lr"] is rate
    assert opt.groups[0]["betas"] == (0.5, 0.6)


def _changed(d: Any, *path: Any, value: Any) -> Any:
    """Return a copy of `d` with one entry, at the end of `path`, replaced."""
    key, *rest = path
    changed = d.copy()
    changed[key] = _changed(d[key], *rest, value=value) if rest else value
    return changed


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("path", "value", "error", "message"),
    [
        (("optimizer",), "SGD", ValueError, r"of 'SGD', but this optimizer is Adam"),
        (("t",), -1, ValueError, r"t must be an integer >= 0, got -1"),
        (("t",), 1.5, TypeError, r"t must be an integer >= 0, got 1\.5"),
        (("groups",), [], ValueError, r"groups of the state must be a list of 1, got \[\]"),
        (
            ("state",),
            {},
            ValueError,
            r"does not fit: a\.m: not in the state, float64\(2,\) here; a\.v: .*; b\.m: .*; b\.v: not",
        ),
        (("state", "c"), {}, ValueError, r"does not fit: c: in the state, no parameter here$"),
        (
            ("state", "c"),
            {"m": ones(2)},
            ValueError,
            r"fit: c\.m: float64\(2,\) in the state, not here$",
        ),
        (
            ("state", "b"),
            {"m": ones(3)},
            ValueError,
            r"fit: b\.v: not in the state, float64\(3,\) here$",
        ),
        (
            ("state", "b", "w"),
            ones(1),
            ValueError,
            r"fit: b\.w: float64\(1,\) in the state, not here$",
        ),
        (("state", "b", "v"), 1.0, ValueError, r"b\.v: no array in the state, float64\(3,\) here"),
        (
            ("state", "b", "v"),
            ones(4),
            ValueError,
            r"b\.v: float64\(4,\) in the state, float64\(3,\) here",
        ),
        (
            ("state", "b", "v"),
            np.ones(3, np.float32),
            ValueError,
            r"b\.v: float32\(3,\) in the state, float64\(3,\) here",
        ),
        (("groups", 0, "lr"), -1.0, ValueError, r"lr must be finite and >= 0"),
        (("groups", 0, "amsgrad"), True, ValueError, r"would need 'amsgrad'"),
        (
            ("groups", 0),
            {},
            ValueError,
            r"group 0 of the state must have the values lr, .*, got \[\]$",
        ),
        (("groups", 0), None, TypeError, r"group 0 of the state must be a mapping, got NoneType"),
        (("groups",), None, ValueError, r"groups of the state must be a list of 1, got None"),
        (("groups", 0, "start"), 1, ValueError, r"start must be between 0 and t, got 1"),
        (
            ("groups", 0, "callables"),
            ["rate"],
            ValueError,
            r"group 0 of the state must have the val",
        ),
        (
            ("groups", 0, "callables"),
            [1],
            ValueError,
            r"'callables' of group 0 of the state must be",
        ),
        (("state",), None, TypeError, r"state of the state must be a mapping"),
        (("state", "b"), None, TypeError, r"'b' of the state must be a mapping"),
        (("groups", 0, "lr"), {"schedule": "Spiral"}, ValueError, r"Spiral"),
        (("groups", 0, "betas"), CYCLE, ValueError, r"group 0 of the state must be a finite"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(
    path: tuple[Any, ...], value: Any, error: type[Exception], message: str
) -> None:
    params = {"a": ones(2), "b": ones(3)}
    opt = gs.Adam(params, lr=0.5)
    opt.step({"a": ones(2), "b": ones(3)})
    before, shown = opt.state_dict(), repr(opt)
    saved = _changed(gs.Adam({"a": ones(2), "b": ones(3)}).state_dict(), *path, value=value)
    with pytest.raises(error, match=message):
        opt.load_state_dict(saved)
    np.testing.assert_equal(opt.state_dict(), before)
    assert repr(opt) == shown
    with pytest.raises(ValueError, match="not the state of an optimizer: it has no 'optimizer'"):
        opt.load_state_dict({})


def test_a_group_counts_its_corrections_from_its_start() -> None:
    w, fresh = np.zeros(3), np.zeros(3)
    opt, new = gs.Adam(w, lr=0.5), gs.Adam(fresh, lr=0.5)
    saved = opt.state_dict()
    saved["t"] = saved["groups"][0]["start"] = 1000
    opt.load_state_dict(saved)
    for _ in range(3):
        opt.step(ones(3))
        new.step(ones(3))
        opt.lr = new.lr = 0.9 * opt.lr  # which leaves the start as it is
    assert np.array_equal(w, fresh)
    assert (opt.t, new.t) == (1003, 3)


def test_the_order_of_keys_in_a_state_does_not_matter() -> None:
    opt = gs.RMSprop(ones(3), centered=True, momentum=0.5)
    opt.step(ones(3))
    saved = opt.state_dict()
    saved["state"] = {k: dict(sorted(arrays.items())) for k, arrays in saved["state"].items()}
    other = gs.RMSprop(ones(3), centered=True, momentum=0.5)
    other.load_state_dict(saved)
    np.testing.assert_equal(other.state_dict(), opt.state_dict())


def test_what_keeps_the_same_state_can_be_switched() -> None:
    w, judged = np.zeros(1), np.zeros(1)
    opt = gs.Momentum(w, lr=1.0, beta=0.5)
    opt.groups[0]["nesterov"] = np.True_
    gs.Momentum(judged, lr=1.0, beta=0.5, nesterov=True).step(ones(1))
    opt.step(ones(1))
    assert w[0] == judged[0] == -0.75
    assert opt.groups[0]["nesterov"] is True


def test_rates_of_all_groups_change_or_none() -> None:
    calls = []

    def fails_at_the_second_call(n: int) -> float:
        calls.append(n)
        if len(calls) == 2:
            raise LookupError
        return 0.25

    opt = gs.SGD([{"params": ones(1)}, {"params": ones(1)}], lr=0.5)
    with pytest.raises(LookupError):
        opt.lr = fails_at_the_second_call
    assert [group["lr"] for group in opt.groups] == [0.5, 0.5]
    assert opt.lr == 0.5


def test_hyperparameters_are_the_optimizers_own() -> None:
    betas, rate = [0.5, 0.75], np.array(0.1)
    opt = gs.Adam(ones(1), lr=rate, betas=betas)  # type: ignore[arg-type]
    betas[0] = 0.0
    rate[...] = 5
    assert (opt.groups[0]["betas"], opt.groups[0]["lr"], opt.lr) == ((0.5, 0.75), 0.1, 0.1)
    assert type(gs.SGD(ones(1), lr=Fraction(1, 4)).groups[0]["lr"]) is float  # type: ignore[arg-type]


def test_state_takes_no_other_arrays() -> None:
    opt = gs.Momentum(ones(1))
    with pytest.raises(TypeError, match="does not support item assignment"):
        opt.state["0"]["m"] = ones(1)  # type: ignore[index]
    with pytest.raises(TypeError, match="does not support item assignment"):
        opt.state["0"] = {}  # type: ignore[index]


def test_an_error_names_its_group() -> None:
    with pytest.raises(ValueError, match=r"group 1: lr must be finite and >= 0, got -1"):
        gs.SGD([{"params": ones(1)}, {"params": ones(1), "lr": -1.0}])


def test_empty_keys_are_names_too() -> None:
    opt = gs.SGD({"": ones(1), "0": ones(2)})
    assert list(gs.Momentum({"": {"x": ones(1)}, "x": ones(2)}).state) == [".x", "x"]
    opt.step({"": ones(1), "0": ones(2)})


def test_a_schedule_may_refer_to_its_optimizer_without_a_leak() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.opt = gs.Adam(ones(10), lr=self.rate)

        def rate(self, n: int) -> float:
            return 0.1

    trainer = Trainer()
    trainer.opt.step(ones(10))
    alive = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert alive() is None


def test_gradients_are_let_go_also_after_an_error() -> None:
    opt = gs.SGD([ones(2), ones(3)])
    gradient = ones(2)
    alive = weakref.ref(gradient)
    with pytest.raises(ValueError, match="must have shape"):
        opt.step([gradient, ones(2)])
    del gradient
    assert alive() is None


def test_gradients_are_held_until_the_step_is_over() -> None:
    # Nobody else holds these: they are made when they are asked for.
    class Made(dict[str, Any]):
        def __getitem__(self, key: str) -> Array:
            memory = ones(2)
            gradient = memory[:]
            weakref.finalize(gradient, memory.fill, np.nan)
            return gradient

    params = {"a": ones(2), "b": ones(2)}
    gs.SGD(params, lr=0.5).step(Made.fromkeys(params))
    assert params["a"].tolist() == params["b"].tolist() == [0.5, 0.5]


def test_empty_parameters_take_part() -> None:
    params = [np.zeros((0, 3)), np.zeros(2)]
    opt = gs.Adam(params, lr=0.5)
    opt.step([np.zeros((0, 3)), ones(2)])
    np.testing.assert_allclose(params[1], -0.5)
    assert opt.t == 1


@pytest.mark.parametrize("shift", [0, 1, 4, 15])
def test_state_lies_as_its_parameter_does(shift: int) -> None:
    # Behind a border of cache lines as far as the parameter; first moments stand behind each other.
    whole = np.zeros(5000, np.float32)
    params = {"a": whole[shift : shift + 1000], "b": whole[2000 + shift :]}
    opt = gs.Adam(params)
    for name, w in params.items():
        for state in opt.state[name].values():
            assert (state.ctypes.data - w.ctypes.data) % 64 == 0
    a, b = (opt.state[name]["m"].ctypes.data for name in params)
    assert 4000 <= b - a < 4000 + 128
    opt.state["a"]["m"][...] = 1
    assert not opt.state["b"]["m"].any()
    assert not opt.state["a"]["v"].any()
