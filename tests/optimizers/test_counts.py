"""What NumPy refuses as a count is refused with the name of the argument."""

from __future__ import annotations

import numpy as np
import pytest

import gradstep as gs


def test_an_array_is_not_a_count() -> None:
    average = gs.EWA(0.9)
    state = {**average.state_dict(), "t": np.array([1, 2])}
    with pytest.raises(TypeError, match=r"t must be an integer >= 0, got array\(\[1, 2\]\)"):
        average.load_state_dict(state)
