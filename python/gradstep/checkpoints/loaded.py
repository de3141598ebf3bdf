"""What `load` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from gradstep.names import FixedAttributes


class Loaded(FixedAttributes, dict[str, Any]):
    """Parts of a checkpoint by name: those that needed nothing to load them into.

    These are plain values and trees that mix them with arrays, whether they were asked for or not,
    and what was asked for with None. Any other name is a KeyError that says how to get it.

    Attributes
    ----------
    missing : list of str
        With ``strict=False``, what was asked for and is not in the file or did not fit.
    unexpected : list of str
        With ``strict=False``, what the file has and nothing took.

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
        self._left = dict(left or {})  # why other parts of the file are not here

    def __missing__(self, name: object) -> NoReturn:
        listed = ", ".join([*self, *self._left]) or "no parts"
        why = self._left.get(name) if isinstance(name, str) else None
        raise KeyError(why or f"the file has no part {name!r}; it has {listed}")
