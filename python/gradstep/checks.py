"""The check of a whole number given from outside. Arrays and hyperparameters are the core's to judge."""

from __future__ import annotations

import operator


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
    if not least <= number < below:
        raise ValueError(message)
    return number
