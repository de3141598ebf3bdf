"""Schedules as plain values, for checkpoints: the name of the class and the arguments.

How a state has them among other hyperparameters is in gradstep/values.py.
"""

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

# The schedules that have a plain form. A class of the user's is not one of them.
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
        A schedule of `gradstep.schedules`.

    Returns
    -------
    dict
        The name under ``"schedule"``, then every argument: numbers, lists, and such dicts for the
        parts of `warmup` and `join`. `from_config` takes it back.

    Raises
    ------
    TypeError
        It is, or contains, a callable that is not a schedule of `gradstep.schedules`.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.to_config(gs.schedules.Cosine(0.1, steps=100))
    {'schedule': 'Cosine', 'lr': 0.1, 'steps': 100, 'end': 0.0}
    """
    # Exactly these types: a subclass may have another formula under the same name.
    if type(schedule) not in _KINDS.values():
        raise TypeError(
            f"schedule must be one of gradstep.schedules, got {shown(schedule)}; only these are "
            "stored, by name and arguments"
        )
    config: dict[str, object] = {"schedule": type(schedule).__name__}
    for field in fields(schedule):
        config[field.name] = to_plain(getattr(schedule, field.name))
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
        The name is unknown, or an argument is unknown, missing or refused.

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
        raise ValueError(f"schedule must be one of {', '.join(_KINDS)}, got {shown(name)}")
    try:
        arguments = {key: from_plain(value) for key, value in config.items() if key != "schedule"}
    except RecursionError as error:
        raise ValueError(
            "config must be a finite structure, got one that is nested too deeply or holds itself"
        ) from error
    try:
        return kind(**arguments)
    except (TypeError, ValueError, OverflowError) as error:
        expected = ", ".join(field.name for field in fields(kind))
        raise ValueError(
            f"the config of {name} must have fitting arguments {expected}, got others: {error}"
        ) from error


def to_plain(value: Any) -> Any:
    """Return a number, a schedule or a tuple of these as plain values; TypeError if it has none."""
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return to_config(value) if callable(value) else value


def from_plain(value: Any) -> Any:
    """Return the number, the schedule or the tuple that `to_plain` turned into plain values."""
    if isinstance(value, Mapping):
        return from_config(value)
    return tuple(map(from_plain, value)) if isinstance(value, list | tuple) else value
