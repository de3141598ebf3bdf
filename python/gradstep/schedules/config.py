"""Schedules as plain values, for checkpoints."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from gradstep.checks import mapping, shown
from gradstep.schedules.base import Constant, Scaled, Schedule
from gradstep.schedules.compose import Joined, Warmup
from gradstep.schedules.cycles import Cosine, CosineRestarts, OneCycle
from gradstep.schedules.decay import (
    ExponentialDecay,
    InverseSqrtDecay,
    InverseTimeDecay,
    Linear,
    Piecewise,
    Polynomial,
    StepDecay,
)

# A schedule that is made elsewhere is not part of the table.
_KINDS: dict[str, type[Schedule]] = {
    kind.__name__: kind
    for kind in (
        InverseTimeDecay,
        ExponentialDecay,
        InverseSqrtDecay,
        Constant,
        StepDecay,
        Piecewise,
        Linear,
        Polynomial,
        Cosine,
        CosineRestarts,
        OneCycle,
        Warmup,
        Joined,
        Scaled,
    )
}


def to_config(schedule: Schedule) -> dict[str, object]:
    """Turn a schedule into plain values: its name and its arguments, for a checkpoint.

    Parameters
    ----------
    schedule : Schedule
        A schedule of this module.

    Returns
    -------
    dict
        The name under ``"schedule"``, then every argument: numbers, lists, and for the parts of
        `warmup` and `join` such dicts again. `from_config` takes it back.

    Raises
    ------
    TypeError
        It is, or contains, a callable that is not a schedule of this module.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.to_config(gs.schedules.Cosine(0.1, steps=100))
    {'schedule': 'Cosine', 'lr': 0.1, 'steps': 100, 'end': 0.0}
    """
    # Exactly these types: a subclass may have another formula under the same name.
    if type(schedule) not in _KINDS.values():
        raise TypeError(
            f"{shown(schedule)} cannot be stored: expected a schedule of gradstep.schedules, which is "
            "stored by its name and arguments"
        )
    config: dict[str, object] = {"schedule": type(schedule).__name__}
    for field in fields(schedule):
        config[field.name] = _to_plain(getattr(schedule, field.name))
    return config


def from_config(config: Mapping[str, object]) -> Schedule:
    """Make the schedule that `to_config` turned into plain values.

    Parameters
    ----------
    config : mapping
        The name under ``"schedule"`` and the arguments; those with a default may be left out.

    Returns
    -------
    Schedule
        A schedule equal to the one stored.

    Raises
    ------
    TypeError
        ``config`` is not a mapping.
    ValueError
        The name is unknown, or an argument is unknown, missing or cannot be.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.from_config({"schedule": "Cosine", "lr": 0.1, "steps": 100})
    Cosine(lr=0.1, steps=100, end=0.0)
    """
    config = mapping("config", config)
    name = config.get("schedule")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"unknown schedule {shown(name)}: expected one of {', '.join(_KINDS)}")
    try:
        arguments = {key: _from_plain(value) for key, value in config.items() if key != "schedule"}
    except RecursionError as error:
        raise ValueError("config is nested too deeply, or holds itself") from error
    try:
        return kind(**arguments)
    except (TypeError, ValueError, OverflowError) as error:
        expected = ", ".join(field.name for field in fields(kind))
        raise ValueError(f"{name} takes the arguments {expected}: {error}") from error


def _to_plain(value: Any) -> object:
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return to_config(value) if callable(value) else value


def _from_plain(value: object) -> object:
    if isinstance(value, Mapping):
        return from_config(value)
    return [_from_plain(item) for item in value] if isinstance(value, list | tuple) else value
