"""Trees of plain values and arrays <-> what JSON knows, with the arrays beside it by name.

How both lie in a file is in archive.py; which trees there are, and what they mean, in checkpoint.py.
"""

from __future__ import annotations

import array
import json
import math
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

import numpy as np

import gradstep._core as _core
from gradstep._typing import Array

# What is kept of dtypes: those that need no pickle and are the same everywhere.
DTYPES = frozenset(
    {"|b1", "|i1", "|u1"}
    | {order + code for order in "<>" for code in ("i2", "i4", "i8", "u2", "u4", "u8")}
    | {order + code for order in "<>" for code in ("f2", "f4", "f8", "c8", "c16")}
)
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# A value that holds itself reaches any depth; far above that of any state, far below the recursion
# that an interpreter bears.
_DEPTH = 64
# Where Python itself stops by default, because reading more takes quadratic time.
_DIGITS = 4300
_TOO_LONG = 10**_DIGITS
# Lists and dicts that stand in several places are kept as often. Where each of 40 lists holds the next
# one twice, that has no end.
_REPEATS = 2**20
# Characters of a key that are kept in the name of an array.
_LONGEST = 100
_PLAIN = frozenset({type(None), bool, int, float, str})
_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")
# What to keep of objects that hold a random state.
_ADVICE: list[tuple[type, str]] = [
    (np.random.Generator, "keep generator.bit_generator.state, and set that after loading"),
    (np.random.BitGenerator, "keep generator.state, and set that after loading"),
    (np.random.RandomState, "keep generator.get_state(), and call its set_state() after loading"),
    (random.Random, "keep generator.getstate(), and call its setstate() after loading"),
]


def is_array(value: object) -> bool:
    """Whether a value is an array, of NumPy or of another package."""
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        return False
    return isinstance(value, memoryview | array.array) or any(
        hasattr(type(value), protocol) for protocol in _PROTOCOLS
    )


def leaves(tree: object) -> list[Any]:
    """Return one value of each type in a tree, lists, tuples and dicts aside."""
    found: dict[type, Any] = {}
    seen: dict[int, Any] = {}  # as a tree may hold one list in many places, or itself
    left = [tree]
    while left:
        value = left.pop()
        if type(value) in found or id(value) in seen:
            continue
        if isinstance(value, Mapping | list | tuple):
            seen[id(value)] = value
            left.extend(value.values() if isinstance(value, Mapping) else value)
        else:
            found[type(value)] = value
    return [*found.values()]


def advice(value: object) -> str:
    """Return what to do with an object that a checkpoint cannot hold as it is."""
    for kind, what in _ADVICE:
        if isinstance(value, kind):
            return what
    if not isinstance(value, type) and callable(getattr(value, "state_dict", None)):
        return "keep its state_dict()"
    return "convert it first"


class Encoder:
    """Turns trees to what JSON knows, and gathers their arrays under names that stand once."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._containers: set[int] = set()
        self._repeats = 0
        self._tried: Counter[str] = Counter()

    def encode(self, value: object, *path: str) -> Any:
        """Return `value`, which lies at `path`, as JSON knows it.

        Raises
        ------
        TypeError
            If something in it is neither a plain value nor an array of numbers or truth values.
        ValueError
            If it holds itself or is too deep, or a number is too long.
        """
        if len(path) > _DEPTH:
            raise ValueError(
                f"{_where(path[:4])} holds itself, or is nested more than {_DEPTH} deep; flatten it"
            )
        if type(value) in _PLAIN:  # first, as most are
            return _plain(value, path)
        if isinstance(value, np.ndarray):
            return {"$array": self._add(value, path)}
        if isinstance(value, np.generic):
            return {"$scalar": [_dtype(value, path), value.tobytes().hex()]}
        if isinstance(value, tuple):
            return {"$tuple": self._list(value, path)}
        if isinstance(value, list):
            return self._list(value, path)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if is_array(value):
            return {"$array": self._add(_core.as_array(value, _where(path)), path)}
        raise TypeError(
            f"{_where(path)} is of type {type(value).__name__}, expected None, bool, int, float, str, "
            "a number of NumPy, an array, or a list, tuple or dict of these; " + advice(value)
        )

    def _list(self, values: list[Any] | tuple[Any, ...], path: tuple[str, ...]) -> list[Any]:
        self._count(values, path)
        # Long histories are of floats, mostly.
        return [
            value
            if type(value) is float and math.isfinite(value)
            else self.encode(value, *path, str(i))
            for i, value in enumerate(values)
        ]

    def _count(self, container: object, path: tuple[str, ...]) -> None:
        self._repeats += id(container) in self._containers and container != ()
        self._containers.add(id(container))
        if self._repeats > _REPEATS:
            raise ValueError(
                f"{_where(path[:1])} holds the same lists or dicts more than {_REPEATS} times, and "
                "each would be kept as often; copy what differs, or keep it once"
            )

    def _mapping(self, mapping: Mapping[Any, Any], path: tuple[str, ...]) -> Any:
        self._count(mapping, path)
        if all(map(_is_name, mapping)):
            return {key: self.encode(value, *path, key) for key, value in mapping.items()}
        return {
            "$dict": [
                [_encode_key(key, path), self.encode(value, *path, str(key))]
                for key, value in mapping.items()
            ]
        }

    def _add(self, array: Array, path: tuple[str, ...]) -> str:
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(
                f"{_where(path)} is a masked array, and its mask would be dropped; keep "
                ".filled(value), or .data and .mask"
            )
        _dtype(array, path)
        base = "/".join(map(_quoted, path))
        name = f"{base}.npy"
        while name in self.arrays:  # of 1 and "1", say, or of keys that were cut
            self._tried[base] += 1
            name = f"{base}~{self._tried[base] + 1}.npy"
        self.arrays[name] = np.asarray(array)
        return name


class Decoder:
    """Puts trees together again from what JSON knows and the arrays by name, each taken once."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.left = dict(arrays)

    def decode(self, value: Any, depth: int = 1) -> Any:
        """Return the tree that `Encoder.encode` made this of; ValueError where it made no such.

        Lists and dicts are decoded in place: another copy of them would take as much again.
        """
        if depth > _DEPTH:
            raise ValueError(f"values are nested more than {_DEPTH} deep")
        if isinstance(value, list):
            for i, entry in enumerate(value):
                if type(entry) is not float:  # as most of a long history are
                    value[i] = self.decode(entry, depth + 1)
            return value
        if isinstance(value, dict):
            marks = [key for key in value if key[:1] == "$"]
            if not marks:
                for key, child in value.items():
                    value[_text(key)] = self.decode(child, depth + 1)
                return value
            if len(value) == 1:
                return self._marked(marks[0], value[marks[0]], depth)
            raise ValueError(f"{marks[0]!r} stands beside other keys")
        return _text(value) if isinstance(value, str) else value

    def _marked(self, mark: str, content: Any, depth: int) -> Any:
        if mark == "$array" and isinstance(content, str):
            if content not in self.left:
                raise ValueError(f"the array {content!r} is not in the file, or is named twice")
            return self.left.pop(content)
        if mark == "$tuple" and isinstance(content, list):
            return tuple(self.decode(content, depth))
        if mark == "$dict" and isinstance(content, list):
            return self._dict(content, depth)
        if mark == "$float" and isinstance(content, str) and content in _NON_FINITE:
            return _NON_FINITE[content]
        if mark == "$scalar" and isinstance(content, list):
            return _scalar(content)
        if mark == "$text" and isinstance(content, str):
            return bytes.fromhex(content).decode(errors="surrogatepass")
        raise ValueError(f"a value is marked {mark!r}, with {type(content).__name__} behind it")

    def _dict(self, pairs: list[Any], depth: int) -> dict[Any, Any]:
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise ValueError("a dict is no list of keys and values")
        keys = [Decoder({}).decode(key, depth + 1) for key, _ in pairs]
        try:
            found = {
                key: self.decode(value, depth + 1)
                for key, (_, value) in zip(keys, pairs, strict=True)
            }
        except TypeError:
            raise ValueError("a key of a dict is a list or a dict") from None
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in a dict")
        return found


def to_text(tree: Any) -> bytes:
    """Write what `Encoder.encode` returned as JSON."""
    return json.dumps(tree, ensure_ascii=False, allow_nan=False).encode()


def from_text(text: memoryview) -> Any:
    """Read JSON, more strictly than the standard asks; ValueError where it is none."""
    try:
        return json.loads(
            str(text, "utf-8"),
            parse_int=_int,
            parse_float=_float,
            parse_constant=_refuse_constant,
            object_pairs_hook=_distinct,
        )
    except RecursionError:
        raise ValueError("values are nested too deeply") from None


def _plain(value: object, path: tuple[str, ...]) -> Any:
    if type(value) is int:
        if not -_TOO_LONG < value < _TOO_LONG:
            raise ValueError(f"{_where(path)} is an integer of more than {_DIGITS} digits")
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if type(value) is str:
        # Halves of surrogate pairs are no UTF-8, and JSON would join two of them.
        if _is_text(value):
            return value
        return {"$text": value.encode(errors="surrogatepass").hex()}
    return value


def _encode_key(key: object, path: tuple[str, ...]) -> Any:
    if isinstance(key, np.generic | str | int | float | tuple | None):
        return Encoder().encode(key, *path, f"key {key!r}")
    raise TypeError(
        f"{_where(path)} has a key of type {type(key).__name__}, expected str, int, float, bool, "
        "None or a tuple of these; convert it first"
    )


def _dtype(value: Array | np.generic, path: tuple[str, ...]) -> str:
    dtype: str = value.dtype.str
    if dtype in DTYPES and value.dtype.names is None:
        return dtype
    raise TypeError(
        f"{_where(path)} has dtype {value.dtype}, expected bool, integers, float16 to float64, "
        "complex64 or complex128; convert it with .astype(...)"
    )


def _scalar(content: list[Any]) -> np.generic:
    if len(content) != 2 or not all(isinstance(part, str) for part in content):
        raise ValueError("a scalar is no dtype and bytes")
    dtype, digits = content
    if dtype not in DTYPES:
        raise ValueError(f"a scalar has the dtype {dtype!r}")
    data = bytes.fromhex(digits)
    if len(data) != np.dtype(dtype).itemsize:
        raise ValueError(f"a scalar of dtype {dtype!r} has {len(data)} bytes")
    if dtype == "|b1" and data > b"\1":
        raise ValueError("a truth value is neither 0 nor 1")
    scalar: np.generic = np.frombuffer(data, dtype)[0]
    return scalar


def _quoted(key: str) -> str:
    """Return a key as a part of a name that any file system takes, and that leads nowhere else."""
    quoted = quote(key[:_LONGEST], safe="", errors="surrogatepass")[:_LONGEST]
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted


def _where(path: tuple[str, ...]) -> str:
    return ".".join(path).encode(errors="backslashreplace").decode()


def _is_name(key: object) -> bool:
    """Whether a key can stand in JSON as it is; what begins with $ is a mark."""
    return type(key) is str and key[:1] != "$" and _is_text(key)


def _is_text(value: str) -> bool:
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: str) -> str:
    if not _is_text(value):
        raise ValueError("a text holds half of a surrogate pair")
    return value


def _int(digits: str) -> int:
    if len(digits) > _DIGITS + 1:
        raise ValueError(f"an integer has more than {_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:20]} is beyond any float")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
