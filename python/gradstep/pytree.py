"""Structures of arrays, and the name of each array in them.

A structure is one array, or lists, tuples and dicts of structures. Here it is flattened, compared
with another and put together again. What the arrays are is not looked at: the core judges them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

# A structure with a name in the place of each array.
Template: TypeAlias = "str | list[Template] | tuple[Template, ...] | dict[Hashable, Template]"


# A dict or list, keys or positions in it, and what it holds there.
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
            self._template = _template(tree, None, first)
            self.names: tuple[str, ...] = tuple(_names(self._template))
        except RecursionError as error:
            raise RecursionError(
                "a structure of arrays is nested too deeply, or holds itself"
            ) from error
        require_distinct(self.names)

    @property
    def positions(self) -> int:
        """How many positions stand for names; what has keys takes none."""
        if isinstance(self._template, dict):
            return 0
        return len(self._template) if isinstance(self._template, list | tuple) else 1

    def is_array(self) -> bool:
        """Whether this is one array by itself."""
        return isinstance(self._template, str)

    def is_flat_list(self) -> bool:
        """Whether this is a list or tuple of arrays."""
        return isinstance(self._template, list | tuple) and self._is_flat()

    def flat_keys(self) -> list[tuple[Hashable, ...]]:
        """Return, for a dict of arrays, the keys that gradients come under, without and with ``d``."""
        template = self._template
        if not isinstance(template, dict) or not self._is_flat():
            return []
        return [
            tuple(_interned(_key(key, child, d)) for key, child in template.items())
            for d in (False, True)
        ]

    def _is_flat(self) -> bool:
        return all(isinstance(child, str) for child in _children(self._template))

    def flatten(self, tree: object, what: str = "params") -> Sequence[Any]:
        """Return the arrays of `tree`, which must have this structure exactly."""
        try:
            return self._leaves(tree, False, what)
        except _KeysDiffer as error:
            raise ValueError(str(error)) from None

    def flatten_gradients(self, tree: object, what: str = "grads") -> Sequence[Any]:
        """Return the arrays of `tree`; its innermost keys may all carry a leading ``d``."""
        try:
            return self._leaves(tree, False, what)
        except _KeysDiffer as plain:
            try:
                return self._leaves(tree, True, what)
            except _KeysDiffer as led:
                # That convention is meant of which more keys are there.
                if led.found > plain.found:
                    raise ValueError(str(led)) from None
                either = " (or every key with a leading 'd': 'dW1' for 'W1')"
                raise ValueError(f"{plain}{either if plain.lacks else ''}") from None

    def _leaves(self, tree: object, d: bool, what: str) -> list[Any]:
        leaves: list[Any] = []
        _collect(self._template, tree, d, what, leaves)
        return leaves

    def spread(self, mask: Any) -> list[bool]:
        """Return a truth value for each array; where `mask` ends early, one for all below it."""
        spread: list[bool] = []

        def walk(template: Template, mask: Any, where: str) -> None:
            if isinstance(mask, bool | np.bool_):
                spread.extend(bool(mask) for _ in _names(template))
            elif (
                isinstance(template, dict)
                and isinstance(mask, Mapping)
                and mask.keys() == template.keys()
            ):
                for key, child in template.items():
                    walk(child, mask[key], f"{where}[{key!r}]")
            elif (
                isinstance(template, list | tuple)
                and isinstance(mask, list | tuple)
                and len(mask) == len(template)
            ):
                for i, child in enumerate(template):
                    walk(child, mask[i], f"{where}[{i}]")
            else:
                raise ValueError(f"{where} must be True, False, or structured like params there")

        walk(self._template, mask, "mask")
        return spread

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """Put arrays, in the order of `names`, together to this structure."""
        remaining = iter(leaves)

        def build(template: Template) -> Any:
            if isinstance(template, str):
                return next(remaining)
            if isinstance(template, dict):
                return {key: build(child) for key, child in template.items()}
            return type(template)(build(child) for child in template)

        return build(self._template)


def require_distinct(names: Iterable[str]) -> None:
    """Raise ValueError where a name stands twice."""
    name, count = max(Counter(names).items(), key=itemgetter(1), default=("", 0))
    if count > 1:
        raise ValueError(
            f"the name {name!r} stands for {count} arrays; rename a key, so that the joined keys "
            "differ"
        )


def held(
    structures: Sequence[Structure], listed: bool, params: object
) -> tuple[list[Container], list[tuple[str, object]]]:
    """Return what holds the arrays of parameters, and each array behind the expression for it.

    Parameters
    ----------
    structures
        Of each group, where `listed`; else the one of all.
    listed
        Whether `params` is a list of groups.
    params
        What an optimizer was given.

    Raises
    ------
    ValueError
        If something is not there any more.
    """
    groups: Template = [{"params": structure._template} for structure in structures]
    containers: list[Container] = []
    leaves: list[tuple[str, object]] = []
    _hold(groups if listed else structures[0]._template, params, "params", containers, leaves)
    return containers, leaves


def _hold(
    template: Template,
    tree: Any,
    where: str,
    containers: list[Container],
    leaves: list[tuple[str, object]],
) -> None:
    if isinstance(template, str):
        leaves.append((where, tree))
        return
    keys: list[Any] = list(template if isinstance(template, dict) else range(len(template)))
    children: list[Any] = []
    for key, child in zip(keys, _children(template), strict=True):
        at = f"{where}[{key!r}]"
        # Asked first: to look a key up may make one, in a defaultdict.
        if isinstance(template, dict):
            there = isinstance(tree, Mapping) and key in tree
        else:
            there = isinstance(tree, list | tuple) and key < len(tree)
        if not there:
            raise ValueError(
                f"{at} is not there any more, but this optimizer still steps it; put it back, or "
                "make another optimizer over params"
            )
        children.append(tree[key])
        _hold(child, children[-1], at, containers, leaves)
    if not isinstance(tree, tuple):  # in which nothing can be replaced
        containers.append((tree, keys, children))


class _KeysDiffer(ValueError):
    """A dict has other keys than the structure: `found` of these, and whether it lacks some."""

    def __init__(self, message: str, found: int, lacks: bool) -> None:
        super().__init__(message)
        self.found = found
        self.lacks = lacks


def _template(tree: object, name: str | None, first: int = 0) -> Template:
    def inner(key: object) -> str:
        joined = str(key) if name is None else f"{name}.{key}"
        # Halves of surrogate pairs, as in odd file names, are no text to the core.
        return joined.encode(errors="backslashreplace").decode()

    if isinstance(tree, Mapping):
        return {key: _template(child, inner(key)) for key, child in tree.items()}
    if isinstance(tree, list | tuple):
        children = [_template(child, inner(first + i)) for i, child in enumerate(tree)]
        return tuple(children) if isinstance(tree, tuple) else children
    return str(first) if name is None else name


def _children(template: Template) -> Iterable[Template]:
    if isinstance(template, str):
        return ()
    return template.values() if isinstance(template, dict) else template


def _names(template: Template) -> Iterable[str]:
    if isinstance(template, str):
        yield template
    for child in _children(template):
        yield from _names(child)


def _holds_dict(template: Template) -> bool:
    return isinstance(template, dict) or any(map(_holds_dict, _children(template)))


def _key(key: Hashable, child: Template, d: bool) -> Hashable:
    """Return the key that stands for `key`; only an innermost one carries the ``d``."""
    return f"d{key}" if d and not _holds_dict(child) else key


def _interned(key: Hashable) -> Hashable:
    """Return a string as the one object that literals in a program are: found without comparing."""
    return sys.intern(key) if type(key) is str else key


def _collect(template: Template, tree: object, d: bool, where: str, leaves: list[Any]) -> None:
    if isinstance(template, str):
        leaves.append(tree)
    elif isinstance(template, dict):
        if not isinstance(tree, Mapping):
            raise TypeError(
                f"{where} must be a dict with the keys {_listed(template)}, "
                f"got {type(tree).__name__}"
            )
        expected = {_key(key, child, d): child for key, child in template.items()}
        missing = [key for key in expected if key not in tree]
        unexpected = [key for key in tree if key not in expected]
        if missing:
            parts = [
                f"{where} must have the keys {_listed(expected)}",
                f"missing: {_listed(missing)}",
            ]
            parts += [f"unexpected: {_listed(unexpected)}"] if unexpected else []
            raise _KeysDiffer("; ".join(parts), len(expected) - len(missing), True)
        if unexpected:
            raise _KeysDiffer(
                f"{where} has keys of no parameter: {_listed(unexpected)}; leave them out: "
                f"{{key: {where}[key] for key in [{_listed(expected)}]}}",
                len(expected),
                False,
            )
        for key, child in expected.items():
            try:
                entry = tree[key]
            except KeyError:
                raise ValueError(
                    f"{where} contains the key {key!r}, but does not give it"
                ) from None
            _collect(child, entry, d, f"{where}[{key!r}]", leaves)
    else:
        if not isinstance(tree, list | tuple):
            several = hasattr(type(tree), "__iter__") and not hasattr(type(tree), "__array__")
            raise TypeError(
                f"{where} must be a list or tuple of {len(template)} entries, "
                f"got {type(tree).__name__}{'; pass list(...) of it' if several else ''}"
            )
        if len(tree) != len(template):
            raise ValueError(f"{where} must have {len(template)} entries, got {len(tree)}")
        for i, (child, entry) in enumerate(zip(template, tree, strict=True)):
            _collect(child, entry, d, f"{where}[{i}]", leaves)


def _listed(keys: Iterable[object]) -> str:
    return ", ".join(map(repr, keys))
