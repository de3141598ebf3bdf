"""Benchmarks of averages, and that everybody's are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import packages
from averages import BETA, MODEL, SERIES, averagers, refuse_wrong, refuse_wrong_update, series
from averages import updates as started
from cases import MODELS

COURSE = MODELS[1]

by_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


@by_dtype
@pytest.mark.parametrize("name", SERIES)
def test_series(benchmark: Any, name: str, dtype: str) -> None:
    benchmark.group = f"average of a series, {dtype}"
    if not packages.version(name):
        pytest.skip(packages.missing(name)[0])
    x = series(10_000, dtype)
    refuse_wrong(name, x, benchmark(averagers(x)[name]))


@by_dtype
@pytest.mark.parametrize("change", [{"beta": 0.9001}, {"bias_correction": True}], ids=str)
def test_another_average_is_refused(dtype: str, change: dict[str, Any]) -> None:
    import gradstep as gs

    x = series(10_000, dtype)
    with pytest.raises(RuntimeError, match="the average of 'other' is off"):
        refuse_wrong("other", x, gs.ewa(x, **{"beta": BETA, **change}))
    with pytest.raises(RuntimeError, match="the average of 'short' is off"):
        refuse_wrong("short", x, gs.ewa(x, beta=BETA)[:-1])


@pytest.mark.parametrize("name", MODEL)
def test_model(benchmark: Any, name: str) -> None:
    benchmark.group = "average of a model"
    update = started(COURSE)[name]
    refuse_wrong_update(COURSE, {name: update})
    benchmark(update)


def test_another_average_of_a_model_is_refused() -> None:
    update = started(COURSE)["tuned"]
    with pytest.raises(RuntimeError, match="W0 of 'thrice' is off"):
        refuse_wrong_update(COURSE, {"thrice": lambda: (update(), np.copy(0), update())[2]})
