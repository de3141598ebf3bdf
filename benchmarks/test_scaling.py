"""The model of scaling: what it says where the answer is plain."""

from __future__ import annotations

import pytest

from report import Options
from scaling import SECTION, Machine, model

CONSTANTS = {"overhead": 1e-6, "element": 1e-9, "wake": 1e-5, "bandwidth of one": 1e10}


def test_small_steps_stay_on_one_thread() -> None:
    seconds, threads = model(CONSTANTS, 1000, Machine("any", 128, 1e11, 1e6))
    assert threads == 1
    assert seconds == pytest.approx(2e-6)


def test_memory_bounds_large_ones_and_threads_end_where_it_does() -> None:
    n = 10**9
    seconds, threads = model(CONSTANTS, n, Machine("any", 128, 1e11, 1e6))
    # Ten threads fill the memory; a thread more than they need for the arithmetic wakes for nothing.
    assert threads == 10
    assert seconds == pytest.approx(28 * n / 1e11, rel=1e-3)


def test_in_the_caches_only_the_arithmetic_counts() -> None:
    seconds, threads = model(CONSTANTS, 10**5, Machine("any", 4, 1e9, 1e9))
    assert threads == 3  # a fourth takes one level more of the tree, 10 µs, and gains 8 µs
    assert seconds == pytest.approx(1e-6 + 1e-5 + 1e-4 / 3)


def test_section() -> None:
    rows = list(SECTION.measure(Options(threads=2, rounds=1, quick=True, max_elements=10**4)))
    assert [len(SECTION.cells(row)) for row in rows] == [len(SECTION.headings())] * len(rows)
    assert rows[0]["constants"]["element"] > 0
    assert "measured" in rows[1]
    assert "measured" not in rows[-1]
