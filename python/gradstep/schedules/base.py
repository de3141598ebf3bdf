"""The class of every schedule, `Constant` and `Scaled`, and the arithmetic that schedules share.

A number stands for `Constant` and ``schedule * factor`` is `Scaled`, so both live beside the class.
Checks of arguments are in arguments.py.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray

from gradstep._typing import Array
from gradstep.checks import LARGEST, finite, number, shown
from gradstep.schedules.arguments import label_of, store, store_floats

Number: TypeAlias = float | np.integer[Any] | np.floating[Any]

AnySchedule: TypeAlias = Callable[[Any], float]


@dataclass(frozen=True, repr=False, eq=False)
class Schedule:
    """A rate as a function of a count: the base of every schedule here.

    Called with a count, in steps unless the schedule says otherwise, it returns the rate; see
    `__call__`. A schedule times a number is a schedule, see `Scaled`. Schedules of the same class
    with equal arguments are equal and have the same hash.

    Examples
    --------
    >>> import gradstep as gs
    >>> isinstance(gs.schedules.Constant(0.1), gs.schedules.Schedule)
    True
    """

    # NumPy's numbers and arrays leave multiplying to `__rmul__` below.
    __array_ufunc__ = None

    # Written once: a dataclass would make these three for each class, which took half of the import.
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
            Python computes its elements one by one.

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
                raise TypeError(
                    "count must be an array without a mask, got a masked array; fill it with "
                    ".filled(value)"
                )
            return np.fromiter(map(self, n.flat), np.float64, n.size).reshape(n.shape)
        # A plain count skips the conversion: this runs once a step.
        count = n if type(n) is int or type(n) is float else number("count", n)
        if not 0 <= count <= LARGEST:
            raise ValueError(f"count must be finite and >= 0, got {shown(count)}")
        try:
            return self._rate(count)
        except OverflowError as error:
            raise OverflowError(
                f"the rate of {shown(self)} must be finite, got one beyond any float at count "
                f"{shown(count)}: {error}"
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


def as_schedule(label: str, given: object) -> AnySchedule:
    """Return a schedule: the callable as it is, a plain number as Constant."""
    if callable(given):
        return given
    try:
        return Constant(finite(label, given))
    except TypeError as error:
        raise TypeError(
            f"{label} must be a schedule, a callable or a number, got {shown(given)}"
        ) from error


def rate_of(schedule: AnySchedule, n: float) -> float:
    """Return the rate of a schedule that may be any callable."""
    rate: object = schedule(n)
    if type(rate) is float:
        return rate
    try:
        return float(number("the rate", rate))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{shown(schedule)} must return a number, got {shown(rate)} at count {n}"
        ) from error


def product(rate: float, factor: float) -> float:
    """Multiply a rate; raise OverflowError if that leaves the floats, as `math.pow` does."""
    product = rate * factor
    if product == math.inf and rate < math.inf:
        raise OverflowError("math range error")
    return product


def whole_epochs(n: float, steps_per_epoch: int) -> float:
    """Return the epoch that a count of steps is in: the count itself with one step per epoch."""
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

    ``schedule * factor`` and ``factor * schedule`` make it, so ``group["lr"] *= 0.5`` halves the rest
    of a schedule and keeps its shape.

    Parameters
    ----------
    unscaled : Schedule, callable or float
        The schedule. A number means `Constant`. If it is `Scaled` itself, the two factors become
        one, their product.
    factor : float >= 0
        Multiplies every rate.

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
        # A rate that is halved again and again would be nested too deeply one day.
        if type(unscaled) is Scaled:
            store(self, "factor", unscaled.factor * self.factor)
            store_floats(self, "factor")
            unscaled = unscaled.unscaled
        store(self, "unscaled", unscaled)

    def _rate(self, n: float) -> float:
        return product(rate_of(self.unscaled, n), self.factor)
