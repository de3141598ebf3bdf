"""The norm of the gradients, and clipping by it and by value."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import gradstep as gs
from support.oracle import norm, wide
from support.teams import shared_out

Array = NDArray[Any]
NAN, INF = math.nan, math.inf
LARGEST = sys.float_info.max
DTYPES = [np.float32, np.float64]


def measured(grads: list[Array], scale: float = 1.0) -> float | None:
    opt = gs.SGD([np.zeros_like(g) for g in grads], lr=0.0, max_norm=INF)
    opt.step(grads, scale)
    return opt.grad_norm


def of(*parts: tuple[float, int], dtype: Any = np.float64) -> list[Array]:
    """Return an array for each pair: so many times a value, the signs in turn."""
    return [
        np.where(np.arange(count) % 2, -value, value).astype(dtype) if count else np.zeros(0, dtype)
        for value, count in parts
    ]


F32 = np.float32
NORMS: dict[str, list[Array]] = {
    "nothing": [np.zeros(0)],
    "nothing in several": [np.zeros((3, 0)), np.zeros(0, F32)],
    "zeros": [np.zeros(700), np.zeros((3, 5), F32)],
    "0-d": [np.array(-3.0), np.array(4.0, F32)],
    "empty among others": of((3.0, 1), (1.0, 0), (4.0, 1)),
    "ones": of((1.0, 100_003)),
    "1e-300": of((1e-300, 1000)),
    "1e300": of((1e300, 1000)),
    "1e154": of((1e154, 1000)),
    "1e-154": of((1e-154, 1000)),
    "1e-160": of((1e-160, 1000)),
    "the largest": of((LARGEST, 1)),
    "nearly the largest": of((LARGEST / 32, 1023)),
    "the smallest": of((5e-324, 1)),
    "denormals": of((5e-324, 1000), (1e-310, 600)),
    "denormals of float32": of((1e-45, 2000), dtype=F32),
    "1e38 in float32": of((1e38, 2000), dtype=F32),
    "the largest and the smallest": of((1e308, 3), (5e-324, 3)),
    "small behind large": of((1e200, 1), (1e-200, 100_000)),
    "plain behind large": of((1e140, 1), (1e134, 50_000)),
    "plain before large": of((2.0**449, 600), (2.0**451, 1)),
    "small before plain": of((2.0**-455, 600), (2.0**-449, 1)),
    "small and plain alike": of(*[(2.0**-448, 1), (2.0**-452, 511)] * 40),
    "plain and large alike": of(*[(2.0**452, 1), (2.0**448, 511)] * 40),
    "around the borders of units": of(*((2.0**e, 513) for e in (-452, -450, -449, 449, 450, 452))),
    "both dtypes": [*of((1e38, 700), dtype=F32), *of((1e38, 700), (1e-45, 3))],
    "one in each lane": of((1.0, 15)),
    "two tiles and one": of((0.1, 1025)),
}


@pytest.mark.parametrize("name", NORMS)
def test_the_norm(name: str) -> None:
    grads = NORMS[name]
    tiles = sum(-(-g.size // 512) for g in grads)
    found = measured(grads)
    # In a tile a lane adds up 32 squares and lanes four times; squares, tiles and the root besides.
    assert found == pytest.approx(norm(grads), rel=(44 + tiles) * 2.0**-53, abs=0)


@given(st.lists(st.lists(st.floats(-LARGEST, LARGEST), max_size=40), min_size=1, max_size=4))
def test_the_norm_of_anything(rows: list[list[float]]) -> None:
    grads = [np.array(row, np.float64) for row in rows]
    assert measured(grads) == pytest.approx(norm(grads), rel=60 * 2.0**-53, abs=5e-324)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_norm_of_one_number_is_its_magnitude(dtype: Any) -> None:
    info = np.finfo(dtype)
    for exponent in range(info.minexp - info.nmant, info.maxexp, 7):
        for mantissa in (1.0, 1.1, 1.999):
            x = dtype(mantissa) * dtype(2.0) ** dtype(exponent)
            assert measured([np.array([-x])]) == x


def test_the_norm_is_accurate() -> None:
    rng = np.random.default_rng(0)
    for n, spread in itertools.product((10, 1000, 300_000), (0.0, 5.0, 140.0)):
        g = rng.normal(size=n) * 10.0 ** rng.uniform(-spread, spread, n)
        exact = norm([g])
        found = measured([g])
        assert found is not None
        assert abs(found - exact) <= 2e-15 * exact, (n, spread)


def test_the_norm_is_of_the_scaled_gradient() -> None:
    assert measured([np.array([3.0, 4.0])], -2.0) == 10.0
    assert measured([np.array([3e300, 4e300])], 1e-300) == pytest.approx(5.0, rel=1e-15)
    assert measured([np.array([3e-300, 4e-300])], 1e300) == pytest.approx(5.0, rel=1e-15)
    assert measured([np.array([3.0, 4.0])], 0.0) == 0.0
    # In the element type: what the update would see.
    assert measured([np.array([1e-30], F32)], 1e-30) == 0.0
    assert measured([np.array([1.0], F32)], 0.1) == float(F32(0.1))


@pytest.mark.parametrize(
    ("grads", "expected"),
    [
        ([1.0, NAN], NAN), ([INF, 1.0], INF), ([-INF, INF], INF), ([NAN, INF], NAN),
        ([1e-300, INF], INF), ([1e300, NAN], NAN), ([LARGEST, LARGEST], INF),
    ],
)  # fmt: skip
def test_a_norm_that_is_not_finite_clips_nothing(grads: list[float], expected: float) -> None:
    for apart in (False, True):  # in one tile, in two
        parts = [np.array([g]) for g in grads] if apart else [np.array(grads)]
        w = [np.zeros_like(g) for g in parts]
        opt = gs.SGD(w, lr=1.0, max_norm=1.0)
        opt.step(parts)
        assert opt.grad_norm == expected or (
            math.isnan(expected) and opt.grad_norm != opt.grad_norm
        )
        np.testing.assert_array_equal(np.concatenate(w), -np.array(grads))


def test_a_norm_that_overflows_of_finite_gradients_is_no_reason_to_skip() -> None:
    w, g = np.zeros(600), np.full(600, LARGEST)
    opt = gs.SGD(w, lr=1.0, max_norm=1.0, nonfinite="raise")
    opt.step(g)
    assert (opt.grad_norm, opt.skipped) == (INF, 0)
    assert (w == -LARGEST).all()


def test_a_norm_is_of_the_last_step_and_only_where_it_is_asked_for() -> None:
    w = np.zeros(2)
    opt = gs.SGD(w, lr=1.0)
    assert opt.grad_norm is None
    opt.step(np.array([3.0, 4.0]))
    assert opt.grad_norm is None
    opt.max_norm = INF
    assert opt.grad_norm is None
    opt.step(np.array([3.0, 4.0]))
    assert opt.grad_norm == 5.0
    assert w.tolist() == [-6.0, -8.0]
    opt.max_norm = None
    opt.nonfinite = "skip"
    opt.step(np.array([3.0, 4.0]))
    assert opt.grad_norm is None


def test_clipping_by_norm_and_by_value() -> None:
    rows: list[tuple[dict[str, Any], list[float]]] = [
        ({"max_norm": 5.0}, [3.0, -4.0]),
        ({"max_norm": 2.5}, [1.5, -2.0]),
        ({"max_norm": 0.0}, [0.0, 0.0]),
        ({"max_norm": INF}, [3.0, -4.0]),
        ({"clip_value": 3.5}, [3.0, -3.5]),
        ({"clip_value": 0.0}, [0.0, 0.0]),
        ({"clip_value": INF}, [3.0, -4.0]),
        ({"max_norm": 2.5, "clip_value": 1.75}, [1.5, -1.75]),  # the norm comes first
        ({"max_norm": np.float32(2.5), "clip_value": np.int64(1)}, [1.0, -1.0]),
    ]
    for dtype, (options, expected) in itertools.product(DTYPES, rows):
        w = np.zeros(2, dtype)
        gs.SGD(w, lr=1.0, maximize=True, **options).step(np.array([3.0, -4.0], dtype))
        assert w.tolist() == expected, options


def test_clipping_comes_before_decay() -> None:
    w = np.array([8.0, 0.0])
    gs.SGD(w, lr=1.0, weight_decay=0.5, max_norm=1.0, clip_value=0.75).step(np.array([0.0, 2.0]))
    assert w.tolist() == [4.0, -0.75]


def test_what_is_clipped_by_value() -> None:
    g = np.array([NAN, INF, -INF, 0.0, -0.0, 5e-324, LARGEST, 2.0, -2.0, 1.0])
    for dtype in DTYPES:
        for n in (10, 100):  # in a tail, in a vector
            w = np.zeros(n, dtype)
            with np.errstate(over="ignore", under="ignore"):
                gradient = np.resize(g, n).astype(dtype)
            gs.SGD(w, lr=1.0, clip_value=1.5).step(gradient)
            np.testing.assert_array_equal(w, -np.clip(gradient, dtype(-1.5), dtype(1.5)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("max_norm", [1e-10, 1e-20, 1e-37])
def test_factors_that_float32_could_not_hold(dtype: Any, max_norm: float) -> None:
    # With gradients near the largest number the factor is far below the smallest.
    w, g = np.zeros(1000, dtype), np.full(1000, 1e37, dtype)
    opt = gs.SGD(w, lr=1.0, max_norm=max_norm)
    opt.step(g)
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    assert norm([w]) == pytest.approx(max_norm, rel=tolerance)


def test_a_factor_that_float64_can_hardly_hold() -> None:
    w = np.zeros(1)
    gs.SGD(w, lr=1.0, max_norm=1e-300).step(np.array([-1e300]))
    assert w[0] == 0.0  # 1e-600 is no number
    gs.SGD(w, lr=1.0, max_norm=1e-15).step(np.array([-1e300]))
    assert w[0] == pytest.approx(1e-15, rel=1e-7)  # a factor of 1e-315 has 27 bits


def test_any_place_to_cut_a_step_among_threads() -> None:
    # Arrays of whole tiles are added up as one array is, wherever a thread's share begins.
    rng = np.random.default_rng(3)
    whole = wide(rng, 24 * 512 + 77, np.float64)
    expected = measured([whole])
    for cuts in ([512], [1024, 1536, 4096], [512 * 9, 512 * 9, 512 * 20], [0, 512 * 24]):
        for threads in (1, 2, 3, 5):
            with shared_out(threads):
                assert measured(np.split(whole, cuts)) == expected
