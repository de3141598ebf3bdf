"""What schedules share: the class, the checks of arguments, and the two that the class itself uses."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray

from gradstep._typing import Array
from gradstep.checks import is_whole, shown

Number: TypeAlias = float | np.integer[Any] | np.floating[Any]

AnySchedule: TypeAlias = Callable[[Any], float]

# An integer may well be larger, and then nothing can be computed with it.
_LARGEST = sys.float_info.max


@dataclass(frozen=True, repr=False, eq=False)
class Schedule:
    """A rate as a function of a count: the base of every schedule here.

    Called with a count, in steps unless the schedule says otherwise, it returns the rate; see
    `__call__`. A schedule times a number is a schedule, see `Scaled`. Schedules of one class with
    equal arguments are equal and hash alike.

    Examples
    --------
    >>> import gradstep as gs
    >>> isinstance(gs.schedules.Constant(0.1), gs.schedules.Schedule)
    True
    """

    # NumPy's numbers and arrays leave multiplying to `__rmul__` below.
    __array_ufunc__ = None

    # These three stand here once: making them for each class took half of the module's loading.
    def __repr__(self) -> str:
        values = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"{type(self).__qualname__}({values})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash(self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def __post_init__(self) -> None:
        """Check every argument and store it as a plain immutable value."""
        self._check()

    @overload
    def __call__(self, n: Number) -> float: ...
    @overload
    def __call__(self, n: Array) -> NDArray[np.float64]: ...
    def __call__(self, n: Number | Array) -> float | NDArray[np.float64]:
        """Return the rate at count ``n``.

        Parameters
        ----------
        n : number or numpy.ndarray
            Steps (or epochs) taken so far, from 0; may be fractional. An array is for plotting:
            it is walked in Python, element by element.

        Returns
        -------
        float or numpy.ndarray
            A Python float for a number; a float64 array of the same shape for an array.

        Raises
        ------
        TypeError
            The count is neither a number nor an array of numbers.
        ValueError
            A count is negative, NaN or infinite.
        OverflowError
            The rate at a count is beyond any float.

        Examples
        --------
        >>> import numpy as np
        >>> import gradstep as gs
        >>> halving = gs.schedules.StepDecay(0.5, factor=0.5, every=10)
        >>> halving(10)
        0.25
        >>> halving(np.array([0, 10, 20]))
        array([0.5  , 0.25 , 0.125])
        """
        if isinstance(n, np.ndarray):
            if isinstance(n, np.ma.MaskedArray):
                raise TypeError("count must be without a mask; fill it with .filled(value) first")
            return np.fromiter(map(self, n.flat), np.float64, n.size).reshape(n.shape)
        # A plain count skips the conversion: this runs once a step.
        count = n if type(n) is int or type(n) is float else number_argument("count", n)
        if not 0 <= count <= _LARGEST:
            raise ValueError(f"count must be finite and >= 0, got {shown(count)}")
        try:
            return self._rate(count)
        except OverflowError as error:
            raise OverflowError(
                f"{shown(self)} is beyond any float at count {shown(count)}: {error}"
            ) from error

    def __mul__(self, factor: Number) -> "Scaled":
        """Return this schedule with every rate multiplied by a number; see `Scaled`."""
        return Scaled(self, cast(float, factor))

    __rmul__ = __mul__

    def _check(self) -> None:
        """Check and store the arguments of a subclass."""

    def _rate(self, n: float) -> float:
        """Return the rate at a plain int or float that is finite and >= 0."""
        raise NotImplementedError(f"{type(self).__name__} has no formula: define _rate")


def number_argument(label: str, given: object) -> float:
    """Return a number as a plain int or float."""
    if is_whole(given):
        number = int(given)
        if abs(number) > _LARGEST:
            raise ValueError(f"{label} must be finite, got {shown(given)}")
        return number
    if isinstance(given, float | np.floating):
        return float(given)
    raise TypeError(f"{label} must be a number, got {shown(given)}")


def float_argument(
    label: str, given: object, least: float = 0.0, *, strictly: bool = False
) -> float:
    """Return a finite number from ``least`` up (above it, if ``strictly``) as a plain float."""
    value = float(number_argument(label, given))
    if not (least < value if strictly else least <= value) or value == math.inf:
        bound = f"{'>' if strictly else '>='} {least:g}"
        raise ValueError(f"{label} must be finite and {bound}, got {shown(given)}")
    return value


def label_of(schedule: Schedule, name: str) -> str:
    """Return what an argument of a schedule is called in errors."""
    return f"{type(schedule).__name__}: {name}"


def store(schedule: Schedule, name: str, value: object) -> None:
    """Set an argument of a frozen schedule while it is being made."""
    object.__setattr__(schedule, name, value)


def store_floats(
    schedule: Schedule, *names: str, least: float = 0.0, strictly: bool = False
) -> None:
    """Check arguments that are finite numbers, and set them as plain floats."""
    for name in names:
        given = getattr(schedule, name)
        value = float_argument(label_of(schedule, name), given, least, strictly=strictly)
        store(schedule, name, value)


def store_counts(schedule: Schedule, *names: str, least: int = 1) -> None:
    """Check arguments that are whole numbers, and set them as plain ints."""
    for name in names:
        given = getattr(schedule, name)
        label = label_of(schedule, name)
        message = f"{label} must be an integer >= {least}, got {shown(given)}"
        if not is_whole(given):
            raise TypeError(message)
        count = number_argument(label, given)
        if count < least:
            raise ValueError(message)
        store(schedule, name, count)


def store_tuple(schedule: Schedule, name: str, convert: Callable[[str, object], object]) -> None:
    """Check an argument that is a list, entry by entry, and set it as a tuple."""
    given = getattr(schedule, name)
    label = label_of(schedule, name)
    listed = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    if not listed and not (isinstance(given, np.ndarray) and given.ndim > 0):
        raise TypeError(f"{label} must be a list or tuple, got {shown(given)}")
    store(schedule, name, tuple(convert(f"{label}[{i}]", x) for i, x in enumerate(given)))


def store_pieces(schedule: Schedule, name: str, convert: Callable[[str, object], object]) -> None:
    """Store ``boundaries`` and the argument that has one piece more than they."""
    store_tuple(schedule, "boundaries", number_argument)
    store_tuple(schedule, name, convert)
    boundaries, pieces = (getattr(schedule, field) for field in ("boundaries", name))
    if not all(a < b for a, b in zip((0, *boundaries), (*boundaries, math.inf), strict=True)):
        raise ValueError(
            f"{label_of(schedule, 'boundaries')} must be finite, > 0 and strictly increasing, "
            f"got {boundaries}"
        )
    if len(pieces) != len(boundaries) + 1:
        raise ValueError(
            f"{label_of(schedule, name)} must be one more than the boundaries, "
            f"got {len(pieces)} for {len(boundaries)} boundaries"
        )


def as_schedule(label: str, given: object) -> AnySchedule:
    """Return a schedule: the callable as it is, a plain number as Constant."""
    if callable(given):
        return given
    if is_whole(given) or isinstance(given, float | np.floating):
        return Constant(float_argument(label, given))
    raise TypeError(f"{label} must be a schedule, a callable or a number, got {shown(given)}")


def rate_of(schedule: AnySchedule, n: float) -> float:
    """Return the rate of a schedule that may be anybody's callable."""
    rate = schedule(n)
    if type(rate) is float:
        return rate
    try:
        looked_at = np.asarray(rate)
        # Text and complex numbers would be made floats of, the latter with a warning at most.
        if looked_at.ndim == 0 and looked_at.dtype.kind in "iufO":
            return float(rate)
    except (TypeError, ValueError, OverflowError) as error:
        raise no_rate(schedule, rate, n) from error
    raise no_rate(schedule, rate, n)


def no_rate(schedule: AnySchedule, rate: object, n: float) -> TypeError:
    """Return the error for a schedule that returned something else than a number."""
    return TypeError(f"{shown(schedule)} must return a number, got {shown(rate)} at count {n}")


def product(rate: float, factor: float) -> float:
    """Multiply a rate; OverflowError where that leaves the floats, as `math.pow` raises it."""
    product = rate * factor
    if product == math.inf and rate < math.inf:
        raise OverflowError("math range error")
    return product


def whole_epochs(n: float, steps_per_epoch: int) -> float:
    """Return a count of steps as one of whole epochs; with one step per epoch, as it is."""
    return n if steps_per_epoch == 1 else n // steps_per_epoch


def mix(start: float, end: float, weight: float) -> float:
    """Return the mean of two rates; `weight` is that of `start`."""
    # Exactly start at weight 1 and exactly end at 0, which end + (start - end) * weight is not.
    return weight * start + (1.0 - weight) * end


@dataclass(frozen=True, repr=False, eq=False)
class Constant(Schedule):
    r"""Keep one rate.

    .. math:: \alpha = \alpha_0

    Parameters
    ----------
    lr : float >= 0
        The rate, :math:`\alpha_0`.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.Constant(0.1)(1000)
    0.1
    """

    lr: float

    def _check(self) -> None:
        store_floats(self, "lr")

    def _rate(self, n: float) -> float:
        return self.lr


@dataclass(frozen=True, repr=False, eq=False)
class Scaled(Schedule):
    r"""Multiply every rate of a schedule by one number.

    .. math:: \alpha = \text{factor} \cdot \text{unscaled}(n)

    ``schedule * factor`` and ``factor * schedule`` make it, so ``group["lr"] *= 0.5`` halves what is
    left of a schedule and keeps its shape.

    Parameters
    ----------
    unscaled : Schedule, callable or float
        The schedule. A number means `Constant`; where it is `Scaled` itself, the two factors are
        multiplied and become one.
    factor : float >= 0
        What every rate is multiplied by.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.
    OverflowError
        When called: the product outgrows a float.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.Linear(0.5, 0.0, steps=10) * 0.5
    >>> schedule
    Scaled(unscaled=Linear(start=0.5, end=0.0, steps=10), factor=0.5)
    >>> [schedule(n) for n in (0, 5, 10)]
    [0.25, 0.125, 0.0]
    """

    unscaled: AnySchedule
    factor: float

    def _check(self) -> None:
        unscaled = as_schedule(label_of(self, "unscaled"), self.unscaled)
        store_floats(self, "factor")
        # Cut down again and again, it would be nested too deeply one day.
        if type(unscaled) is Scaled:
            store(self, "factor", unscaled.factor * self.factor)
            store_floats(self, "factor")
            unscaled = unscaled.unscaled
        store(self, "unscaled", unscaled)

    def _rate(self, n: float) -> float:
        return product(rate_of(self.unscaled, n), self.factor)
