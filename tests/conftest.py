"""Fixtures that select an instruction-set level or a number of threads for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import gradstep as gs
from gradstep import _core

THREADS = [1, 2, 5]


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every level that this processor runs, in turn."""
    before = _core.isa()
    _core.use_isa(request.param)
    yield request.param
    _core.use_isa(before)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let even small steps use all the threads they are allowed."""
    before = _core.get_elements_per_thread()
    _core.set_elements_per_thread(1)
    yield
    _core.set_elements_per_thread(before)


@pytest.fixture(params=THREADS)
def threads(request: pytest.FixtureRequest, eager_threads: None) -> Iterator[int]:
    """One, two and more threads than this machine may have cores."""
    with gs.threads(request.param):
        yield request.param
