"""Fixtures that select an instruction-set level or a number of threads; what Hypothesis may ask."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from gradstep import _core
from support.teams import THREADS, shared_out

# How long an example takes is the machine's business, not a test's.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For the core's tests on an emulated processor, which is tens of times slower.
settings.register_profile("few", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")


@pytest.fixture
def others_frozen() -> Iterator[None]:
    """Have a collection look at what the test makes, not at all that was left by others."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every level that this processor runs, in turn."""
    before = _core.isa()
    _core.use_isa(request.param)
    yield request.param
    _core.use_isa(before)


@pytest.fixture(params=THREADS)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """One, two and more threads than this machine may have cores."""
    with shared_out(request.param):
        yield request.param
