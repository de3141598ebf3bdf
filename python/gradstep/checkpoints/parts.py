"""What a part of a checkpoint is, and how it gets ready to be written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import gradstep._core as _core
import gradstep.checkpoints.archive as archive
import gradstep.checkpoints.values as tree
from gradstep._typing import Array
from gradstep._version import __version__
from gradstep.checkpoints.archive import Part
from gradstep.optimizers.base import Optimizer
from gradstep.pytree import Structure

PLAIN = (type(None), bool, int, float, str, np.generic)

# What `kind_of` returns, in words.
KINDS = {
    "arrays": "arrays",
    "mixed": "arrays and plain values",
    "plain": "a plain value",
    "state": "a state",
}


@contextlib.contextmanager
def together(parts: Mapping[str, Any], act: str) -> Iterator[Any]:
    """Inside, a rank may fail alone; at the end all raise where one does, if there are several.

    Those are yielded, or None where there are none.
    """
    ranks = ranks_of(parts)
    if ranks is None:
        yield None
        return
    with ranks.collective(act), ranks.agreement(act):
        yield ranks


def ranks_of(parts: Mapping[str, Any]) -> Any:
    """Return who has the parts between them, if they are spread over ranks."""
    spread = [part._communicator for part in parts.values() if isinstance(part, Optimizer)]
    found = list({id(ranks): ranks for ranks in spread if ranks is not None}.values())
    if len(found) > 1:
        raise ValueError(
            "parts are spread over different communicators; save and load those of each by themselves"
        )
    return found[0] if found else None


def require_names(parts: Mapping[str, Any]) -> None:
    """Raise ValueError where there are no parts, or one has a name that `load` could not ask for."""
    if not parts:
        raise ValueError("there is nothing to save; name parts: save(path, params=params, opt=opt)")
    for name in parts:
        if name == "strict" or not name.isidentifier():
            raise ValueError(f"a part cannot be called {name!r}, as load could not ask for it")


def require_names_alike(parts: Mapping[str, Any]) -> None:
    """Raise ValueError where parts that are spread over ranks have other names on another rank."""
    with together(parts, "save") as ranks:
        if ranks is not None and (named := ranks.broadcast([*parts], 0)) != [*parts]:
            raise ValueError(
                f"parts must be named alike on all ranks: {named} on rank 0, {[*parts]} here"
            )


def pack(parts: Mapping[str, Any], copied: bool = False) -> archive.Packed | None:
    """Get parts ready to be written; None where another rank writes them.

    With `copied`, nothing of the caller's is looked at later.
    """
    ranks = ranks_of(parts)
    packed = {name: part_of(name, part) for name, part in parts.items()}
    if ranks is not None and ranks.rank > 0:
        return None
    live = [name for name, part in parts.items() if not prepares(part)]
    return archive.pack(packed, __version__, live if copied else ())


def part_of(name: str, part: Any) -> Part:
    """Return a part of the caller's as it is written."""
    kind = kind_of(part)
    if kind == "state":
        at_rank = getattr(part, "_gather_state", None)  # of what is spread over ranks
        return Part(kind, part.state_dict() if at_rank is None else at_rank(0))
    if kind == "arrays":
        return _part_of_arrays(name, part)
    return Part("tree" if kind == "mixed" else kind, part)


def _part_of_arrays(name: str, part: Any) -> Part:
    """Keep arrays by their joined keys where these say it all, and else with their structure."""
    structure, arrays = arrays_of(name, part)
    if isinstance(part, Mapping) and [*part] == [*arrays]:
        return Part("arrays", arrays)
    whole = structure.unflatten(arrays.values())
    try:
        tree.Encoder().encode(whole, name)
    except (TypeError, ValueError):  # because of a key or the depth: the joined keys remain
        return Part("arrays", arrays)
    return Part("tree", whole)


def kind_of(part: Any) -> str:
    """Return what a part of the caller's, or a tree of a file, is: one of `KINDS`."""
    if not isinstance(part, type) and all(
        callable(getattr(part, method, None)) for method in ("state_dict", "load_state_dict")
    ):
        return "state"
    arrays = {tree.is_array(leaf) for leaf in tree.leaves(part)}
    return "mixed" if len(arrays) > 1 else "arrays" if True in arrays else "plain"


def prepares(part: Any) -> bool:
    """Whether a part can be checked before it is loaded: not where a subclass loads in its own way."""
    for kind in type(part).__mro__:
        if "_prepare_load" in vars(kind):
            return True
        if "state_dict" in vars(kind) or "load_state_dict" in vars(kind):
            return False
    return False


def arrays_of(name: str, part: Any) -> tuple[Structure, dict[str, Array]]:
    """Return a structure of arrays, and its arrays by their joined keys."""
    try:
        structure = Structure(part)
    except (RecursionError, ValueError) as error:  # two arrays of one name, or without end
        raise ValueError(f"{name}: {error}") from error
    leaves = zip(structure.names, structure.flatten(part, name), strict=True)
    return structure, {key: _core.as_array(leaf, f"{name}.{key}") for key, leaf in leaves}
