"""What a load will do, once all of it is checked, and doing it at once.

Each class checks its own states; whole checkpoints are in checkpoint.py.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import gradstep._core as _core
from gradstep._typing import Array


class Prepared(NamedTuple):
    """What a load will set, checked and allocated; nothing has changed yet.

    A class offers ``_prepare_load(state, strict)``, which returns this or raises TypeError or
    ValueError where the state does not fit. The ``state_dict`` of such a class returns copies.
    """

    # Objects of the core, which refuses them where what they change has changed since.
    core: Sequence[_core.PreparedUpdate] = ()
    # Arrays to fill, each from another like it.
    fills: Sequence[tuple[Array, Array]] = ()
    # Attributes to set that are there: object, name, value. Setting one must neither fail nor run code.
    swaps: Sequence[tuple[object, str, Any]] = ()
    # Bit generators of NumPy's, and the states to set, which may fail for want of memory.
    random: Sequence[tuple[Any, Any]] = ()
    # Where not strict: what was asked for and is not in the state or does not fit, and what is in
    # the state alone. Each begins with a name within the part.
    missing: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    # What is restored besides, and what another part has to restore: an optimizer and its average.
    restores: Sequence[object] = ()
    follows: Sequence[object] = ()
    # What the user is to be warned of.
    warnings: Sequence[str] = ()


def take_over(prepared: Prepared) -> None:
    """Do what the `load_state_dict` of one object has prepared."""
    for warning in prepared.warnings:
        warnings.warn(warning, stacklevel=3)
    commit([prepared], [False])  # last, as whatever fails after it would come too late


def commit(prepared: Sequence[Prepared], done: list[bool]) -> None:
    """Do all that is prepared, and note in `done` that it is.

    One call of C code, in which no signal's handler runs. What may fail comes first: random states
    for want of memory, and the core, which looks before it does anything. Who calls this puts the
    random states back.
    """
    drawn = [draw for one in prepared for draw in one.random]
    fills = [fill for one in prepared for fill in one.fills]
    swaps = [swap for one in prepared for swap in one.swaps]
    core = [replacement for one in prepared for replacement in one.core]
    bits, states = zip(*drawn, strict=True) if drawn else ((), ())
    targets, sources = zip(*fills, strict=True) if fills else ((), ())
    objects, names, values = zip(*swaps, strict=True) if swaps else ((), (), ())
    steps = [
        map(setattr, bits, repeat("state"), states),
        map(_core.commit, [core] if core else []),  # a call may fail where there is no memory
        map(operator.setitem, targets, repeat(...), sources),
        # Not setattr: a class may have a __setattr__ of Python's.
        map(object.__setattr__, objects, names, values),
        map(operator.setitem, [done], [0], [True]),
    ]
    any(chain.from_iterable(steps))
