"""Values of any type that somebody may pass, and what an answer to them has to look like.

`PLAIN` and `DEEP` make odd values that behave; `HOSTILE` makes objects whose special methods raise or
return nonsense. They are lists of makers, so that every test gets objects of its own.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

import gradstep as gs

Maker = Callable[[], Any]


class OwnError(Exception):
    """What an object of the user's raises. It passes through the package unchanged."""


class SpeakingMapping(Mapping[Any, Any]):
    """A mapping that lies: about its length, about its keys, from one look to the next."""

    def __init__(self, *looks: dict[Any, Any]) -> None:
        self._looks = list(looks)

    def _look(self) -> dict[Any, Any]:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._look()[key]
        except (KeyError, TypeError):
            raise OwnError(key) from None

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._look()))

    def __len__(self) -> int:
        return 7

    def __contains__(self, key: object) -> bool:
        return True


class ArraySubclass(np.ndarray[Any, np.dtype[Any]]):
    """An array of another class."""


class ListSubclass(list[Any]):
    """A list that says it is shorter than it is."""

    def __len__(self) -> int:
        return 1


def _cyclic_list() -> Any:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _cyclic_dict() -> Any:
    cycle: dict[str, Any] = {}
    cycle["again"] = cycle
    return cycle


def _deep(wrap: Callable[[Any], Any], levels: int = 3000) -> Any:
    tree: Any = np.ones(2, np.float32)
    for _ in range(levels):
        tree = wrap(tree)
    return tree


DTYPES = [np.dtype(code) for code in "?bBhHiIlLqQefdgFDGOSUV"] + [
    np.dtype(name) for name in ("S3", "U3", "V5", "M8[s]", "m8[s]", ">f4", ">f8", "f4,i4")
]


def _array(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Maker:
    return lambda: np.zeros(shape, dtype)


def _scalar(dtype: np.dtype[Any]) -> Maker:
    return lambda: np.zeros((), dtype)[()]


def _is(value: Any) -> Maker:
    return lambda: value


NUMBERS: list[Maker] = [
    *map(_is, (0, 1, -1, 2, 3, 64, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**400, -(10**400))),
    *map(_is, (10**5000, 0.0, -0.0, 0.1, 0.5, 0.9, 1.0, -0.1, 1e300, 1e-320, 5e-324)),
    *map(_is, (float("nan"), float("inf"), float("-inf"), 1j, complex("nan"))),
    *map(_is, (True, False, np.True_, np.False_)),
    *map(_is, (Fraction(1, 3), Fraction(10**400), Decimal("0.1"), Decimal("1e999"))),
    *map(_is, (Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"))),
    *map(_is, (np.longdouble("1e4000"), np.datetime64("NaT"), np.timedelta64(1, "s"))),
    *(_scalar(dtype) for dtype in DTYPES),
    *(_array(dtype, shape) for dtype in DTYPES for shape in ((), (1,), (2,), (0,))),
]

PLAIN: list[Maker] = [
    *NUMBERS,
    *map(_is, (None, ..., NotImplemented, "", "0.1", "nan", "\ud800", "x\0y", b"", b"0.1")),
    *map(_is, ((), (0.9,), (0.9, 0.99), (0.9, 0.99, 0.999), ("a", "b"), (None, 0.9), range(2))),
    *map(_is, (int, float, datetime.date(2020, 1, 1), object(), slice(2), frozenset())),
    lambda: bytearray(b"0.1"),
    lambda: memoryview(b"abcd"),
    list,
    dict,
    set,
    lambda: [0.9, 0.999],
    lambda: [[0.9], 0.999],
    lambda: {"a": 1},
    lambda: iter(()),
    lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    lambda: np.ones(2, np.float32).view(ArraySubclass),
    lambda: np.ones((1, 1)),
    lambda: np.broadcast_to(np.float32(1), (3,)),
    lambda: gs.schedules.Constant(0.1),
    lambda: np.random.default_rng(0),
    lambda: np.random.SeedSequence(0),
    lambda: lambda n: 0.1,
    *((lambda value=value: lambda *a, **k: value()) for value in NUMBERS),
    lambda: lambda n: None,
    lambda: lambda n: "0.1",
    _cyclic_list,
    _cyclic_dict,
]

# Apart, for they take their time.
DEEP: list[Maker] = [
    lambda: _deep(lambda tree: [tree]),
    lambda: _deep(lambda tree: (tree,)),
    lambda: _deep(lambda tree: {"a": tree}),
]

METHODS = [
    "__float__",
    "__index__",
    "__int__",
    "__call__",
    "__eq__",
    "__hash__",
    "__len__",
    "__iter__",
    "__bool__",
    "__repr__",
    "__str__",
    "__getitem__",
    "__contains__",
    "__lt__",
    "__array__",
    "__array_interface__",
    "__array_struct__",
    "__dlpack__",
    "keys",
    "__complex__",
    "__getattr__",
    "items",
    "__name__",
    "dtype",
    "ndim",
    "shape",
    "mask",
    "__copy__",
    "__deepcopy__",
]


def hostile(method: str, result: Maker | None, base: type) -> type:
    """Return a class with one special method: it raises where there is no result to return."""

    def speak(self: Any, *arguments: Any, **options: Any) -> Any:
        if result is None:
            raise OwnError(method)
        return result()

    return type("Hostile", (base,), {method: speak})


HOSTILE: list[Maker] = [
    # As schedules they refuse a count, in words of their own.
    _is(gs.Adam),
    lambda: lambda: 0.1,
    *(
        hostile(method, result, base)
        for method in METHODS
        for base in (object, float, int, str, list, dict)
        for result in (None, _is("nonsense"), _is(-1), _is(None), list)
    ),
    lambda: SpeakingMapping({"a": np.ones(2, np.float32)}, {"b": np.ones(2, np.float32)}),
    lambda: SpeakingMapping({}, {"a": np.ones(2, np.float32)}),
    lambda: ListSubclass([np.ones(2, np.float32), np.ones(2, np.float32)]),
]

OURS = (TypeError, ValueError, OverflowError, RecursionError, RuntimeError, NotImplementedError)


def require_clear(error: Exception, named: str, behaves: bool) -> None:
    """Require of a refusal that it is of a documented kind, and says what it is about.

    What a hostile object returned may be refused by Python itself, in Python's words.
    """
    if isinstance(error, OwnError):
        return
    if type(error) not in OURS:
        raise AssertionError(f"not an error of ours: {error!r}") from error
    if behaves and not re.search(named, str(error)):
        raise AssertionError(f"does not name {named}: {error!r}") from error
