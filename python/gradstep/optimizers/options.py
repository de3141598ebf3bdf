"""What a step does around the update: clipping, the finite check, the average.

Every optimizer takes these keyword arguments. The core checks them; cpp/engine/sweep.cpp and
cpp/engine/norm.hpp do the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from gradstep.averaging import EWA
from gradstep.values import frozen

Bound = float | Callable[[int], float] | None
Nonfinite = Literal["propagate", "skip", "raise"]

DEFAULTS: Mapping[str, Any] = {"max_norm": None, "clip_value": None, "nonfinite": "propagate"}


def core_options(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return options as the core takes them; None if all have their defaults."""
    if all(options[name] is default for name, default in DEFAULTS.items()):
        return None
    return {name: frozen(options[name]) for name in DEFAULTS}


def checked_average(average: object) -> EWA | None:
    """Return the average that an optimizer shall keep; TypeError if it is something else."""
    if average is not None and not isinstance(average, EWA):
        raise TypeError(f"average must be a gradstep.EWA, got {type(average).__name__}")
    return average


def listed(options: Mapping[str, Any]) -> str:
    """Return the options that differ from their defaults as a call has them, each after a comma."""
    changed = {name: value for name, value in options.items() if value != DEFAULTS[name]}
    return "".join(f", {name}={value!r}" for name, value in changed.items())
