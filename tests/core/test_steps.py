"""Every optimizer with every option, in both dtypes and in every layout, against the oracle.

That levels and numbers of threads have the same bits is in test_bits.py.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support.layouts import CANARY, GRADIENTS, LAYOUTS
from support.oracle import CASES, RULES, Case
from support.teams import THREADS, shared_out

LR = 0.05


@pytest.mark.parametrize("case", CASES, ids=str)
def test_thirty_steps_in_float64(case: Case) -> None:
    rng = np.random.default_rng(1)
    params = {"W": rng.normal(size=(13, 40)), "b": rng.normal(size=40)}
    judged = {name: w.copy() for name, w in params.items()}
    states = {name: case.new_state(w) for name, w in params.items()}
    opt = case.optimizer(params, lr=LR, **case.options)
    for t in range(1, 31):
        grads = {name: rng.normal(size=w.shape) * 10.0 ** -(t % 4) for name, w in params.items()}
        opt.step(grads)
        for name, g in grads.items():
            judged[name] = case.step(judged[name], g, states[name], t, LR)
    assert opt.t == 30
    for name, w in params.items():
        np.testing.assert_allclose(w, judged[name], rtol=1e-11, atol=1e-13)
        assert set(opt.state[name]) == set(case.states)
        for key in case.states:
            state = states[name][key]
            np.testing.assert_allclose(opt.state[name][key], state, rtol=1e-11, atol=1e-15)


def ulp(x: NDArray[Any]) -> NDArray[Any]:
    spacing: NDArray[np.float64] = np.spacing(np.abs(x).astype(np.float32)).astype(np.float64)
    return spacing


@pytest.mark.parametrize("t", [1, 7, 100_000])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_step_in_float32_to_the_last_places(case: Case, t: int) -> None:
    # From a state in full swing: the parameter within one unit in its last place and sixteen of the
    # change; each moment within three of its largest operand. Signs agree, so that nothing cancels.
    rng = np.random.default_rng(t)
    n = 4097
    sign = rng.choice([-1.0, 1.0], n)
    w, g, m = ((sign * np.abs(rng.normal(size=n))).astype(np.float32) for _ in range(3))
    g *= 10.0 ** rng.integers(-6, 4, n).astype(np.float32)
    if case.options.get("maximize"):
        g = -g
    state = {
        "m": m,
        "v": (m * m * rng.uniform(1.5, 3, n)).astype(np.float32),
        "v_max": (m * m * rng.uniform(1, 5, n)).astype(np.float32),
        "b": (sign * rng.uniform(0, 3, n)).astype(np.float32),
        "u": np.abs(m) * rng.uniform(0.5, 2, n).astype(np.float32),
        "d": (rng.uniform(0.5, 2, n) * LR**2).astype(np.float32),
    }
    exact = {name: state[name].astype(np.float64) for name in case.states}
    w64, g64 = w.astype(np.float64), g.astype(np.float64)
    opt = case.optimizer(w, lr=LR, **case.options)
    for name in case.states:
        opt.state["0"][name][...] = state[name]
    opt.load_state_dict({**opt.state_dict(), "t": t - 1})

    expected = case.step(w64, g64, exact, t, LR)
    opt.step(g)

    for name, s in opt.state["0"].items():
        # Nothing cancels, so the sum is the largest operand within a factor of two.
        slack = 40 if name == "b" and case.options.get("centered") else 16 if name == "d" else 3
        if "weight_decay" in case.options:
            slack += 3  # g + λw was rounded before
        assert np.all(np.abs(s - exact[name]) <= slack * ulp(exact[name])), name
    change = np.abs(expected - w64)
    if case.options.get("centered"):
        change *= 64  # v − m² does cancel
    if case.decoupled:
        change = change + ulp(w64) / 2.0**-24 / 16  # the parameter is rounded once more
    assert np.all(
        np.abs(w - expected)
        <= ulp(np.maximum(np.abs(w64), np.abs(expected))) + 16 * 2.0**-24 * change
    )


@pytest.mark.parametrize(("beta2", "threshold"), [(0.75, 7.0), (0.5, 0.0)])
def test_radam_is_momentum_up_to_its_threshold(beta2: float, threshold: float) -> None:
    # After so many steps ρ is 2/(1−β₂) − 1: just the threshold, and 3, which is below any variance.
    w, m, v, t = np.zeros(1), np.full(1, 2.0), np.full(1, 16.0), 1000
    gs.functional.radam(
        w, np.full(1, 2.0), m, v, t=t, lr=0.5, betas=(0.5, beta2), threshold=threshold
    )
    assert w == [-1.0]


def check_in_place(case: Case, layout: str, gradient: str, dtype: Any) -> None:
    """Take three steps on a view, and compare it, and the bytes around it."""
    rng = np.random.default_rng(3)
    w, raw = LAYOUTS[layout](dtype)
    outside = raw == CANARY
    for value in (0.0, np.frombuffer(b"\xff" * w.itemsize, dtype)[0]):
        w[...] = value
        outside &= raw == CANARY
    w[...] = rng.normal(size=w.shape)
    judged, state = w.astype(np.float64), case.new_state(w)
    opt = case.optimizer({"w": w}, lr=LR, **case.options)
    for t in (1, 2, 3):
        # Away from zero: where a quotient has g/√(v + ε) with v close to ε, rounding is large.
        g = np.asarray(np.sign(rng.normal(size=w.shape)) + 0.1 * t, dtype)
        g = GRADIENTS[gradient](g)
        before = g.copy()
        opt.step({"w": g})
        assert np.array_equal(g, before)
        judged = case.step(judged, g.astype(np.float64), state, t, LR)
    tolerance = 4e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_allclose(w, judged, rtol=0, atol=tolerance)
    assert np.count_nonzero(~outside) == w.nbytes
    assert np.all(raw[outside] == CANARY)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_with_every_gradient(layout: str, gradient: str) -> None:
    # Each layout of either meets both dtypes and every number of threads.
    case = next(c for c in CASES if c.optimizer is gs.Adam and c.options == {"eps": 0.25})
    number = list(LAYOUTS).index(layout) + list(GRADIENTS).index(gradient)
    with shared_out(THREADS[number % len(THREADS)]):
        check_in_place(case, layout, gradient, (np.float32, np.float64)[number % 2])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", RULES, ids=str)
def test_every_rule_in_every_layout(case: Case, layout: str) -> None:
    gradient = list(GRADIENTS)[RULES.index(case) % len(GRADIENTS)]
    if case.options.get("centered"):
        case = replace(case, options={**case.options, "eps": 0.25})  # v − m² cancels
    check_in_place(case, layout, gradient, np.float32)


def test_a_gradient_is_only_read(tmp_path: Path) -> None:
    # Nor is it written with what it holds already: this memory cannot be written at all.
    file = tmp_path / "gradient"
    np.arange(1400, dtype=np.float32).tofile(file)
    gradient = np.memmap(file, np.float32, "r")[::2]
    w = np.zeros(700, np.float32)
    gs.SGD(w, lr=1.0).step(gradient)
    assert np.array_equal(w, -gradient)


def test_state_may_lie_in_another_order() -> None:
    w, g, m = np.zeros((3, 4)), np.ones((3, 4)), np.asfortranarray(np.arange(12.0).reshape(3, 4))
    expected = 0.5 * m + g
    gs.functional.momentum(w, g, m, lr=1.0, beta=0.5, dampening=0.0)
    assert np.array_equal(m, expected)
    assert np.array_equal(w, -expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_functions_take_the_same_steps_as_classes(case: Case) -> None:
    rng = np.random.default_rng(4)
    ws = [rng.normal(size=shape).astype(np.float32) for shape in [(3, 4), (5,)]]
    params = [w.copy() for w in ws]
    opt = case.optimizer(params, lr=LR, **case.options)
    states = case.kept_by_the_caller(ws)
    for t in range(1, 6):
        gs_ = [rng.normal(size=w.shape).astype(np.float32) for w in ws]
        opt.step(gs_)
        case.call(ws, gs_, states, t, LR)
    for i, w in enumerate(ws):
        assert np.array_equal(w, params[i])
        for name in case.states:
            assert np.array_equal(states[name][i], opt.state[str(i)][name])
    products = opt.state_dict()["groups"][0]["products"]
    assert np.array_equal(states.get("mu_product", []), products.get("mu", [])[:1])


@pytest.mark.parametrize("case", RULES, ids=str)
@pytest.mark.parametrize("led", ["", "d"])
def test_functions_take_the_dicts_of_courses(case: Case, led: str) -> None:
    # Keys of gradients and state as of the parameters, or led by a d, in any order.
    rng = np.random.default_rng(4)
    shapes = {"W1": (3, 4), "b1": (3, 1), "W2": (1, 3)}
    listed = [rng.normal(size=shape) for shape in shapes.values()]
    parameters = {name: w.copy() for name, w in zip(shapes, listed, strict=True)}
    states = case.kept_by_the_caller(listed)
    kept = copy.deepcopy(states)
    for name in case.states:
        arrays = dict(zip(shapes, kept[name], strict=True))
        kept[name] = {led + key: arrays[key] for key in reversed(shapes)}
    for t in range(1, 4):
        gradients = [rng.normal(size=w.shape) for w in listed]
        grads = {led + key: g for key, g in zip(shapes, gradients, strict=True)}
        case.call(listed, gradients, states, t, LR)
        case.call(parameters, grads, kept, t, LR)
    for i, key in enumerate(shapes):
        assert np.array_equal(parameters[key], listed[i])
        for name in case.states:
            assert np.array_equal(kept[name][led + key], states[name][i])


@pytest.mark.parametrize("led", ["", "d"])
def test_functions_take_dicts_with_numbers_as_keys(led: str) -> None:
    w = {1: np.ones(2), 2: np.ones(3)}
    gs.functional.sgd(w, {f"d{key}" if led else key: np.ones_like(w[key]) for key in w}, lr=1.0)
    assert [w[1].tolist(), w[2].tolist()] == [[0.0, 0.0], [0.0, 0.0, 0.0]]


def test_functions_take_nested_dicts() -> None:
    layers: Any = [{"W": np.ones(2)}, np.ones(3)]
    g = [{"dW": np.ones(2)}, np.ones(3)]
    m = [{"W": np.zeros(2)}, np.zeros(3)]
    gs.functional.momentum({"l": layers}, {"l": g}, {"l": m}, lr=1.0, beta=0.5)
    assert [layers[0]["W"].tolist(), layers[1].tolist()] == [[0.5, 0.5], [0.5, 0.5, 0.5]]
    gs.functional.momentum(layers, g, m, lr=1.0, beta=0.5)
    assert [layers[0]["W"].tolist(), layers[1].tolist()] == [[-0.25] * 2, [-0.25] * 3]


def test_averages_take_dicts_too() -> None:
    v, x = {"W": np.zeros(2)}, {"W": np.ones(2)}
    gs.functional.ewa(v, x, beta=0.75)
    assert v["W"].tolist() == [0.25, 0.25]
