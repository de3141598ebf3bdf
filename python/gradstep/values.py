"""Hyperparameters as values that nobody else can change, and as plain values for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import gradstep._core as _core
from gradstep.schedules.config import from_config, to_config


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a group as plain ones, and under ``"own"`` the names that have none."""
    plain: dict[str, Any] = {}
    kept = []
    for name, value in values.items():
        try:
            plain[name] = _to_plain(value)
        except TypeError:
            kept.append(name)
    return {**plain, "own": kept}


_PLAIN = frozenset({float, bool, int, str, type(None)})


def own(value: Any) -> Any:
    """Return a value that nobody else can change: a plain number where it stands for one.

    What is neither a number nor a schedule passes, for the core to refuse by its name.
    """
    if type(value) in _PLAIN:  # nearly always, and a function waits for it
        return value
    if isinstance(value, list | tuple):
        return tuple([e if isinstance(e, list | tuple) else own(e) for e in value])
    if isinstance(value, np.bool_):
        return bool(value)
    if callable(value) or isinstance(value, int | float) or not _core.is_number(value):
        return value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_plain(entry) for entry in value]
    return to_config(value) if callable(value) else value


def from_plain(value: Any) -> Any:
    """Return a value of a group from a plain one."""
    if isinstance(value, list | tuple):
        return tuple(from_plain(entry) for entry in value)
    return from_config(value) if isinstance(value, Mapping) else value
