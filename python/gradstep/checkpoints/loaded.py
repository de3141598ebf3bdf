"""The result of `load`: the parts that it returns, and why it does not return others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from gradstep.names import FixedAttributes


class Loaded(FixedAttributes, dict[str, Any]):
    """The parts of a checkpoint that `load` returns, by name.

    These are plain values, trees that mix them with arrays, and the parts that were asked for with
    None. Any other name is a KeyError that says how to get the part.

    Attributes
    ----------
    missing : list of str
        With ``strict=False``, parts that were asked for and are not in the file or did not fit.
    unexpected : list of str
        With ``strict=False``, parts of the file that were not loaded.

    Examples
    --------
    >>> import os, tempfile
    >>> import gradstep as gs
    >>> path = os.path.join(tempfile.mkdtemp(), "run.ckpt")
    >>> gs.save(path, epoch=3)
    >>> loaded = gs.load(path)
    >>> isinstance(loaded, gs.Loaded), loaded["epoch"], loaded.missing
    (True, 3, [])
    """

    __slots__ = ("_left", "missing", "unexpected")

    def __init__(
        self, parts: Mapping[str, Any] | None = None, left: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(parts or {})
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self._left = dict(left or {})  # why the other parts of the file are not here

    def __missing__(self, name: object) -> NoReturn:
        listed = ", ".join([*self, *self._left]) or "no parts"
        why = self._left.get(name) if isinstance(name, str) else None
        raise KeyError(why or f"the file has no part {name!r}; it has {listed}")


def with_own_arrays(value: Any) -> Any:
    """Return a tree with copies of its arrays. Its lists and dicts are changed in place."""
    if isinstance(value, np.ndarray):
        return value.copy(order="K")
    if isinstance(value, tuple):
        return tuple(map(with_own_arrays, value))
    places = enumerate(value) if isinstance(value, list) else ()
    for key, child in value.items() if isinstance(value, dict) else places:
        value[key] = with_own_arrays(child)
    return value


def why_not_returned(name: str, kind: str, given: bool) -> str:
    """Return why `load` did not return a part, and how to get it."""
    if given:
        return (
            f"load was given an object to load {name} into; gs.load(path, {name}=None) returns it "
            "instead"
        )
    if kind == "arrays":
        return (
            f"{name} holds arrays, which load fills in place: gs.load(path, {name}={name}), or "
            f"gs.load(path, {name}=None) to get new arrays"
        )
    return (
        f"{name} is the state of an object, which load takes over: gs.load(path, {name}={name}), or "
        f"gs.load(path, {name}=None) to get the state itself"
    )
