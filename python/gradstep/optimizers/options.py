"""What a step does around the update: clipping, the finite check, the average.

The same keyword arguments for every optimizer. The core judges them; what they do is in
cpp/engine/sweep.cpp and cpp/engine/norm.hpp.
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
    """Return options as the core takes them; None where all are the defaults."""
    if all(options[name] is default for name, default in DEFAULTS.items()):
        return None
    return {name: frozen(options[name]) for name in DEFAULTS}


def checked_average(average: object) -> EWA | None:
    """Return the average that is to be kept; TypeError where it is none."""
    if average is not None and not isinstance(average, EWA):
        raise TypeError(f"average must be a gradstep.EWA, got {type(average).__name__}")
    return average


def listed(options: Mapping[str, Any]) -> str:
    """Return what is not as by default as arguments are written, each behind a comma."""
    changed = {name: value for name, value in options.items() if value != DEFAULTS[name]}
    return "".join(f", {name}={value!r}" for name, value in changed.items())
