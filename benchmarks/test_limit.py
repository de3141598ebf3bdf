"""That the memory's limit does its arithmetic, to every element, in every pass and on every thread."""

from __future__ import annotations

import numpy as np
import pytest

import limit

PASSES = 5

pytestmark = [
    pytest.mark.skipif(bool(limit.unavailable()), reason=f"no limit: {limit.unavailable()}"),
    pytest.mark.parametrize("threads", [1, 2, 3]),
    pytest.mark.parametrize("elements", [1, 15, 16, 17, 1000, 100_003]),
]


def drawn(elements: int, count: int) -> list[np.ndarray[tuple[int], np.dtype[np.float32]]]:
    rng = np.random.default_rng(8)
    return [rng.standard_normal(elements, dtype=np.float32) for _ in range(count)]


def test_step(elements: int, threads: int) -> None:
    w, g, m, v = drawn(elements, 4)
    right_w, right_m, right_v = (array.astype(np.float64) for array in (w, m, v))
    assert limit.of_step(w, g, m, v, threads)(PASSES) > 0
    for _ in range(PASSES):
        right_m = 0.9 * right_m + 0.1 * g
        right_v = 0.999 * right_v + 0.001 * g
        right_w = right_w - 0.001 * (right_m + right_v)
    for given, right in ((w, right_w), (m, right_m), (v, right_v)):
        np.testing.assert_allclose(given, right, rtol=0, atol=5e-6)


def test_average(elements: int, threads: int) -> None:
    v, x = drawn(elements, 2)
    right = 0.9**PASSES * v.astype(np.float64) + (1 - 0.9**PASSES) * x
    assert limit.of_average(v, x, threads)(PASSES) > 0
    np.testing.assert_allclose(v, right, rtol=0, atol=5e-6)
