"""Values of any type that somebody may pass, what takes them, and how an answer has to look.

`PLAIN` and `DEEP` make odd values that behave; `HOSTILE` makes objects whose special methods raise or
return nonsense. They are lists of makers, so that every test gets objects of its own. `OPTIMIZERS`
and `FUNCTIONS` are all that the package has: a new one is tried without being named here.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

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
    lambda: gs.by_name({"a": np.ones(2, np.float32)}, {"a": {"weight_decay": 0.1}}),
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
    # In NumPy's words where somebody asked an array whether it is true.
    if behaves and (not re.search(named, str(error)) or "truth value of an" in str(error)):
        raise AssertionError(f"does not name {named}: {error!r}") from error


# --- what takes them --------------------------------------------------------------------------

Kind = type[gs.Optimizer]
Function = TypeVar("Function", bound=Callable[..., Any])


def _cached(function: Function) -> Function:
    # Said so for mypy, which takes no class for hashable.
    return functools.cache(function)  # type: ignore[return-value]


def _optimizers(module: Any) -> list[Kind]:
    found = [getattr(module, name) for name in module.__all__]
    return [
        each
        for each in found
        if inspect.isclass(each) and issubclass(each, gs.Optimizer) and each is not gs.Optimizer
    ]


OWN = _optimizers(gs)
OTHERS = [
    kind
    for module in (gs.compat.torch, gs.compat.keras, gs.compat.optax)
    for kind in _optimizers(module)
]
OPTIMIZERS = OWN + OTHERS
FUNCTIONS: list[Callable[..., None]] = [
    getattr(gs.functional, name) for name in gs.functional.__all__
]
# What all optimizers take besides hyperparameters, and what functions take.
STEP_OPTIONS = ["max_norm", "clip_value", "nonfinite", "average"]
FUNCTION_OPTIONS = ["scale", "max_norm", "clip_value", "nonfinite"]
# What the core is told, by its own names.
CORE_NUMBERS = [
    "lr", "beta", "beta1", "beta2", "dampening", "momentum", "eps", "eps_root", "weight_decay",
    "lr_decay", "momentum_decay", "threshold", "initial_v",
]  # fmt: skip
CORE_FLAGS = [
    "bias_correction", "maximize", "decoupled", "rate_in_buffer", "undamped_start",
    "uncorrected_eps", "uncorrected_m", "uncorrected_v", "looks_ahead", "rectified",
]  # fmt: skip
# What Keras's optimizers take with the values alone that change nothing.
NEUTRAL = [*gs.compat.keras._NEUTRAL]


@_cached
def arguments_of(call: Callable[..., Any]) -> list[str]:
    """Return the names of what may be given besides parameters."""
    return [name for name in inspect.signature(call).parameters if name not in ("params", "d")]


@_cached
def arrays_of(function: Callable[..., None]) -> list[str]:
    """Return the names of the arrays that a function needs."""
    parameters = inspect.signature(function).parameters.values()
    needed = [each.name for each in parameters if each.default is each.empty]
    return [name for name in needed if name not in ("lr", "t")]


def over(kind: Kind, params: Any, **options: Any) -> Any:
    """Return an optimizer over `params`, with a rate where one is needed."""
    rate = inspect.signature(kind).parameters.get("learning_rate")
    if rate is not None and rate.default in (rate.empty, None):
        options = {"learning_rate": 0.1, **options}
    return kind(params, **options)


@_cached
def variants(kind: Kind) -> list[dict[str, Any]]:
    """Return the choices that go together, so that each rule and its flags are among them."""
    choices: dict[str, Any] = {"momentum": 0.5}
    choices |= dict.fromkeys(("nesterov", "centered", "amsgrad", "bias_correction"), True)
    choices |= dict.fromkeys(("decoupled_weight_decay", "maximize"), True)
    choices |= dict.fromkeys(("eps_in_sqrt", "bias_correction_mu", "bias_correction_nu"), False)
    names = [name for name in choices if name in arguments_of(kind)]
    found = []
    for n in range(len(names) + 1):
        for chosen in itertools.combinations(names, n):
            options = {name: choices[name] for name in chosen}
            try:
                over(kind, np.ones(1), **options)
            except ValueError:  # PyTorch's Nesterov without momentum
                continue
            found.append(options)
    return found


# The core's rules, in which each of them steps.
RULES = sorted(
    {over(kind, np.ones(1), **v).groups[0].rule for kind in OPTIMIZERS for v in variants(kind)}
    | {"ewa"}
)


def following(kind: Kind, schedule: Callable[[int], float]) -> dict[str, Any]:
    """Return options by which every hyperparameter that may follow a schedule follows this one."""
    options: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        default = parameter.default
        if isinstance(default, tuple):
            options[name] = (schedule,) * len(default)
        elif name in NEUTRAL or name.startswith("initial"):  # which are numbers
            continue
        elif type(default) in (float, int) or (
            name in ("learning_rate", "momentum", "dampening", "weight_decay")
        ):
            options[name] = schedule
    return options
