"""How much is tried: enough for a daily run, or all that docs/guarantees.md promises was tried once.

`nox -s endurance` sets GRADSTEP_EFFORT=full and runs the tests marked `endurance`; the plain suite
runs the same tests with the smaller numbers.
"""

from __future__ import annotations

import os

import pytest

FULL = os.environ.get("GRADSTEP_EFFORT") == "full"

# A test whose numbers grow with the effort.
endurance = pytest.mark.endurance


def effort(daily: int, full: int) -> int:
    """Return how often something is tried in this run."""
    return full if FULL else daily
