"""`inspect`: a table of the contents of a checkpoint, for people.

Reading and checking the file is in archive.py. The command line is in gradstep/__main__.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

import gradstep.checkpoints.archive as archive
import gradstep.checkpoints.atomic_file as atomic_file
import gradstep.checkpoints.values as values

_WIDTH = 60  # characters of a plain value that are shown


class Entry(NamedTuple):
    """One line of the table: an array, or a plain value without arrays."""

    part: str
    name: str  # within the part, its keys joined by dots; "" for the part itself
    dtype: str | None  # None for a plain value
    shape: tuple[int, ...] | None
    bytes: int
    value: Any  # None for an array


class Inspection(NamedTuple):
    """The contents of a checkpoint, from `inspect`. As text it is a table.

    Attributes
    ----------
    path : str
        The file.
    bytes : int
        Its size.
    gradstep : str
        The version that wrote it.
    parts : dict
        The kind of each part: "state" (of an object), "arrays" (a flat dict), "plain" (no arrays) or
        "tree" (all others).
    entries : list
        One for each array, and for each plain value without arrays: its part, name, dtype, shape,
        bytes and value.

    Examples
    --------
    >>> import os, tempfile
    >>> import gradstep as gs
    >>> path = os.path.join(tempfile.mkdtemp(), "run.ckpt")
    >>> gs.save(path, epoch=3)
    >>> found = gs.inspect(path)
    >>> isinstance(found, gs.Inspection), found.parts
    (True, {'epoch': 'plain'})
    """

    path: str
    bytes: int
    gradstep: str  # the version that wrote the file
    parts: dict[str, str]  # the kind of each part
    entries: list[Entry]

    def __str__(self) -> str:
        arrays = sum(entry.dtype is not None for entry in self.entries)
        title = (
            f"{_printable(self.path)}: {_counted(len(self.parts), 'part')}, "
            f"{_counted(arrays, 'array')}, {self.bytes:,} bytes, by gradstep "
            f"{_printable(self.gradstep)}, checksum right"
        )
        rows = [("part", "name", "dtype", "shape", "bytes"), *map(_row, self.entries)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join([title, "", *lines])

    def __repr__(self) -> str:
        return str(self)


def inspect(path: atomic_file.StrPath) -> Inspection:
    """List the contents of a checkpoint, and verify its checksum.

    Parameters
    ----------
    path : str, bytes or path
        The file.

    Returns
    -------
    Inspection
        A table when printed; its attributes `parts` and `entries` have the same as data.

    Raises
    ------
    ValueError
        If the file is damaged, is not a checkpoint or needs a newer version.
    OSError
        If the system refuses to read it.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, gradstep as gs
    >>> path = os.path.join(tempfile.mkdtemp(), "run.ckpt")
    >>> gs.save(path, params={"W": np.ones((2, 3))}, epoch=3)
    >>> [(entry.part, entry.name, entry.shape, entry.value) for entry in gs.inspect(path).entries]
    [('params', 'W', (2, 3), None), ('epoch', '', None, 3)]
    """
    data = atomic_file.read_whole(path)
    contents = archive.parse(data, repr(atomic_file.text(path)))
    entries = [
        entry for name, part in contents.parts.items() for entry in _entries(name, part.value)
    ]
    kinds = {name: part.kind for name, part in contents.parts.items()}
    return Inspection(atomic_file.text(path), len(data), contents.gradstep, kinds, entries)


def _entries(part: str, value: Any, *keys: str) -> Iterator[Entry]:
    """List the arrays of a value, and between them the largest pieces without arrays."""
    name = ".".join(keys)
    if isinstance(value, np.ndarray):
        yield Entry(part, name, str(value.dtype), value.shape, value.nbytes, None)
    elif _holds_array(value):
        for key, child in _children(value):
            yield from _entries(part, child, *keys, str(key))
    else:
        yield Entry(part, name, None, None, 0, value)


def _holds_array(value: Any) -> bool:
    return any(isinstance(leaf, np.ndarray) for leaf in values.leaves(value))


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def _row(entry: Entry) -> tuple[str, ...]:
    named = _printable(entry.part), _printable(entry.name)
    if entry.dtype is None:
        text = _printable(repr(entry.value)[: _WIDTH + 1])
        return *named, "", text if len(text) <= _WIDTH else f"{text[:_WIDTH]}...", ""
    return *named, entry.dtype, str(entry.shape), f"{entry.bytes:,}"


def _printable(text: str) -> str:
    """Return a text without characters that control a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
