"""What a step does around the update: clipping, the finite check, the average.

The same keyword arguments for every optimizer. The core judges them; what they do is in
cpp/sweep.cpp and cpp/norm.hpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict

from gradstep.averaging import EWA
from gradstep.groups import own

Bound = float | Callable[[int], float] | None

DEFAULTS: Mapping[str, Any] = {"max_norm": None, "clip_value": None, "nonfinite": "propagate"}


class _Options(TypedDict, total=False):
    max_norm: Bound
    clip_value: Bound
    nonfinite: Literal["propagate", "skip", "raise"]


class StepOptions(_Options, total=False):
    """The keyword arguments that all optimizers have in common; see `Optimizer`."""

    average: EWA | None


class FunctionOptions(_Options, total=False):
    """Those that all functions have in common; see functional.py."""

    scale: float


def core_options(owner: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the core is told of what it judges, None where that is nothing."""
    unknown = [name for name in given if name not in DEFAULTS]
    if unknown:
        raise TypeError(f"{owner} got an unexpected keyword argument {unknown[0]!r}")
    return {**DEFAULTS, **{name: own(value) for name, value in given.items()}} if given else None


def checked_average(average: object) -> EWA | None:
    """Return the average that is to be kept; TypeError where it is none."""
    if average is not None and not isinstance(average, EWA):
        raise TypeError(f"average must be a gradstep.EWA, got {type(average).__name__}")
    return average


def listed(options: Mapping[str, Any]) -> str:
    """Return what is not as by default as arguments are written, each behind a comma."""
    changed = {name: value for name, value in options.items() if value != DEFAULTS[name]}
    return "".join(f", {name}={value!r}" for name, value in changed.items())
