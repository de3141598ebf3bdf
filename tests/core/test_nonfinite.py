"""Gradients that are not finite: the step is skipped or refused, and the first bad value named."""

from __future__ import annotations

import contextlib
import math
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support.layouts import GRADIENTS, LAYOUTS
from support.oracle import CASES, Case
from support.same import everything
from support.teams import shared_out

Array = NDArray[Any]
NAN, INF = math.nan, math.inf
F32 = np.float32
DTYPES = [np.float32, np.float64]


def refuse(opt: gs.Optimizer, grads: Any, scale: float, where: str) -> None:
    """Take a step that has to be refused, with nothing changed."""
    before, skipped = everything(opt), opt.skipped
    if opt.nonfinite == "raise":
        with pytest.raises(FloatingPointError, match=f"^{re.escape(where)}; nothing has changed"):
            opt.step(grads, scale)
    else:
        opt.step(grads, scale)
    assert everything(opt) == before
    assert (opt.skipped, opt.last_nonfinite) == (skipped + 1, where)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bad_value_at_every_position(dtype: Any, value: float) -> None:
    # In every lane, in the tail, and in three tiles.
    n = 1101
    w, m = np.ones(n, dtype), np.ones(n, dtype)
    opt = gs.Momentum({"W": w, "V": m}, average=gs.EWA(0.5), nonfinite="skip")
    g = np.ones(n, dtype)
    opt.step({"W": g, "V": g})
    before = everything(opt)
    for i in range(n):
        g[i] = value
        opt.step({"W": np.ones(n, dtype), "V": g})
        assert opt.last_nonfinite == f"gradient of 'V' is {value}, at [{i}]"
        g[i] = 1
    assert (opt.skipped, opt.t) == (n, 1)
    assert everything(opt) == before


@pytest.mark.parametrize(
    ("nonfinite", "value"), [("skip", NAN), ("raise", INF), ("skip", -INF), ("raise", 1e300)]
)
def test_a_bad_value_at_the_borders_of_a_large_array(nonfinite: Any, value: float) -> None:
    n, scale = 70_001, 1e10
    w, g = np.ones(n), np.ones(n)
    opt = gs.Adam({"v": np.ones(3), "W": w}, nonfinite=nonfinite, max_norm=1.0, average=gs.EWA(0.5))
    opt.step({"v": np.ones(3), "W": g})
    borders = {i + near for i in (512, 4096, n // 2, n // 3, 65_536) for near in (-1, 0, 1)}
    told = f"{value}, times the scale {scale} inf" if value == 1e300 else f"{value}"
    for threads in (1, 2, 3, 16):
        with shared_out(threads, together=threads < 5):
            for i in sorted({0, 1, n - 2, n - 1, *borders})[:: 1 if threads == 2 else 4]:
                g[i] = value
                refuse(
                    opt, {"v": np.ones(3), "W": g}, scale, f"gradient of 'W' is {told}, at [{i}]"
                )
                g[i] = 1
    opt.step({"v": np.ones(3), "W": g})
    assert opt.t == 2


@pytest.mark.parametrize("gradient", [name for name in GRADIENTS if name != "broadcast"])
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "empty"])
def test_the_first_bad_value_is_named_by_its_index(layout: str, gradient: str) -> None:
    w, _ = LAYOUTS[layout](F32)
    w[...] = 1
    opt = gs.SGD({"W": w}, nonfinite="skip")
    flat = np.ones(w.size, F32)
    first = w.size // 3
    flat[first], flat[-1] = INF, NAN
    index = np.unravel_index(first, w.shape)
    if first == w.size - 1:  # of one element
        flat[first] = INF
    where = ", ".join(map(str, index))
    told = f"gradient of 'W' is inf, at [{where}]" if w.ndim else "gradient of 'W' is inf"
    refuse(opt, {"W": GRADIENTS[gradient](flat.reshape(w.shape))}, 1.0, told)


def test_the_first_bad_array_is_named() -> None:
    names = "abcdefg"
    sizes = [0, 700, 0, 513, 1, 0, 20_000]
    params = {name: np.ones(n) for name, n in zip(names, sizes, strict=True)}
    opt = gs.SGD(params, nonfinite="skip")
    for bad in ("b", "bd", "d", "de", "eg", "g", "bdeg"):
        for threads in (1, 3):
            grads = {name: np.ones(n) for name, n in zip(names, sizes, strict=True)}
            for name in bad:
                grads[name][-1] = NAN
            with shared_out(threads):
                refuse(
                    opt,
                    grads,
                    1.0,
                    f"gradient of {bad[0]!r} is nan, at [{params[bad[0]].size - 1}]",
                )


@pytest.mark.parametrize(
    ("dtype", "value", "scale", "told"),
    [
        (F32, 3e38, 2.0, "3e+38, times the scale 2.0 inf"),
        (F32, -1e30, 1e10, "-1e+30, times the scale 10000000000.0 -inf"),
        (np.float64, 1e300, -1e10, "1e+300, times the scale -10000000000.0 -inf"),
        (np.float64, INF, 0.0, "inf"),  # 0 · ∞
    ],
)
def test_what_is_not_finite_times_scale(dtype: Any, value: float, scale: float, told: str) -> None:
    opt = gs.SGD(np.zeros(1, dtype), nonfinite="skip")
    opt.step(np.array([value], dtype), scale)
    assert opt.last_nonfinite is not None
    found = opt.last_nonfinite.replace(repr(float(dtype(value))), repr(value))
    assert found == f"gradient of '0' is {told}, at [0]"


def test_a_large_value_that_scale_brings_back_is_fine() -> None:
    w, g = np.zeros(2, F32), np.array([3e38, -3e38], F32)
    opt = gs.SGD(w, lr=1.0, nonfinite="raise", max_norm=1e30, clip_value=1e30)
    opt.step(g, scale=2.0**-126)
    assert np.array_equal(w, -g * F32(2.0**-126))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_run_goes_on_as_if_skipped_steps_had_not_been(case: Case) -> None:
    # Products over the steps, of NAdam's factors, stay as well; and a schedule sees the same counts.
    rng = np.random.default_rng(5)
    params = {"W": rng.normal(size=(5, 7)), "b": rng.normal(size=3)}
    plain = {name: w.copy() for name, w in params.items()}
    falling = gs.schedules.ExponentialDecay(0.5)
    opt = case.optimizer(params, lr=falling, **case.options, nonfinite="skip")
    twin = case.optimizer(plain, lr=falling, **case.options)
    for t in range(6):
        grads = {name: rng.normal(size=w.shape) for name, w in params.items()}
        twin.step(grads)
        for bad in (NAN, INF)[: t % 3]:
            opt.step({**grads, "b": np.array([1.0, bad, 1.0])})
        opt.step(grads)
    assert everything(opt).replace("'skip'", "'propagate'") == everything(twin)
    assert (opt.t, opt.skipped, twin.skipped) == (6, 6, 0)
    opt.nonfinite = "raise"
    with pytest.raises(FloatingPointError):
        opt.step({"W": np.ones((5, 7)), "b": np.full(3, NAN)})
    assert (opt.t, opt.skipped) == (6, 7)


@pytest.mark.parametrize("nonfinite", ["skip", "raise"])
def test_a_refused_step_was_measured_all_the_same(nonfinite: Any) -> None:
    opt = gs.SGD(np.zeros(2), max_norm=1.0, nonfinite=nonfinite)
    opt.step(np.array([3.0, 4.0]))
    for bad in (INF, NAN):
        with contextlib.suppress(FloatingPointError):
            opt.step(np.array([3.0, bad]))
        assert repr(opt.grad_norm) == repr(bad)
    opt.step(np.array([3.0, 4.0]))
    assert opt.grad_norm == 5.0


def test_propagated_by_default() -> None:
    w = np.zeros(3)
    opt = gs.SGD(w, lr=1.0, max_norm=1.0)
    opt.step(np.array([NAN, 2.0, -INF]))
    np.testing.assert_array_equal(w, [NAN, -2.0, INF])
    assert (opt.t, opt.skipped, opt.last_nonfinite) == (1, 0, None)


def test_a_gradient_of_another_framework_is_named_too() -> None:
    class Tensor:
        def __init__(self, array: Array) -> None:
            self.array = array
            self.__array_interface__ = array.__array_interface__

    opt = gs.SGD({"W": np.zeros((2, 3))}, nonfinite="skip")
    g = np.ones((3, 2)).T
    g[1, 2] = NAN
    opt.step({"W": Tensor(g)})
    assert opt.last_nonfinite == "gradient of 'W' is nan, at [1, 2]"
