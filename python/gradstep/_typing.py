"""Types that many signatures share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
# A hyperparameter, which may follow a schedule.
Rate: TypeAlias = float | Callable[[int], float]
