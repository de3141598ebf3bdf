"""The checks of plain values, each of them once: integers, numbers, flags, lists and mappings.

A message reads ``NAME must be EXPECTED, got GIVEN; FIX``. A value of a wrong type is a TypeError, and
a wrong value of the right type is a ValueError. The core checks arrays and hyperparameters.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

import gradstep._core as _core

# An integer may be larger, and then nothing can be computed with it.
LARGEST = sys.float_info.max


def integer(name: str, value: object, least: int | None = None, below: int | None = None) -> int:
    """Return `value` as an int if it is an integer in [least, below).

    Raises
    ------
    TypeError
        If it is not an integer; a truth value is not.
    ValueError
        If it is out of its range.
    """
    expected = "an integer" if least is None else f"an integer >= {least}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be {expected}, got {shown(value)}")
    try:
        number = operator.index(value)
    except TypeError as error:  # arrays have the method too
        raise TypeError(f"{name} must be {expected}, got {shown(value)}") from error
    if least is not None and number < least:
        raise ValueError(f"{name} must be {expected}, got {shown(value)}")
    if below is not None and number >= below:
        raise ValueError(f"{name} must be an integer below {below}, got {shown(value)}")
    return number


def count(name: str, value: object, least: int = 0, below: int = 2**53) -> int:
    """Return `value` as an int if it can count steps or the like: `integer`, from 0 by default."""
    return integer(name, value, least, below)


def is_whole(value: object) -> TypeGuard[int | np.integer[Any]]:
    """Whether `value` is an integer of Python or NumPy; truth values and spans of time are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def number(name: str, value: object) -> float:
    """Return `value` as a plain int or float, if it is a number; an int is within the floats.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is beyond any float.
    """
    if is_whole(value):
        whole = int(value)
        if abs(whole) > LARGEST:
            raise ValueError(f"{name} must be finite, got {shown(value)}")
        return whole
    if isinstance(value, float | np.floating):
        return float(value)
    if callable(value) or not _core.is_number(value):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise ValueError(f"{name} must be finite, got {shown(value)}") from error
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number, got {shown(value)}") from error


def finite(
    name: str,
    value: object,
    least: float = 0.0,
    most: float = LARGEST,
    *,
    strictly: bool = False,
) -> float:
    """Return `value` as a float if it is from `least` (above it if `strictly`) to `most`.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is out of its range, infinite or NaN.
    """
    given = float(number(name, value))
    if (least < given if strictly else least <= given) and given <= most:
        return given
    expected = f"finite and {'>' if strictly else '>='} {least:g}"
    if most < LARGEST:
        expected = f"from {least:g} to {most:g}"
    raise ValueError(f"{name} must be {expected}, got {shown(value)}")


def flag(name: str, value: object) -> bool:
    """Return `value` as a bool if it is a truth value; else raise TypeError.

    The truth of "False" is True: a value that is not a bool is more likely a mistake than a wish.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def sequence(name: str, value: object, length: int | None = None) -> Sequence[Any]:
    """Return `value` if it is a list, a tuple or the like, of that length if one is given.

    Raises
    ------
    TypeError
        If it is not such a sequence; text is not.
    ValueError
        If it has another length.
    """
    expected = "a list or tuple" if length is None else f"a list or tuple of {length}"
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not listed and not (isinstance(value, np.ndarray) and value.ndim > 0):
        raise TypeError(f"{name} must be {expected}, got {shown(value)}")
    if length is not None and len(value) != length:  # type: ignore[arg-type]
        raise ValueError(f"{name} must be {expected}, got {shown(value)}")
    return value  # type: ignore[return-value]


def mapping(name: str, value: object) -> dict[Any, Any]:
    """Return the entries of a mapping, read once: another look might find others.

    Raises
    ------
    TypeError
        If `value` is not a mapping.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, got {type(value).__name__}")
    return dict(value)


def record(name: str, value: object, keys: Collection[str], fix: str = "") -> dict[str, Any]:
    """Return the entries of a mapping that must have these keys and no others.

    Raises
    ------
    TypeError
        If `value` is not a mapping.
    ValueError
        If it has other keys.
    """
    found = mapping(name, value)
    if found.keys() != set(keys):
        raise ValueError(
            f"{name} must have the keys {', '.join(keys)}, got {shown([*found])}{fix and '; '}{fix}"
        )
    return found


def shown(value: object) -> str:
    """Return `value` as it is written, or its type: some integers and lists cannot be written."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - the refusal counts, not its wording
        return f"an object of type {type(value).__name__}"
