"""The checks of whole numbers, truth values and mappings, and how a refused value is shown.

Arrays and hyperparameters are the core's to judge.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np


def count(name: str, value: object, least: int = 0, below: int = 2**53) -> int:
    """Return `value` as an int where it is an integer in [least, below).

    Raises
    ------
    TypeError
        If it is no integer; a truth value is none.
    ValueError
        If it is out of its range.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer >= {least}, got {shown(value)}")
    try:
        number = operator.index(value)
    except TypeError as error:  # arrays have the method too
        raise TypeError(f"{name} must be an integer >= {least}, got {shown(value)}") from error
    if number < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {shown(value)}")
    if number >= below:
        raise ValueError(f"{name} must be an integer below {below}, got {shown(value)}")
    return number


def is_whole(value: object) -> TypeGuard[int | np.integer[Any]]:
    """Whether `value` is an integer of Python or NumPy; truth values and spans of time are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def flag(name: str, value: object) -> bool:
    """Return `value` as a bool where it is a truth value; TypeError where it is not."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def mapping(name: str, value: object) -> dict[Any, Any]:
    """Return what a mapping holds, read once: another look might find something else.

    Raises
    ------
    TypeError
        If `value` is no mapping.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, got {type(value).__name__}")
    return dict(value)


def shown(value: object) -> str:
    """Return `value` as it is written, or its type: not every huge integer or deep list can be."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - the refusal counts, not its wording
        return f"an object of type {type(value).__name__}"
