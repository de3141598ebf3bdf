"""What a step does around the update, all together: scaling, clipping, the finite check; its options.

The norm and clipping by themselves are in test_norm.py, the finite check in test_nonfinite.py, and
averages, the last thing that a step does, in test_averaged.py.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from gradstep import _core
from support.anything import OPTIMIZERS, over
from support.layouts import GRADIENTS, LAYOUTS, buffer
from support.oracle import CASES, LOOPS, Case, limited, norm, wide
from support.same import digest, everything
from support.teams import shared_out

Array = NDArray[Any]
NAN, INF = math.nan, math.inf
LR = 0.05
F32 = np.float32
DTYPES = [np.float32, np.float64]


def in_groups(arrays: list[Array]) -> list[Any]:
    """Return three arrays as the gradients of two groups; see `groups`."""
    return [{"W": arrays[0], "b": arrays[1]}, [arrays[2]]]


def groups(arrays: list[Array]) -> list[dict[str, Any]]:
    """Return two groups, the second with a rate of its own."""
    first, second = in_groups(arrays)
    return [{"params": first}, {"params": second, "lr": 2 * LR}]


def arrays(rng: np.random.Generator, dtype: Any) -> list[Array]:
    """Return arrays in C order, in Fortran's, and in none."""
    return [
        rng.normal(size=(13, 40)).astype(dtype),
        np.asfortranarray(rng.normal(size=(7, 9)).astype(dtype)),
        rng.normal(size=(40, 30)).astype(dtype)[::2, ::-3],
    ]


# --- all together, for every rule ---------------------------------------------------------------

# Of the gradients below some are clipped, by their norm and by their value, and some are not.
OPTIONS: list[dict[str, Any]] = [
    {"max_norm": 40.0},
    {"clip_value": 1.5},
    {"max_norm": 40.0, "clip_value": 1.0, "nonfinite": "raise"},
    {"max_norm": INF, "clip_value": 0.5, "nonfinite": "skip"},
    {"nonfinite": "skip"},
]


@pytest.mark.parametrize("case", LOOPS, ids=str)
def test_steps_with_all_options_against_the_judge(case: Case) -> None:
    for number, options in enumerate(OPTIONS):
        rng = np.random.default_rng(number)
        params = arrays(rng, np.float64)
        judged = [w.copy() for w in params]
        states = [case.new_state(w) for w in params]
        opt = case.optimizer(groups(params), lr=LR, **case.options, **options)
        for t in range(1, 6):
            scale = (1.0, 0.25, -3.0)[t % 3]
            grads = [10.0 ** (t % 3 - 1) * rng.normal(size=w.shape) for w in params]
            opt.step(in_groups(grads), scale=scale)
            bounds = {k: v for k, v in options.items() if k != "nonfinite"}
            for i, g in enumerate(limited(grads, scale, **bounds)):
                rate = 2 * LR if i == 2 else LR
                judged[i] = case.step(judged[i], g, states[i], t, rate)
            if "max_norm" in options:
                expected = norm([scale * g for g in grads])
                assert opt.grad_norm == pytest.approx(expected, rel=1e-14)
            else:
                assert opt.grad_norm is None
        for w, expected_w in zip(params, judged, strict=True):
            np.testing.assert_allclose(w, expected_w, rtol=1e-10, atol=1e-12, err_msg=str(options))
        assert (opt.t, opt.skipped) == (5, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", LOOPS, ids=str)
def test_the_bits_are_those_of_gradients_that_were_prepared(case: Case, dtype: Any) -> None:
    # One factor for scale and clipping, rounded once; the average is that of the updated parameters.
    rng = np.random.default_rng(7)
    params = arrays(rng, dtype)
    plain = [w.copy(order="K") for w in params]
    average, apart = gs.EWA(0.75, bias_correction=True), gs.EWA(0.75, bias_correction=True)
    opt = case.optimizer(
        groups(params), lr=LR, max_norm=20.0, clip_value=0.75, average=average, **case.options
    )
    twin = case.optimizer(groups(plain), lr=LR, **case.options)
    for t in range(4):
        scale = (1.0, 0.3, -1.7)[t % 3]
        grads = [g * dtype(10.0) ** (t % 3 - 1) for g in arrays(rng, dtype)]
        opt.step(in_groups(grads), scale)
        assert opt.grad_norm is not None
        factor = dtype(scale * min(1.0, 20.0 / opt.grad_norm))
        bound = dtype(0.75)
        twin.step(in_groups([np.clip(g * factor, -bound, bound) for g in grads]))
        apart.update(in_groups(plain))
        assert digest(*params) == digest(*plain), t
        for name, state in twin.state.items():
            assert digest(*opt.state[name].values()) == digest(*state.values())
        first, second = opt.average
        expected = apart.value
        assert digest(*first.values(), *second) == digest(*expected[0].values(), *expected[1])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_takes_every_option(optimizer: type[gs.Optimizer]) -> None:
    names = {"max_norm": "max_norm", "clip_value": "clip_value"}
    if optimizer.__module__.endswith("keras"):
        names = {"max_norm": "global_clipnorm"}  # not both, as there
    options = {known_as: 0.5 for known_as in names.values()}
    w = np.ones(4)
    opt = over(optimizer, {"W": w}, nonfinite="skip", average=gs.EWA(0.5), **options)
    before = everything(opt)
    opt.step({"W": np.full(4, NAN)})
    assert everything(opt) == before
    assert (opt.skipped, opt.last_nonfinite) == (1, "gradient of 'W' is nan, at [0]")
    opt.step({"W": np.full(4, 2.0)}, scale=2.0)
    assert opt.grad_norm == 8.0
    assert opt.average["W"] == pytest.approx(w / 2)
    assert [getattr(opt, name) for name in names] == [0.5] * len(names)


def test_keras_names() -> None:
    opt = gs.compat.keras.Adam({"W": np.ones(2)}, clipvalue=0.25)
    assert (opt.clip_value, opt.max_norm) == (0.25, None)
    w = np.zeros(2)
    gs.compat.keras.SGD(w, learning_rate=1.0, clipvalue=0.25).step(np.array([0.125, -3.0]))
    assert w.tolist() == [-0.125, 0.25]
    w = np.zeros(2)
    gs.compat.keras.SGD(w, learning_rate=1.0, global_clipnorm=2.5).step(np.array([3.0, -4.0]))
    assert w.tolist() == [-1.5, 2.0]


@pytest.mark.parametrize("case", CASES[::3], ids=str)
def test_functions_take_the_same_options(case: Case) -> None:
    rng = np.random.default_rng(4)
    ws = [rng.normal(size=shape) for shape in [(3, 4), (5,)]]
    params = [w.copy() for w in ws]
    opt = case.optimizer(params, lr=LR, max_norm=1.0, clip_value=0.4, **case.options)
    states = case.kept_by_the_caller(ws)
    call = functools_with(case, scale=2.0, max_norm=1.0, clip_value=0.4)
    for t in range(1, 4):
        grads = [rng.normal(size=w.shape) for w in ws]
        opt.step(grads, scale=2.0)
        call(ws, grads, states, t)
    assert digest(*ws) == digest(*params)
    before = copy.deepcopy([ws, states])
    bad = [np.ones_like(ws[0]), np.full(5, -INF)]
    functools_with(case, nonfinite="skip")(ws, bad, states, 4)
    with pytest.raises(
        FloatingPointError, match=r"gradient of 'w\[1\]' is -inf, at \[0\]; nothing"
    ):
        functools_with(case, nonfinite="raise")(ws, bad, states, 4)
    np.testing.assert_equal([ws, states], before)


def functools_with(case: Case, **options: Any) -> Callable[[Any, Any, dict[str, Any], int], None]:
    """Return the function of a case, with options for the step."""
    own = {k: v for k, v in case.options.items() if k != "initial_accumulator"}
    with_options = Case(case.optimizer, case.judge, case.states, {**own, **options})
    return lambda w, g, states, t: with_options.call(w, g, states, t, LR)


# --- the same bits ------------------------------------------------------------------------------


def outcome(params: list[Array], steps: list[list[Array]], **options: Any) -> tuple[str, list[Any]]:
    """Return a digest of all that steps leave behind, and the norms."""
    average = gs.EWA(0.75)
    opt = gs.Adam(params, lr=LR, max_norm=30.0, clip_value=2.0, average=average, **options)
    norms = []
    for grads in steps:
        opt.step(grads, 0.7)
        norms.append(opt.grad_norm)
    state = [array for arrays_ in opt.state.values() for array in arrays_.values()]
    return digest(*params, *state, *opt.average), norms


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_levels_and_alignment(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    sizes = [20_001, 3, 0, 9_000, 513]
    steps = [[rng.normal(size=n).astype(dtype) for n in sizes]]
    steps += [[wide(rng, n, dtype) for n in sizes]]
    found = set()
    for isa in _core.isas():
        _core.use_isa(isa)
        for threads in (1, 2, 3, 5, 16):
            for shift in (0, 1, 7):  # elements: off any vector's alignment
                apart = [[shifted(g, shift) for g in grads] for grads in steps]
                with shared_out(threads, together=threads < 5):
                    params = [np.zeros_like(g) for g in steps[0]]
                    state, norms = outcome(params, apart)
                    found.add((state, *norms))
    _core.use_isa(_core.isas()[-1])
    assert len(found) == 1, found


def shifted(g: Array, shift: int) -> Array:
    """Return a copy, so many elements behind an aligned place."""
    _, flat = buffer(g.size + shift, g.dtype)
    flat[shift:] = g.ravel()
    return flat[shift:].reshape(g.shape)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "empty"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout_with_every_gradient(dtype: Any, layout: str) -> None:
    rng = np.random.default_rng(2)
    g = wide(rng, LAYOUTS[layout](dtype)[0].size, dtype)
    found = set()
    for name, lay_out in GRADIENTS.items():
        if name == "broadcast":  # of other values
            continue
        w, _ = LAYOUTS[layout](dtype)
        w[...] = 1
        gradient = lay_out(g.reshape(w.shape))
        state, norms = outcome([w], [[gradient], [gradient]])
        found.add((state, *norms))
    assert len(found) == 1
    ((_, found_norm, _),) = found
    assert found_norm == pytest.approx(norm([g * dtype(0.7)]), rel=1e-14)


def test_many_steps_in_both_directions() -> None:
    # Parts are taken from the first to the last, and from the last to the first, in turn.
    rng = np.random.default_rng(4)
    steps = [[wide(rng, 30_000, np.float64)]] * 4
    found = set()
    for threads in (1, 2, 5):
        with shared_out(threads):
            state, norms = outcome([np.zeros(30_000)], steps)
        assert len(set(norms)) == 1
        found.add((state, *norms))
    assert len(found) == 1


# --- setting, saving ------------------------------------------------------------------------------


def test_options_change_from_the_next_step_on() -> None:
    w = np.zeros(1)
    opt = gs.SGD(w, lr=1.0, nonfinite="skip")
    assert repr(opt) == "SGD(lr=1.0, weight_decay=0.0, maximize=False, nonfinite='skip', t=0)"
    opt.max_norm, opt.clip_value, opt.nonfinite = 0.5, 0.25, "propagate"
    assert repr(opt).endswith("maximize=False, max_norm=0.5, clip_value=0.25, t=0)")
    opt.step(np.ones(1))
    assert w == [-0.25]
    opt.clip_value = None
    opt.step(np.ones(1))
    assert w == [-0.75]
    assert (opt.max_norm, opt.clip_value, opt.nonfinite) == (0.5, None, "propagate")


def test_bounds_may_follow_schedules() -> None:
    counts: list[int] = []

    def bound(n: int) -> float:
        counts.append(n)
        return 1.0 / (n + 1)

    w = np.zeros(2)
    opt = gs.SGD(w, lr=1.0, max_norm=bound, clip_value=gs.schedules.Linear(1.0, 0.0, steps=4))
    assert opt.max_norm is bound
    for n in range(4):
        before = w.copy()
        opt.step(np.array([3.0, 4.0]))
        expected = np.minimum(np.array([0.6, 0.8]) / (n + 1), 1 - n / 4)
        np.testing.assert_allclose(before - w, expected, rtol=1e-15)
        assert opt.grad_norm == 5.0
    assert counts == [0, 0, 1, 2, 3]  # once when it was given
    opt.max_norm = bound  # and again, of the next step
    assert counts.pop() == 4
    # A skipped step does not count.
    opt.nonfinite = "skip"
    opt.step(np.array([NAN, 1.0]))
    opt.step(np.array([3.0, 4.0]))
    assert counts[-2:] == [4, 4]


@pytest.mark.parametrize("name", ["max_norm", "clip_value"])
def test_either_bound_may_follow_a_schedule_alone(name: str) -> None:
    w = np.zeros(1)
    bound: Any = {name: gs.schedules.Linear(1.0, 0.0, steps=4)}
    opt = gs.SGD(w, lr=1.0, **bound)
    taken = []
    for _ in range(4):
        before = w.copy()
        opt.step(np.array([3.0]))
        taken += (before - w).tolist()
    assert taken == [1.0, 0.75, 0.5, 0.25]


def test_a_bound_out_of_its_range_stops_the_step() -> None:
    w = np.ones(1)
    opt = gs.SGD(w, max_norm=lambda n: 1.0 - n, clip_value=gs.schedules.Constant(1.0))
    opt.step(np.ones(1))
    opt.step(np.ones(1))
    assert w == [0.99]
    state = opt.state_dict()
    with pytest.raises(ValueError, match=r"max_norm must be >= 0, got -1\.0"):
        opt.step(np.ones(1))
    assert w == [0.99]
    np.testing.assert_equal(opt.state_dict(), state)


def saved_options(**options: Any) -> dict[str, Any]:
    found: dict[str, Any] = gs.SGD(np.zeros(1), **options).state_dict()["options"]
    return found


def test_options_are_saved() -> None:
    usual: dict[str, Any] = {
        "max_norm": None,
        "clip_value": None,
        "nonfinite": "propagate",
        "callables": [],
    }
    assert saved_options() == usual
    given_ = {"max_norm": INF, "clip_value": 2, "nonfinite": "raise"}
    assert saved_options(**given_) == {**usual, **given_}
    linear = gs.schedules.Linear(1.0, 0.5, steps=4)
    assert saved_options(max_norm=linear)["max_norm"] == gs.schedules.to_config(linear)
    found = saved_options(max_norm=lambda n: 1.0)
    assert found == {"clip_value": None, "nonfinite": "propagate", "callables": ["max_norm"]}


def test_options_and_the_count_are_loaded() -> None:
    linear = gs.schedules.Linear(1.0, 0.5, steps=4)
    opt = gs.SGD(np.zeros(1), max_norm=linear, clip_value=2.0, nonfinite="skip")
    opt.step(np.array([NAN]))
    other = gs.SGD(np.zeros(1), nonfinite="raise")
    other.load_state_dict(opt.state_dict())
    assert (repr(other), other.skipped) == (repr(opt), 1)
    opt.load_state_dict(gs.SGD(np.zeros(1)).state_dict())
    assert (opt.max_norm, opt.clip_value, opt.nonfinite) == (None, None, "propagate")
    assert opt.skipped == 0


def test_a_callable_is_kept_where_it_was_not_saved() -> None:
    def bound(n: int) -> float:
        return 3.0

    saved = gs.SGD(np.zeros(1), max_norm=lambda n: 1.0).state_dict()
    other = gs.SGD(np.zeros(1), max_norm=bound)
    with pytest.warns(UserWarning, match=r"^max_norm was a callable that could not be saved"):
        other.load_state_dict(saved)
    assert other.max_norm is bound


def test_states_of_old_leave_the_options() -> None:
    opt = gs.SGD(np.zeros(1), max_norm=0.5, nonfinite="skip")
    opt.step(np.array([NAN]))
    saved = gs.SGD(np.zeros(1)).state_dict()
    old = {key: saved[key] for key in ("optimizer", "t", "groups", "state")}
    opt.load_state_dict(old)
    assert (opt.max_norm, opt.nonfinite, opt.skipped) == (0.5, "skip", 0)


# --- errors -------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"max_norm": -1.0}, ValueError, r"^max_norm must be >= 0, got -1\.0$"),
    ({"max_norm": NAN}, ValueError, r"^max_norm must be >= 0, got nan$"),
    ({"max_norm": "1"}, TypeError, r"^max_norm must be a number or a schedule, got '1'$"),
    ({"clip_value": -0.5}, ValueError, r"^clip_value must be >= 0, got -0\.5$"),
    (
        {"clip_value": b"1"},
        TypeError,
        r"^clip_value must be a number or a schedule, got b'1'$",
    ),
    (
        {"max_norm": lambda n: -1.0},
        ValueError,
        r"^max_norm must be >= 0, got -1\.0; its schedule returned that at count 0$",
    ),
    (
        {"nonfinite": "ignore"},
        ValueError,
        r"^nonfinite must be 'propagate', 'skip' or 'raise', got",
    ),
    ({"nonfinite": None}, ValueError, r"^nonfinite must be .* got None$"),
    ({"nonfinite": "skip\0"}, ValueError, r"^nonfinite must be"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_options_that_cannot_be(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        gs.SGD(np.zeros(1), **options)
    opt = gs.SGD(np.zeros(1), max_norm=2.0, clip_value=3.0, nonfinite="skip")
    before = everything(opt)
    ((name, value),) = options.items()
    with pytest.raises(error, match=message):
        setattr(opt, name, value)
    assert everything(opt) == before
    if not callable(value):
        w = np.ones(1)
        with pytest.raises(error, match=message):
            gs.functional.sgd(w, np.ones(1), lr=1.0, **options)
        assert w == [1.0]
    with pytest.raises(error, match=message):
        opt.load_state_dict({**opt.state_dict(), "options": {**saved_options(), name: value}})
    assert everything(opt) == before


SCALES: list[tuple[Any, type[Exception], str]] = [
    (NAN, ValueError, r"^scale must be finite, got nan$"),
    (INF, ValueError, r"^scale must be finite, got inf$"),
    (10**400, ValueError, r"^scale must be finite"),
    ("2", TypeError, r"^scale must be a number, got '2'$"),
    (None, TypeError, r"^scale must be a number, got None$"),
    (lambda n: 1.0, TypeError, r"^scale must be a number, got <function"),
    (1e-39, ValueError, r"^scale must be a number of float32, the dtype of parameter 'b', got 1e-39$"),
    (-1e39, ValueError, r"^scale must be a number of float32, the dtype of parameter 'b', got -1e\+39$"),
]  # fmt: skip


@pytest.mark.parametrize(("scale", "error", "message"), SCALES)
def test_scales_that_cannot_be(scale: Any, error: type[Exception], message: str) -> None:
    opt = gs.SGD({"a": np.ones(1), "b": np.ones(1, F32)})
    before = everything(opt)
    with pytest.raises(error, match=message):
        opt.step({"a": np.ones(1), "b": np.ones(1, F32)}, scale)
    assert everything(opt) == before
    if error is TypeError:
        with pytest.raises(error, match=r"^scale must be a number"):
            gs.functional.sgd(np.ones(1), np.ones(1), lr=1.0, scale=scale)


def test_scales_at_the_ends_of_float32() -> None:
    w = np.zeros(1, F32)
    opt = gs.SGD(w, lr=1.0)
    for scale in (2.0**-126, -(2.0**-126), float(np.finfo(F32).max), 0.0):
        w[0] = 0
        opt.step(np.ones(1, F32), scale)
        assert w[0] == -scale
    opt = gs.SGD(np.zeros(1))
    opt.step(np.ones(1), 1e-300)  # float64 has it


STATES: list[tuple[str, Any, type[Exception], str]] = [
    ("options", 3, TypeError, r"^options of the state must be a mapping, got int$"),
    ("options", {"max_norm": 1.0}, ValueError, r"^options of the state must have the values max_norm, clip"),
    ("options", {**saved_options(), "more": 1}, ValueError, r"^options of the state must have"),
    ("options", {**saved_options(), "callables": ["max_norm"]}, ValueError, r"^options of the state must have"),
    ("options", {**saved_options(), "callables": "max_norm"}, ValueError, r"^'callables' of options of the"),
    ("options", {**saved_options(), "callables": [[]]}, ValueError, r"^'callables' of options of the state"),
    ("options", {**saved_options(), "max_norm": {"schedule": "x"}}, ValueError, r"schedule"),
    ("skipped", -1, ValueError, r"^skipped must be an integer >= 0, got -1$"),
    ("skipped", "1", TypeError, r"^skipped must be an integer >= 0, got '1'$"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "error", "message"), STATES)
def test_states_that_cannot_be(key: str, value: Any, error: type[Exception], message: str) -> None:
    opt = gs.Momentum(np.ones(3), max_norm=2.0, nonfinite="skip")
    opt.step(np.array([1.0, NAN, 2.0]))
    opt.step(np.ones(3))
    saved, before = opt.state_dict(), everything(opt)
    with pytest.raises(error, match=message):
        opt.load_state_dict({**saved, key: value, "t": 7})
    assert everything(opt) == before
    assert opt.skipped == 1


def test_arguments_that_are_not_there() -> None:
    with pytest.raises(
        TypeError, match=r"SGD has no argument 'max_nrom'; did you mean 'max_norm'\?"
    ):
        gs.SGD(np.ones(1), max_nrom=1.0)  # type: ignore[call-arg]
    w = np.ones(1)
    for name in ("average", "skipped"):
        with pytest.raises(TypeError, match=rf"sgd\(\) has no argument '{name}' \(its arguments"):
            gs.functional.sgd(w, np.ones(1), lr=1.0, **cast(Any, {name: None}))
    assert w == [1.0]
    with pytest.raises(TypeError, match="max_norm must be a number here, got a callable"):
        gs.functional.sgd(np.ones(1), np.ones(1), lr=1.0, max_norm=lambda n: 1.0)
    w = np.ones(1)
    gs.functional.adam(  # which knows the number of the step
        w, np.ones(1), np.zeros(1), np.zeros(1), t=3, lr=1.0, max_norm=lambda n: float(n)
    )
