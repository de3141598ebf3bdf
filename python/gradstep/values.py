"""The hyperparameters of a group and the options of a step, as values: frozen, and in plain form.

A frozen value cannot be changed from outside. The plain form is for states and checkpoints: numbers,
texts and lists, schedules by name and arguments (gradstep/schedules/config.py). Other callables have
none: a state lists their names, and an optimizer that loads the state keeps its own callables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import gradstep._core as _core
import gradstep.checks as checks
from gradstep.schedules.config import from_plain, to_plain

# The key of the names of callables in a state, and what commit 4e867cd called it.
_CALLABLES, _OLD_CALLABLES = "callables", "own"

_PLAIN = frozenset({float, bool, int, str, type(None)})


def frozen(value: Any) -> Any:
    """Return a value that nobody else can change: a plain number if it stands for one.

    A value that is neither a number nor a schedule passes; the core refuses it by its name.
    """
    if type(value) in _PLAIN:  # nearly always, and a function waits for it
        return value
    if isinstance(value, list | tuple):
        return tuple([e if isinstance(e, list | tuple) else frozen(e) for e in value])
    if isinstance(value, np.bool_):
        return bool(value)
    if callable(value) or isinstance(value, int | float) or not _core.is_number(value):
        return value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return value


def plain_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the plain form of values by name, and the names of callables, which have none."""
    plain: dict[str, Any] = {}
    callables = []
    for name, value in values.items():
        try:
            plain[name] = to_plain(value)
        except TypeError:
            callables.append(name)
    return plain, callables


def to_state(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as a state has them: in plain form, with the names of callables."""
    plain, callables = plain_values(values)
    return {**plain, _CALLABLES: callables}


def from_state(
    name: str, state: Mapping[str, Any], here: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a state, and the names of the callables, which stay as they are here.

    Parameters
    ----------
    name : str
        What `state` is called in errors.
    state : mapping
        Values as `to_state` returned them, and nothing else.
    here : mapping
        The present values, by the names that the saved ones must have.

    Raises
    ------
    ValueError
        If `state` has other names, or a value is damaged.
    """
    plain = dict(state)
    key = _CALLABLES if _CALLABLES in plain else _OLD_CALLABLES
    callables = plain.pop(key, [])
    if not isinstance(callables, list) or not all(type(each) is str for each in callables):
        raise ValueError(
            f"{key!r} of {name} must be a list of names, got {checks.shown(callables)}"
        )
    if {*plain, *callables} != {*here} or set(callables) & set(plain):
        listed = checks.shown([*plain, *callables])
        raise ValueError(f"{name} must have the values {', '.join(here)}, got {listed}")
    try:
        return {
            each: here[each] if each in callables else from_plain(plain[each]) for each in here
        }, callables
    except RecursionError as error:
        raise ValueError(
            f"{name} must be a finite structure, got one that is nested too deeply or holds itself"
        ) from error
