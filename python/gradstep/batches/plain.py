"""Checks of whole numbers and truth values."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gradstep.checks import is_whole, shown


def _integer(name: str, value: Any, least: int | None = None) -> int:
    number = operator.index(value) if is_whole(value) else None
    if number is None or (least is not None and number < least):
        bound = "" if least is None else f" >= {least}"
        raise ValueError(f"{name} is {shown(value)}, expected an integer{bound}")
    return number


def _flag(name: str, value: Any) -> bool:
    # The truth of "False" is True: what is not a bool is more likely a mistake than a wish.
    boolean = isinstance(value, (bool, np.bool_))
    if not boolean:
        raise ValueError(f"{name} is {shown(value)}, expected True or False")
    return bool(value)
