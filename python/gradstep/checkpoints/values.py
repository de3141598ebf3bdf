"""Values of a checkpoint <-> JSON and named arrays. A value is a tree of plain values and arrays.

How JSON and arrays lie in a file is in archive.py. Which values there are is in parts.py.
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

# The dtypes that can be saved: they need no pickle and are the same on every machine.
DTYPES = frozenset(
    {"|b1", "|i1", "|u1"}
    | {order + code for order in "<>" for code in ("i2", "i4", "i8", "u2", "u4", "u8")}
    | {order + code for order in "<>" for code in ("f2", "f4", "f8", "c8", "c16")}
)
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# The largest depth, which a value that holds itself exceeds: far above that of any state, and far below
# the recursion limit of an interpreter.
_DEPTH = 64
# Python's own limit by default, because reading more digits takes quadratic time.
_DIGITS = 4300
_TOO_LONG = 10**_DIGITS
# A list or dict that stands in several places is saved as often. If each of 40 lists held the next one
# twice, that would not end.
_REPEATS = 2**20
# The characters of a key that go into the name of an array.
_LONGEST = 100
_PLAIN = frozenset({type(None), bool, int, float, str})
_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")
# What to save of objects that have a random state.
_ADVICE: list[tuple[type, str]] = [
    (np.random.Generator, "save generator.bit_generator.state, and set that after loading"),
    (np.random.BitGenerator, "save generator.state, and set that after loading"),
    (np.random.RandomState, "save generator.get_state(), and call its set_state() after loading"),
    (random.Random, "save generator.getstate(), and call its setstate() after loading"),
]


def is_array(value: object) -> bool:
    """Whether a value is an array, of NumPy or of another package."""
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        return False
    return isinstance(value, memoryview | array.array) or any(
        hasattr(type(value), protocol) for protocol in _PROTOCOLS
    )


def leaves(tree: object) -> list[Any]:
    """Return one leaf of each type in a tree of lists, tuples and dicts."""
    found: dict[type, Any] = {}
    seen: dict[int, Any] = {}  # a tree may hold one list in many places, or itself
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
    """Return the fix for an object that a checkpoint cannot hold as it is."""
    for kind, what in _ADVICE:
        if isinstance(value, kind):
            return what
    if not isinstance(value, type) and callable(getattr(value, "state_dict", None)):
        return "save its state_dict()"
    return "convert it first"


class Encoder:
    """Turns values into JSON, and gathers their arrays under distinct names."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._containers: set[int] = set()
        self._repeats = 0
        self._tried: Counter[str] = Counter()

    def encode(self, value: object, *path: str) -> Any:
        """Return `value`, which is at `path`, in the types of JSON.

        Raises
        ------
        TypeError
            If something in it is neither a plain value nor an array of numbers or truth values.
        ValueError
            If it holds itself or is too deep, or a number is too long.
        """
        if len(path) > _DEPTH:
            raise ValueError(
                f"{_where(path[:4])} must be nested at most {_DEPTH} deep, got more, or a value that "
                "holds itself; flatten it"
            )
        if type(value) in _PLAIN:  # first, as most values are
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
            f"{_where(path)} must be None, bool, int, float, str, a number of NumPy, an array, or a "
            f"list, tuple or dict of these, got {type(value).__name__}; {advice(value)}"
        )

    def _list(self, values: list[Any] | tuple[Any, ...], path: tuple[str, ...]) -> list[Any]:
        self._count(values, path)
        # Long histories are mostly floats.
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
                f"{_where(path[:1])} must repeat its lists and dicts at most {_REPEATS} times, got "
                "more, and each would be saved as often; save it once"
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
                f"{_where(path)} must be an array without a mask, got a masked array; save "
                ".filled(value), or .data and .mask"
            )
        _dtype(array, path)
        base = "/".join(map(_quoted, path))
        name = f"{base}.npy"
        while name in self.arrays:  # for example of 1 and "1", or of keys that were cut
            self._tried[base] += 1
            name = f"{base}~{self._tried[base] + 1}.npy"
        self.arrays[name] = np.asarray(array)
        return name


class Decoder:
    """Makes values from JSON and the arrays by name, each of which is taken once."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.left = dict(arrays)

    def decode(self, value: Any, depth: int = 1) -> Any:
        """Return the value that `Encoder.encode` turned into this; ValueError if it cannot have.

        Lists and dicts are decoded in place: copies would take as much memory again.
        """
        if depth > _DEPTH:
            raise ValueError(f"values are nested more than {_DEPTH} deep")
        if isinstance(value, list):
            for i, entry in enumerate(value):
                if type(entry) is not float:  # most of a long history are
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
            raise ValueError("a dict is not a list of keys and values")
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


def to_text(encoded: Any) -> bytes:
    """Return the result of `Encoder.encode` as the text of JSON."""
    return json.dumps(encoded, ensure_ascii=False, allow_nan=False).encode()


def from_text(text: memoryview) -> Any:
    """Read JSON, more strictly than the standard; ValueError if it is not valid."""
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
            raise ValueError(
                f"{_where(path)} must have at most {_DIGITS} digits, got a longer integer"
            )
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if type(value) is str:
        # Halves of surrogate pairs are not UTF-8, and JSON would join two of them.
        if _is_text(value):
            return value
        return {"$text": value.encode(errors="surrogatepass").hex()}
    return value


def _encode_key(key: object, path: tuple[str, ...]) -> Any:
    if isinstance(key, np.generic | str | int | float | tuple | None):
        return Encoder().encode(key, *path, f"key {key!r}")
    raise TypeError(
        f"keys of {_where(path)} must be str, int, float, bool, None or tuples of these, got "
        f"{type(key).__name__}; convert them first"
    )


def _dtype(value: Array | np.generic, path: tuple[str, ...]) -> str:
    dtype: str = value.dtype.str
    if dtype in DTYPES and value.dtype.names is None:
        return dtype
    raise TypeError(
        f"{_where(path)} must have bool, integers, float16 to float64, complex64 or complex128, got "
        f"{value.dtype}; convert it with .astype(...)"
    )


def _scalar(content: list[Any]) -> np.generic:
    if len(content) != 2 or not all(isinstance(part, str) for part in content):
        raise ValueError("a scalar is not a dtype and bytes")
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
    """Return a key as part of a name that every file system takes, and that leaves no folder."""
    quoted = quote(key[:_LONGEST], safe="", errors="surrogatepass")[:_LONGEST]
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted


def _where(path: tuple[str, ...]) -> str:
    return ".".join(path).encode(errors="backslashreplace").decode()


def _is_name(key: object) -> bool:
    """Whether a key can stand in JSON as it is; a key that begins with $ is a mark."""
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
    raise ValueError(f"{name} is not a number of JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
