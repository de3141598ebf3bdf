"""The checks of whole numbers and truth values. Arrays and hyperparameters are the core's to judge."""

from __future__ import annotations

import operator

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
    message = f"{name} must be an integer >= {least}, got {value!r}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(message)
    number = operator.index(value)
    if number < least:
        raise ValueError(message)
    if number >= below:
        raise ValueError(f"{name} must be an integer below {below}, got {value!r}")
    return number


def flag(name: str, value: object) -> bool:
    """Return `value` as a bool where it is a truth value; TypeError where it is not."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)
