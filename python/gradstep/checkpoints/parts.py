"""The parts of a checkpoint: of which kind a part is, and how it is prepared for writing.

How a part is loaded is in plan.py. The bytes of a file are in archive.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import gradstep._core as _core
import gradstep.checkpoints.archive as archive
import gradstep.checkpoints.values as values
from gradstep._typing import Array
from gradstep._version import __version__
from gradstep.checkpoints.archive import Part
from gradstep.checkpoints.ranks import writes
from gradstep.pytree import Structure

# The types of plain values, lists, tuples and dicts aside.
PLAIN = (type(None), bool, int, float, str, np.generic)

# The kinds that `kind_of` returns, in words.
KINDS = {
    "arrays": "arrays",
    "mixed": "arrays and plain values",
    "plain": "a plain value",
    "state": "a state",
}


def require_names(parts: Mapping[str, Any]) -> None:
    """Raise ValueError if there are no parts, or `load` could not ask for one by its name."""
    if not parts:
        raise ValueError(
            "parts must be at least one, got none; name them: save(path, params=params, opt=opt)"
        )
    for name in parts:
        if name == "strict" or not name.isidentifier():
            raise ValueError(
                f"names of parts must be keywords that load can take, got {name!r}; rename the part"
            )


def pack(parts: Mapping[str, Any], copied: bool = False) -> archive.Packed | None:
    """Return parts ready to be written; None if another rank writes them.

    With `copied`, no array of the caller's is used after the call.
    """
    packed = {name: part_of(name, part) for name, part in parts.items()}
    if not writes(parts):
        return None
    # The state_dict of a class that prepares loads returns copies already.
    shared = [name for name, part in parts.items() if not prepares(part)]
    return archive.pack(packed, __version__, shared if copied else ())


def part_of(name: str, part: Any) -> Part:
    """Return a part of the caller's as it is written."""
    kind = kind_of(part)
    if kind == "state":
        at_rank = getattr(part, "_gather_state", None)  # of an optimizer that is spread over ranks
        return Part(kind, part.state_dict() if at_rank is None else at_rank(0))
    if kind == "arrays":
        return _part_of_arrays(name, part)
    return Part("tree" if kind == "mixed" else kind, part)


def _part_of_arrays(name: str, part: Any) -> Part:
    """Return arrays by their joined keys if these say it all, else in their structure."""
    structure, arrays = arrays_of(name, part)
    if isinstance(part, Mapping) and [*part] == [*arrays]:
        return Part("arrays", arrays)
    whole = structure.unflatten(arrays.values())
    try:
        values.Encoder().encode(whole, name)
    except (TypeError, ValueError):  # a key or the depth is refused; the joined keys remain
        return Part("arrays", arrays)
    return Part("tree", whole)


def kind_of(part: Any) -> str:
    """Return the kind of a part of the caller's, or of a value in a file: one of `KINDS`."""
    if not isinstance(part, type) and all(
        callable(getattr(part, method, None)) for method in ("state_dict", "load_state_dict")
    ):
        return "state"
    arrays = {values.is_array(leaf) for leaf in values.leaves(part)}
    return "mixed" if len(arrays) > 1 else "arrays" if True in arrays else "plain"


def prepares(part: Any) -> bool:
    """Whether a part can be checked before it is loaded; not if a subclass loads in its own way."""
    for kind in type(part).__mro__:
        if "_prepare_load" in vars(kind):
            return True
        if "state_dict" in vars(kind) or "load_state_dict" in vars(kind):
            return False
    return False


def arrays_of(name: str, part: Any) -> tuple[Structure, dict[str, Array]]:
    """Return the structure of a part of arrays, and the arrays by their joined keys."""
    try:
        structure = Structure(part)
    except (RecursionError, ValueError) as error:  # two arrays of one name, or a cycle
        raise ValueError(f"{name}: {error}") from error
    leaves = zip(structure.names, structure.flatten(part, name), strict=True)
    return structure, {key: _core.as_array(leaf, f"{name}.{key}") for key, leaf in leaves}
