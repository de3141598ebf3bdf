"""Structures of arrays, as pytrees: their definition, their leaves, and the name of each leaf.

A structure is one array, or a list, tuple or dict of structures. Its leaves are the arrays. It is
flattened, compared with another and unflattened here. The leaves are not checked: the core does that.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

# A structure with a name in the place of each leaf.
TreeDef: TypeAlias = "str | list[TreeDef] | tuple[TreeDef, ...] | dict[Hashable, TreeDef]"


# A dict or list, keys or positions in it, and the values there.
Container: TypeAlias = tuple[Any, list[Any], list[Any]]


class Structure:
    """The shape of one structure: flattens others of the same shape, in the same order.

    Parameters
    ----------
    tree
        The structure to learn from.
    first
        The position from which the entries of an outermost list are counted.
    """

    def __init__(self, tree: object, first: int = 0) -> None:
        try:
            self._treedef = _treedef(tree, None, first)
            self.names: tuple[str, ...] = tuple(_names(self._treedef))
        except RecursionError as error:
            raise RecursionError(
                "a structure of arrays is nested too deeply, or holds itself"
            ) from error
        require_distinct(self.names)

    @property
    def positions(self) -> int:
        """The number of names that are positions; a dict has none."""
        if isinstance(self._treedef, dict):
            return 0
        return len(self._treedef) if isinstance(self._treedef, list | tuple) else 1

    def is_array(self) -> bool:
        """Whether this is one array by itself."""
        return isinstance(self._treedef, str)

    def is_flat_list(self) -> bool:
        """Whether this is a list or tuple of arrays."""
        return isinstance(self._treedef, list | tuple) and self._is_flat()

    def flat_keys(self) -> list[tuple[Hashable, ...]]:
        """Return, for a dict of arrays, the keys that gradients come under, without and with ``d``."""
        treedef = self._treedef
        if not isinstance(treedef, dict) or not self._is_flat():
            return []
        return [
            tuple(_interned(_key(key, child, d)) for key, child in treedef.items())
            for d in (False, True)
        ]

    def _is_flat(self) -> bool:
        return all(isinstance(child, str) for child in _children(self._treedef))

    def flatten(self, tree: object, what: str = "params") -> Sequence[Any]:
        """Return the arrays of `tree`, which must have this structure exactly."""
        try:
            return self._flatten(tree, False, what)
        except _KeysDiffer as error:
            raise ValueError(str(error)) from None

    def flatten_gradients(self, tree: object, what: str = "grads") -> Sequence[Any]:
        """Return the arrays of `tree`; its innermost keys may all carry a leading ``d``."""
        try:
            return self._flatten(tree, False, what)
        except _KeysDiffer as plain:
            try:
                return self._flatten(tree, True, what)
            except _KeysDiffer as led:
                # The caller means the convention of which more keys are there.
                if led.found > plain.found:
                    raise ValueError(str(led)) from None
                either = " (or every key with a leading 'd': 'dW1' for 'W1')"
                raise ValueError(f"{plain}{either if plain.lacks else ''}") from None

    def _flatten(self, tree: object, d: bool, what: str) -> list[Any]:
        leaves: list[Any] = []
        _collect_leaves(self._treedef, tree, d, what, leaves)
        return leaves

    def spread(self, mask: Any) -> list[bool]:
        """Return a truth value for each array; if `mask` ends early, one for all arrays below it."""
        spread: list[bool] = []

        def walk(treedef: TreeDef, mask: Any, where: str) -> None:
            if isinstance(mask, bool | np.bool_):
                spread.extend(bool(mask) for _ in _names(treedef))
            elif (
                isinstance(treedef, dict)
                and isinstance(mask, Mapping)
                and mask.keys() == treedef.keys()
            ):
                for key, child in treedef.items():
                    walk(child, mask[key], f"{where}[{key!r}]")
            elif (
                isinstance(treedef, list | tuple)
                and isinstance(mask, list | tuple)
                and len(mask) == len(treedef)
            ):
                for i, child in enumerate(treedef):
                    walk(child, mask[i], f"{where}[{i}]")
            else:
                raise ValueError(
                    f"{where} must be True, False, or structured like params there, got "
                    f"{type(mask).__name__}"
                )

        walk(self._treedef, mask, "mask")
        return spread

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """Return this structure with these leaves, in the order of `names`."""
        remaining = iter(leaves)

        def build(treedef: TreeDef) -> Any:
            if isinstance(treedef, str):
                return next(remaining)
            if isinstance(treedef, dict):
                return {key: build(child) for key, child in treedef.items()}
            return type(treedef)(build(child) for child in treedef)

        return build(self._treedef)


def require_distinct(names: Iterable[str]) -> None:
    """Raise ValueError if two arrays have the same name."""
    name, count = max(Counter(names).items(), key=itemgetter(1), default=("", 0))
    if count > 1:
        raise ValueError(
            f"names must differ, got {name!r} for {count} arrays; rename a key, so that the joined "
            "keys differ"
        )


def containers_and_leaves(
    structures: Sequence[Structure], listed: bool, params: object
) -> tuple[list[Container], list[tuple[str, object]]]:
    """Return the containers of the parameters, and each array with the expression for it.

    Parameters
    ----------
    structures
        The structure of each group if `listed`; else one structure.
    listed
        Whether `params` is a list of groups.
    params
        What an optimizer was given.

    Raises
    ------
    ValueError
        If an array is not there any more.
    """
    groups: TreeDef = [{"params": structure._treedef} for structure in structures]
    containers: list[Container] = []
    leaves: list[tuple[str, object]] = []
    _collect_containers(
        groups if listed else structures[0]._treedef, params, "params", containers, leaves
    )
    return containers, leaves


def _collect_containers(
    treedef: TreeDef,
    tree: Any,
    where: str,
    containers: list[Container],
    leaves: list[tuple[str, object]],
) -> None:
    if isinstance(treedef, str):
        leaves.append((where, tree))
        return
    keys: list[Any] = list(treedef if isinstance(treedef, dict) else range(len(treedef)))
    children: list[Any] = []
    for key, child in zip(keys, _children(treedef), strict=True):
        at = f"{where}[{key!r}]"
        # Checked first: looking a key up may create it, in a defaultdict.
        if isinstance(treedef, dict):
            there = isinstance(tree, Mapping) and key in tree
        else:
            there = isinstance(tree, list | tuple) and key < len(tree)
        if not there:
            raise ValueError(
                f"{at} must be there, as this optimizer steps it, got nothing; put it back, or make "
                "another optimizer over params"
            )
        children.append(tree[key])
        _collect_containers(child, children[-1], at, containers, leaves)
    if not isinstance(tree, tuple):  # nothing can be replaced in a tuple
        containers.append((tree, keys, children))


class _KeysDiffer(ValueError):
    """A dict has other keys: `found` of those of the structure, and whether it lacks some."""

    def __init__(self, message: str, found: int, lacks: bool) -> None:
        super().__init__(message)
        self.found = found
        self.lacks = lacks


def _treedef(tree: object, name: str | None, first: int = 0) -> TreeDef:
    def inner(key: object) -> str:
        joined = str(key) if name is None else f"{name}.{key}"
        # The core takes no halves of surrogate pairs, which odd file names have.
        return joined.encode(errors="backslashreplace").decode()

    if isinstance(tree, Mapping):
        return {key: _treedef(child, inner(key)) for key, child in tree.items()}
    if isinstance(tree, list | tuple):
        children = [_treedef(child, inner(first + i)) for i, child in enumerate(tree)]
        return tuple(children) if isinstance(tree, tuple) else children
    return str(first) if name is None else name


def _children(treedef: TreeDef) -> Iterable[TreeDef]:
    if isinstance(treedef, str):
        return ()
    return treedef.values() if isinstance(treedef, dict) else treedef


def _names(treedef: TreeDef) -> Iterable[str]:
    if isinstance(treedef, str):
        yield treedef
    for child in _children(treedef):
        yield from _names(child)


def _holds_dict(treedef: TreeDef) -> bool:
    return isinstance(treedef, dict) or any(map(_holds_dict, _children(treedef)))


def _key(key: Hashable, child: TreeDef, d: bool) -> Hashable:
    """Return the key of the gradient of `key`; only an innermost one has the ``d``."""
    return f"d{key}" if d and not _holds_dict(child) else key


def _interned(key: Hashable) -> Hashable:
    """Return a string as the object that literals in programs are: a lookup need not compare it."""
    return sys.intern(key) if type(key) is str else key


def _collect_leaves(treedef: TreeDef, tree: object, d: bool, where: str, leaves: list[Any]) -> None:
    if isinstance(treedef, str):
        leaves.append(tree)
    elif isinstance(treedef, dict):
        if not isinstance(tree, Mapping):
            raise TypeError(
                f"{where} must be a dict with the keys {_joined(treedef)}, "
                f"got {type(tree).__name__}"
            )
        expected = {_key(key, child, d): child for key, child in treedef.items()}
        missing = [key for key in expected if key not in tree]
        unexpected = [key for key in tree if key not in expected]
        if missing:
            parts = [
                f"{where} must have the keys {_joined(expected)}",
                f"missing: {_joined(missing)}",
            ]
            parts += [f"unexpected: {_joined(unexpected)}"] if unexpected else []
            raise _KeysDiffer("; ".join(parts), len(expected) - len(missing), True)
        if unexpected:
            raise _KeysDiffer(
                f"{where} must only have the keys {_joined(expected)}, got {_joined(unexpected)}, "
                f"too; leave them out: {{key: {where}[key] for key in [{_joined(expected)}]}}",
                len(expected),
                False,
            )
        for key, child in expected.items():
            try:
                entry = tree[key]
            except KeyError:
                raise ValueError(
                    f"{where} must give the key {key!r} that it says it has, got a KeyError"
                ) from None
            _collect_leaves(child, entry, d, f"{where}[{key!r}]", leaves)
    else:
        if not isinstance(tree, list | tuple):
            several = hasattr(type(tree), "__iter__") and not hasattr(type(tree), "__array__")
            raise TypeError(
                f"{where} must be a list or tuple of {len(treedef)} entries, "
                f"got {type(tree).__name__}{'; pass list(...) of it' if several else ''}"
            )
        if len(tree) != len(treedef):
            raise ValueError(f"{where} must have {len(treedef)} entries, got {len(tree)}")
        for i, (child, entry) in enumerate(zip(treedef, tree, strict=True)):
            _collect_leaves(child, entry, d, f"{where}[{i}]", leaves)


def _joined(keys: Iterable[object]) -> str:
    return ", ".join(map(repr, keys))
