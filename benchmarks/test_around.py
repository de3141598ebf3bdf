"""Benchmarks of what stands around a step, and that everybody does it right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import packages
from around import AROUND, SHARE, WHAT, check, norm, refuse_wrong, start
from cases import MODELS

COURSE = MODELS[1]
MAX_NORM = SHARE * norm(COURSE.grads())


@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("name", AROUND)
def test_around(benchmark: Any, name: str, what: str) -> None:
    benchmark.group = f"course net, {WHAT[what]}"
    if name == "torch" and not packages.version(name):
        pytest.skip(packages.missing(name)[0])
    run = start(name, COURSE, what, MAX_NORM)
    run.step()
    factor = 1.0 if what == "nothing" else SHARE
    refuse_wrong(name, COURSE, run.params(), AROUND[name][1], factor)
    benchmark(run.step)


def test_all_who_are_here_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    check(COURSE, "clip", MAX_NORM)
    monkeypatch.setitem(AROUND, "tuned", (AROUND["tuned"][0], "outside"))
    with pytest.raises(RuntimeError, match="of 'tuned' is off its step"):
        check(COURSE, "clip", MAX_NORM)


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_another_factor_is_refused(factor: float) -> None:
    run = start("gradstep", COURSE, "clip", MAX_NORM)
    run.step()
    with pytest.raises(RuntimeError, match="of 'gradstep' is off its step"):
        refuse_wrong("gradstep", COURSE, run.params(), "inside", factor)


def test_the_average_is_of_the_parameters() -> None:
    run = start("gradstep", COURSE, "all", MAX_NORM)
    run.step()
    opt = run.step.func.__self__  # type: ignore[attr-defined]
    for name, w in run.params().items():
        np.testing.assert_allclose(opt.average[name], 0.001 * w, rtol=1e-4)
