"""Benchmarks of what a step costs beside its arithmetic, and that imports start no thread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import overhead

STEPS = overhead.optimizers()


@pytest.mark.parametrize("name", STEPS)
def test_step(benchmark: Any, name: str) -> None:
    benchmark.group = "overhead"
    benchmark(STEPS[name])


def test_add(benchmark: Any) -> None:
    benchmark.group = "overhead"
    a, b, c = (np.ones(10, np.float32) for _ in range(3))
    benchmark(np.add, a, b, out=c)
    np.testing.assert_array_equal(c, 2)


def test_import_starts_no_thread() -> None:
    counted = overhead.imports(rounds=1)["threads"]
    assert counted["numpy, gradstep"] == counted["numpy"]
