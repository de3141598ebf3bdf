"""Learning-rate schedules: immutable callables from a count to a rate.

Every formula is here, in scalar form, with its checks and its plain-value form for checkpoints.
What counts the steps and what uses the rate is not: this file knows no optimizer.
"""

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray

from gradstep.checks import is_whole, mapping, shown

__all__ = [
    "Constant",
    "Cosine",
    "CosineRestarts",
    "ExponentialDecay",
    "InverseSqrtDecay",
    "InverseTimeDecay",
    "Joined",
    "Linear",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "Scaled",
    "Schedule",
    "StepDecay",
    "Warmup",
    "from_config",
    "join",
    "to_config",
    "warmup",
]

_Number: TypeAlias = float | np.integer[Any] | np.floating[Any]
_AnySchedule: TypeAlias = Callable[[Any], float]

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
    def __call__(self, n: _Number) -> float: ...
    @overload
    def __call__(self, n: NDArray[Any]) -> NDArray[np.float64]: ...
    def __call__(self, n: _Number | NDArray[Any]) -> float | NDArray[np.float64]:
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
        count = n if type(n) is int or type(n) is float else _number("count", n)
        if not 0 <= count <= _LARGEST:
            raise ValueError(f"count must be finite and >= 0, got {shown(count)}")
        try:
            return self._rate(count)
        except OverflowError as error:
            raise OverflowError(
                f"{shown(self)} is beyond any float at count {shown(count)}: {error}"
            ) from error

    def __mul__(self, factor: _Number) -> "Scaled":
        """Return this schedule with every rate multiplied by a number; see `Scaled`."""
        return Scaled(self, cast(float, factor))

    __rmul__ = __mul__

    def _check(self) -> None:
        """Check and store the arguments of a subclass."""

    def _rate(self, n: float) -> float:
        """Return the rate at a plain int or float that is finite and >= 0."""
        raise NotImplementedError(f"{type(self).__name__} has no formula: define _rate")


def _number(label: str, given: object) -> float:
    """Return a number as a plain int or float."""
    if is_whole(given):
        number = int(given)
        if abs(number) > _LARGEST:
            raise ValueError(f"{label} must be finite, got {shown(given)}")
        return number
    if isinstance(given, float | np.floating):
        return float(given)
    raise TypeError(f"{label} must be a number, got {shown(given)}")


def _float(label: str, given: object, least: float = 0.0, *, strictly: bool = False) -> float:
    """Return a finite number from ``least`` up (above it, if ``strictly``) as a plain float."""
    value = float(_number(label, given))
    if not (least < value if strictly else least <= value) or value == math.inf:
        bound = f"{'>' if strictly else '>='} {least:g}"
        raise ValueError(f"{label} must be finite and {bound}, got {shown(given)}")
    return value


def _label(schedule: Schedule, name: str) -> str:
    return f"{type(schedule).__name__}: {name}"


def _store(schedule: Schedule, name: str, value: object) -> None:
    """Set an argument of a frozen schedule while it is being made."""
    object.__setattr__(schedule, name, value)


def _store_floats(
    schedule: Schedule, *names: str, least: float = 0.0, strictly: bool = False
) -> None:
    for name in names:
        given = getattr(schedule, name)
        value = _float(_label(schedule, name), given, least, strictly=strictly)
        _store(schedule, name, value)


def _store_counts(schedule: Schedule, *names: str, least: int = 1) -> None:
    for name in names:
        given = getattr(schedule, name)
        label = _label(schedule, name)
        message = f"{label} must be an integer >= {least}, got {shown(given)}"
        if not is_whole(given):
            raise TypeError(message)
        count = _number(label, given)
        if count < least:
            raise ValueError(message)
        _store(schedule, name, count)


def _store_tuple(schedule: Schedule, name: str, convert: Callable[[str, object], object]) -> None:
    given = getattr(schedule, name)
    label = _label(schedule, name)
    listed = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    if not listed and not (isinstance(given, np.ndarray) and given.ndim > 0):
        raise TypeError(f"{label} must be a list or tuple, got {shown(given)}")
    _store(schedule, name, tuple(convert(f"{label}[{i}]", x) for i, x in enumerate(given)))


def _store_pieces(schedule: Schedule, name: str, convert: Callable[[str, object], object]) -> None:
    """Store ``boundaries`` and the argument that has one piece more than they."""
    _store_tuple(schedule, "boundaries", _number)
    _store_tuple(schedule, name, convert)
    boundaries, pieces = (getattr(schedule, field) for field in ("boundaries", name))
    if not all(a < b for a, b in zip((0, *boundaries), (*boundaries, math.inf), strict=True)):
        raise ValueError(
            f"{_label(schedule, 'boundaries')} must be finite, > 0 and strictly increasing, "
            f"got {boundaries}"
        )
    if len(pieces) != len(boundaries) + 1:
        raise ValueError(
            f"{_label(schedule, name)} must be one more than the boundaries, "
            f"got {len(pieces)} for {len(boundaries)} boundaries"
        )


def _as_schedule(label: str, given: object) -> _AnySchedule:
    """Return a schedule: the callable as it is, a plain number as Constant."""
    if callable(given):
        return given
    if is_whole(given) or isinstance(given, float | np.floating):
        return Constant(_float(label, given))
    raise TypeError(f"{label} must be a schedule, a callable or a number, got {shown(given)}")


def _rate_of(schedule: _AnySchedule, n: float) -> float:
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
        raise _no_rate(schedule, rate, n) from error
    raise _no_rate(schedule, rate, n)


def _no_rate(schedule: _AnySchedule, rate: object, n: float) -> TypeError:
    return TypeError(f"{shown(schedule)} must return a number, got {shown(rate)} at count {n}")


def _product(rate: float, factor: float) -> float:
    """Multiply a rate; OverflowError where that leaves the floats, as `math.pow` raises it."""
    product = rate * factor
    if product == math.inf and rate < math.inf:
        raise OverflowError("math range error")
    return product


def _epoch(n: float, steps_per_epoch: int) -> float:
    return n if steps_per_epoch == 1 else n // steps_per_epoch


def _mix(start: float, end: float, weight: float) -> float:
    # Exactly start at weight 1 and exactly end at 0, which end + (start - end) * weight is not.
    return weight * start + (1.0 - weight) * end


def _cosine(start: float, end: float, x: float) -> float:
    """Return the rate at a fraction x of the way along half a cosine."""
    return _mix(start, end, (1.0 + math.cos(math.pi * x)) / 2.0)


@dataclass(frozen=True, repr=False, eq=False)
class InverseTimeDecay(Schedule):
    r"""Divide the rate by a number that grows evenly with the epoch.

    .. math:: \alpha = \frac{\alpha_0}{1 + \text{decay\_rate} \cdot \text{epoch}},
              \qquad \text{epoch} = \lfloor n / \text{steps\_per\_epoch} \rfloor

    Parameters
    ----------
    lr : float >= 0
        The rate at epoch 0, :math:`\alpha_0`.
    decay_rate : float >= 0
        Growth of the divisor, per epoch. At 1 the rate is halved after one epoch.
    steps_per_epoch : int >= 1, default 1
        Steps in one epoch. With 1 the count is the epoch itself and is not floored.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    Notes
    -----
    With ``steps_per_epoch`` it is Keras's ``InverseTimeDecay`` of as many ``decay_steps`` and
    ``staircase=True``; Keras's default does not floor.

    References
    ----------
    With ``lr`` and ``decay_rate`` above 0 the rates satisfy the conditions of Robbins & Monro
    (1951), "A Stochastic Approximation Method": their sum diverges, that of their squares does not;
    see Goodfellow et al. (2016), "Deep Learning", section 8.3.1.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.InverseTimeDecay(0.2, decay_rate=1.0, steps_per_epoch=100)
    >>> [schedule(n) for n in (0, 99, 100, 300)]
    [0.2, 0.2, 0.1, 0.05]
    """

    lr: float
    decay_rate: float
    steps_per_epoch: int = 1

    def _check(self) -> None:
        _store_floats(self, "lr", "decay_rate")
        _store_counts(self, "steps_per_epoch")

    def _rate(self, n: float) -> float:
        return self.lr / (1.0 + self.decay_rate * _epoch(n, self.steps_per_epoch))


@dataclass(frozen=True, repr=False, eq=False)
class ExponentialDecay(Schedule):
    r"""Multiply the rate by a constant every epoch.

    .. math:: \alpha = \text{base}^{\text{epoch}} \cdot \alpha_0,
              \qquad \text{epoch} = \lfloor n / \text{steps\_per\_epoch} \rfloor

    Parameters
    ----------
    lr : float >= 0
        The rate at epoch 0, :math:`\alpha_0`.
    base : float > 0, default 0.95
        The factor per epoch. Above 1 the rate grows, as in a range test.
    steps_per_epoch : int >= 1, default 1
        Steps in one epoch. With 1 the count is the epoch itself and is not floored.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.
    OverflowError
        When called: ``base`` is above 1 and the rate outgrows a float.

    Notes
    -----
    With ``steps_per_epoch`` it is ``optax.exponential_decay`` or Keras's ``ExponentialDecay`` with
    ``staircase=True``, whose default does not floor; with 1 it is PyTorch's ``ExponentialLR``.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.ExponentialDecay(0.2, base=0.5)
    >>> [schedule(epoch) for epoch in (0, 1, 2)]
    [0.2, 0.1, 0.05]
    """

    lr: float
    base: float = 0.95
    steps_per_epoch: int = 1

    def _check(self) -> None:
        _store_floats(self, "lr")
        _store_floats(self, "base", strictly=True)
        _store_counts(self, "steps_per_epoch")

    def _rate(self, n: float) -> float:
        return _product(self.lr, math.pow(self.base, _epoch(n, self.steps_per_epoch)))


@dataclass(frozen=True, repr=False, eq=False)
class InverseSqrtDecay(Schedule):
    r"""Divide the rate by the square root of the epoch.

    .. math:: \alpha = \frac{k}{\sqrt{\max(\text{epoch}, 1)}} \cdot \alpha_0,
              \qquad \text{epoch} = \lfloor n / \text{steps\_per\_epoch} \rfloor

    Parameters
    ----------
    lr : float >= 0
        The base rate, :math:`\alpha_0`.
    k : float >= 0, default 1.0
        A factor on the whole curve.
    steps_per_epoch : int >= 1, default 1
        Steps in one epoch. With 1 the count is the epoch itself and is not floored.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    References
    ----------
    Zinkevich (2003), "Online Convex Programming and Generalized Infinitesimal Gradient Ascent",
    proves a bound on the regret for rates of this form. None of PyTorch, Keras and optax has it
    ready made.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.InverseSqrtDecay(0.2)
    >>> [schedule(epoch) for epoch in (0, 1, 4, 16)]
    [0.2, 0.2, 0.1, 0.05]
    """

    lr: float
    k: float = 1.0
    steps_per_epoch: int = 1

    def _check(self) -> None:
        _store_floats(self, "lr", "k")
        _store_counts(self, "steps_per_epoch")

    def _rate(self, n: float) -> float:
        return self.k / math.sqrt(max(_epoch(n, self.steps_per_epoch), 1)) * self.lr


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
        _store_floats(self, "lr")

    def _rate(self, n: float) -> float:
        return self.lr


@dataclass(frozen=True, repr=False, eq=False)
class StepDecay(Schedule):
    r"""Multiply the rate by a constant every so many steps, and keep it in between.

    .. math:: \alpha = \alpha_0 \cdot \text{factor}^{\lfloor n / \text{every} \rfloor}

    Parameters
    ----------
    lr : float >= 0
        The rate at count 0, :math:`\alpha_0`.
    factor : float > 0
        What the rate is multiplied by at each drop.
    every : int >= 1
        Steps from one drop to the next.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.
    OverflowError
        When called: ``factor`` is above 1 and the rate outgrows a float.

    Notes
    -----
    As PyTorch's ``StepLR``: the drop is at ``n == every``.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.StepDecay(0.2, factor=0.5, every=30)
    >>> [schedule(n) for n in (0, 29, 30, 60)]
    [0.2, 0.2, 0.1, 0.05]
    """

    lr: float
    factor: float
    every: int

    def _check(self) -> None:
        _store_floats(self, "lr")
        _store_floats(self, "factor", strictly=True)
        _store_counts(self, "every")

    def _rate(self, n: float) -> float:
        return _product(self.lr, math.pow(self.factor, n // self.every))


@dataclass(frozen=True, repr=False, eq=False)
class Piecewise(Schedule):
    r"""Keep a given rate up to each boundary.

    .. math:: \alpha = \text{values}_i, \qquad
              \text{boundaries}_{i-1} \le n < \text{boundaries}_i

    Parameters
    ----------
    boundaries : sequence of int or float
        Steps at which the rate changes, above 0 and strictly increasing: the new value holds from
        ``n >= boundary``. May be empty.
    values : sequence of float >= 0
        The rates, one more than the boundaries.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    Notes
    -----
    At a boundary the new value holds already, as in ``optax.piecewise_constant_schedule`` and
    PyTorch's ``MultiStepLR``; Keras's ``PiecewiseConstantDecay`` keeps the old one for that step.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.Piecewise([100, 200], [0.1, 0.01, 0.001])
    >>> [schedule(n) for n in (0, 99, 100, 200)]
    [0.1, 0.1, 0.01, 0.001]
    """

    boundaries: Sequence[float]
    values: Sequence[float]

    def _check(self) -> None:
        _store_pieces(self, "values", _float)

    def _rate(self, n: float) -> float:
        return self.values[bisect_right(self.boundaries, n)]


@dataclass(frozen=True, repr=False, eq=False)
class Linear(Schedule):
    r"""Go from one rate to another along a line, then stay.

    .. math:: \alpha = (1 - x) \cdot \text{start} + x \cdot \text{end},
              \qquad x = \min(n / \text{steps}, 1)

    Parameters
    ----------
    start : float >= 0
        The rate at count 0.
    end : float >= 0
        The rate from count ``steps`` on; may be above ``start``.
    steps : int >= 1
        Steps from the one to the other.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    Notes
    -----
    As ``optax.linear_schedule`` and PyTorch's ``LinearLR`` of the same steps.

    References
    ----------
    Goodfellow et al. (2016), "Deep Learning", section 8.3.1.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.Linear(0.5, 0.0, steps=10)
    >>> [schedule(n) for n in (0, 5, 10, 11)]
    [0.5, 0.25, 0.0, 0.0]
    """

    start: float
    end: float
    steps: int

    def _check(self) -> None:
        _store_floats(self, "start", "end")
        _store_counts(self, "steps")

    def _rate(self, n: float) -> float:
        return _mix(self.end, self.start, n / self.steps) if n < self.steps else self.end


@dataclass(frozen=True, repr=False, eq=False)
class Polynomial(Schedule):
    r"""Go from one rate to another along a power of what is left, then stay.

    .. math:: \alpha = \text{end} + (\text{start} - \text{end}) (1 - x)^{\text{power}},
              \qquad x = \min(n / \text{steps}, 1)

    Parameters
    ----------
    start : float >= 0
        The rate at count 0.
    end : float >= 0
        The rate from count ``steps`` on; may be above ``start``.
    steps : int >= 1
        Steps from the one to the other.
    power : float > 0, default 1.0
        1 is `Linear`; above 1 the rate moves early, below 1 late.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    Notes
    -----
    As ``optax.polynomial_schedule``, Keras's ``PolynomialDecay`` without ``cycle`` and, with an
    ``end`` of 0, PyTorch's ``PolynomialLR``.

    References
    ----------
    The "poly" policy of Chen et al. (2017), "DeepLab", arXiv:1606.00915, is ``end=0.0,
    power=0.9``.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.Polynomial(0.5, 0.0, steps=10, power=2.0)
    >>> [schedule(n) for n in (0, 5, 10, 11)]
    [0.5, 0.125, 0.0, 0.0]
    """

    start: float
    end: float
    steps: int
    power: float = 1.0

    def _check(self) -> None:
        _store_floats(self, "start", "end")
        _store_floats(self, "power", strictly=True)
        _store_counts(self, "steps")

    def _rate(self, n: float) -> float:
        if n >= self.steps:
            return self.end
        return _mix(self.start, self.end, math.pow(1.0 - n / self.steps, self.power))


@dataclass(frozen=True, repr=False, eq=False)
class Cosine(Schedule):
    r"""Go from one rate to another along half a cosine, then stay.

    .. math:: \alpha = \text{end} + (\alpha_0 - \text{end}) \frac{1 + \cos(\pi x)}{2},
              \qquad x = \min(n / \text{steps}, 1)

    Parameters
    ----------
    lr : float >= 0
        The rate at count 0, :math:`\alpha_0`.
    steps : int >= 1
        Steps until ``end`` is reached.
    end : float >= 0, default 0.0
        The rate from count ``steps`` on.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    Notes
    -----
    After its end the rate stays, as in ``optax.cosine_decay_schedule`` and Keras's ``CosineDecay``;
    the one of PyTorch's ``CosineAnnealingLR`` comes up again. The peers' ``alpha`` is ``end / lr``.

    References
    ----------
    Loshchilov & Hutter (2017), "SGDR", section 3, arXiv:1608.03983: one cycle, no restart.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.Cosine(0.5, steps=10)
    >>> [schedule(n) for n in (0, 5, 10, 11)]
    [0.5, 0.25, 0.0, 0.0]
    """

    lr: float
    steps: int
    end: float = 0.0

    def _check(self) -> None:
        _store_floats(self, "lr", "end")
        _store_counts(self, "steps")

    def _rate(self, n: float) -> float:
        return _cosine(self.lr, self.end, n / self.steps) if n < self.steps else self.end


@dataclass(frozen=True, repr=False, eq=False)
class CosineRestarts(Schedule):
    r"""Run `Cosine` again and again, each cycle longer by a factor (SGDR).

    .. math:: \alpha = \text{end} + (\alpha_0 - \text{end}) \frac{1 + \cos(\pi x)}{2},
              \qquad x = \frac{n - s_i}{\text{steps} \cdot \text{factor}^i},
              \qquad s_i = \text{steps} \sum_{j<i} \text{factor}^j

    where :math:`i` is the cycle that ``n`` is in: :math:`s_i \le n < s_{i+1}`.

    Parameters
    ----------
    lr : float >= 0
        The rate at the beginning of every cycle, :math:`\alpha_0`.
    steps : int >= 1
        Steps in the first cycle; the first restart is at ``n == steps``.
    factor : float >= 1, default 1.0
        How many times longer each cycle is than the one before; a cycle need not be a whole
        number of steps.
    end : float >= 0, default 0.0
        The rate that every cycle goes down to; the restart comes as it is reached.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    Notes
    -----
    The rate is that of a new cycle at the restart itself, as in PyTorch's
    ``CosineAnnealingWarmRestarts`` and Keras's ``CosineDecayRestarts`` with ``m_mul=1``.

    References
    ----------
    Loshchilov & Hutter (2017), "SGDR", section 3, arXiv:1608.03983.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.CosineRestarts(0.5, steps=10, factor=2.0)
    >>> [schedule(n) for n in (0, 5, 10, 20, 30)]
    [0.5, 0.25, 0.5, 0.25, 0.5]
    """

    lr: float
    steps: int
    factor: float = 1.0
    end: float = 0.0

    def _check(self) -> None:
        _store_floats(self, "lr", "end")
        _store_floats(self, "factor", least=1.0)
        _store_counts(self, "steps")

    def _rate(self, n: float) -> float:
        if self.factor == 1.0:
            return _cosine(self.lr, self.end, n % self.steps / self.steps)
        # s_i is a geometric sum; solved for i it tells the cycle. The hair on top keeps a restart
        # that falls on a whole n there, where rounding would put it just behind (factor 1.1, say).
        # log1p and expm1 keep the digits where the factor is close to 1.
        growth = self.factor - 1.0
        if not n * growth < _LARGEST / 4:
            raise ValueError(f"count is too large for restarts by {self.factor:g}, got {shown(n)}")
        log_factor = math.log1p(growth)
        cycle = int(math.log1p(n / self.steps * growth) / log_factor * (1.0 + 1e-12))
        stretch = math.expm1(cycle * log_factor)  # factor^i - 1
        begin = self.steps * stretch / growth
        return _cosine(self.lr, self.end, (n - begin) / (self.steps * (1.0 + stretch)))


@dataclass(frozen=True, repr=False, eq=False)
class OneCycle(Schedule):
    r"""Go up to the rate and down again, far below where it began, along half a cosine each.

    .. math:: \alpha = \begin{cases}
        \text{mix}(\alpha_0 / \text{div\_factor},\ \alpha_0,\ n / p) & n < p \\
        \text{mix}(\alpha_0,\ \alpha_0 / (\text{div\_factor} \cdot \text{final\_div\_factor}),\
        \min((n - p) / (\text{steps} - p), 1)) & n \ge p \end{cases}

    with :math:`p = \lfloor \text{pct\_start} \cdot \text{steps} \rfloor` and
    :math:`\text{mix}(a, b, x) = b + (a - b) (1 + \cos(\pi x)) / 2`.

    Parameters
    ----------
    lr : float >= 0
        The rate at the peak, :math:`\alpha_0`.
    steps : int >= 1
        Steps until the lowest rate is reached, which then stays.
    pct_start : float > 0, default 0.3
        The fraction of ``steps`` (not a percentage) spent on the way up; it must leave at least one
        step for each way.
    div_factor : float > 0, default 25.0
        How many times lower than ``lr`` it begins.
    final_div_factor : float > 0, default 1e4
        How many times lower than where it began it ends.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, is out of its bounds, or is not finite.

    Notes
    -----
    The peak is at count :math:`p` and the lowest rate at count ``steps``, as in
    ``optax.cosine_onecycle_schedule``. PyTorch's ``OneCycleLR`` has both one step earlier, at
    ``pct_start * steps - 1`` and ``steps - 1``, and does not floor the peak.

    References
    ----------
    Smith & Topin (2018), "Super-Convergence", arXiv:1708.07120, with cosines for its lines.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.OneCycle(0.5, steps=10, div_factor=2.0, final_div_factor=4.0)
    >>> [schedule(n) for n in (0, 3, 10, 11)]
    [0.25, 0.5, 0.0625, 0.0625]
    """

    lr: float
    steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def _check(self) -> None:
        _store_floats(self, "lr")
        _store_floats(self, "pct_start", "div_factor", "final_div_factor", strictly=True)
        _store_counts(self, "steps")
        if not 1 <= int(self.pct_start * self.steps) < self.steps:
            raise ValueError(
                "OneCycle: pct_start must put the peak, int(pct_start * steps), at 1 to steps - 1, "
                f"got pct_start={self.pct_start} with steps={self.steps}"
            )

    def _rate(self, n: float) -> float:
        peak = int(self.pct_start * self.steps)
        if n < peak:
            return _cosine(self.lr / self.div_factor, self.lr, n / peak)
        end = self.lr / (self.div_factor * self.final_div_factor)
        return _cosine(self.lr, end, (n - peak) / (self.steps - peak)) if n < self.steps else end


@dataclass(frozen=True, repr=False, eq=False)
class Warmup(Schedule):
    """What `warmup` returns; see there.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.Warmup(0.5, steps=2)
    Warmup(after=Constant(lr=0.5), steps=2)
    """

    after: _AnySchedule
    steps: int

    def _check(self) -> None:
        _store(self, "after", _as_schedule("Warmup: after", self.after))
        _store_counts(self, "steps", least=0)

    def _rate(self, n: float) -> float:
        if n < self.steps:
            # Divided first, so that the last step of the climb is schedule(0) to the bit.
            return _rate_of(self.after, 0) * ((n + 1) / self.steps)
        return _rate_of(self.after, n - self.steps)


@dataclass(frozen=True, repr=False, eq=False)
class Joined(Schedule):
    """What `join` returns; see there.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.Joined((0.1, 0.2), boundaries=(10,))
    Joined(schedules=(Constant(lr=0.1), Constant(lr=0.2)), boundaries=(10,))
    """

    schedules: Sequence[_AnySchedule]
    boundaries: Sequence[float]

    def _check(self) -> None:
        _store_pieces(self, "schedules", _as_schedule)

    def _rate(self, n: float) -> float:
        i = bisect_right(self.boundaries, n)
        return _rate_of(self.schedules[i], n - self.boundaries[i - 1] if i else n)


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

    unscaled: _AnySchedule
    factor: float

    def _check(self) -> None:
        unscaled = _as_schedule(_label(self, "unscaled"), self.unscaled)
        _store_floats(self, "factor")
        # Cut down again and again, it would be nested too deeply one day.
        if type(unscaled) is Scaled:
            _store(self, "factor", unscaled.factor * self.factor)
            _store_floats(self, "factor")
            unscaled = unscaled.unscaled
        _store(self, "unscaled", unscaled)

    def _rate(self, n: float) -> float:
        return _product(_rate_of(self.unscaled, n), self.factor)


@overload
def warmup(schedule: Schedule | _Number, steps: int) -> Schedule: ...
@overload
def warmup(schedule: _AnySchedule, steps: int) -> _AnySchedule: ...
def warmup(schedule: _AnySchedule | _Number, steps: int) -> _AnySchedule:
    r"""Climb to the first rate of a schedule along a line, then follow the schedule from 0.

    .. math:: \alpha = \begin{cases}
        \text{schedule}(0) \cdot (n + 1) / \text{steps} & n < \text{steps} \\
        \text{schedule}(n - \text{steps}) & n \ge \text{steps} \end{cases}

    Parameters
    ----------
    schedule : Schedule, callable or float
        What follows the climb, counted from 0 at its end. A number means `Constant`.
    steps : int
        Steps of the climb. The last of them, ``n == steps - 1``, is at ``schedule(0)`` already. With
        0 of them there is no climb.

    Returns
    -------
    Schedule or callable
        The whole as one schedule; with 0 steps ``schedule`` itself.

    Raises
    ------
    TypeError
        ``schedule`` is neither a callable nor a number, or ``steps`` not an integer.
    ValueError
        ``schedule`` is a negative number or not finite, or ``steps`` below 0.

    Notes
    -----
    The climb is meant for whole counts: between ``steps - 1`` and ``steps`` a fractional one is
    above ``schedule(0)``.

    The first step is one above 0, as in the reference, so that none is wasted. The warm-ups of
    ``optax.warmup_cosine_decay_schedule`` and Keras's ``CosineDecay`` begin at a first value, usually 0,
    and reach the peak with the step after the climb. What follows is counted from 0 behind the climb,
    where optax's ``decay_steps`` has the climb in it.

    References
    ----------
    Goyal et al. (2017), "Accurate, Large Minibatch SGD", section 2.2, arXiv:1706.02677.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.warmup(gs.schedules.Linear(0.5, 0.0, steps=10), steps=4)
    >>> [schedule(n) for n in (0, 1, 3, 4, 9, 14)]
    [0.125, 0.25, 0.5, 0.5, 0.25, 0.0]
    """
    # The class takes a number too, but its field is typed as what is stored.
    whole = Warmup(cast(_AnySchedule, schedule), steps)
    return whole if whole.steps else whole.after


def join(schedules: Sequence[_AnySchedule | _Number], boundaries: Sequence[float]) -> Joined:
    r"""Follow one schedule after another, each counted from 0 where it begins.

    .. math:: \alpha = \text{schedules}_i(n - \text{boundaries}_{i-1}), \qquad
              \text{boundaries}_{i-1} \le n < \text{boundaries}_i

    Parameters
    ----------
    schedules : sequence of Schedule, callable or float
        The schedules, one more than the boundaries. A number means `Constant`.
    boundaries : sequence of int or float
        Steps, counted from the very beginning, at which the next schedule takes over: it holds
        from ``n >= boundary``.

    Returns
    -------
    Joined
        The whole as one schedule.

    Raises
    ------
    TypeError
        A schedule is neither a callable nor a number, or an argument is not a sequence.
    ValueError
        The boundaries are not finite, positive and strictly increasing, or the lengths do not fit.

    Notes
    -----
    At a boundary the next schedule holds already, as in ``optax.join_schedules`` and PyTorch's
    ``SequentialLR``.

    Examples
    --------
    >>> import gradstep as gs
    >>> schedule = gs.schedules.join([0.1, gs.schedules.Cosine(0.5, steps=10)], [100])
    >>> [schedule(n) for n in (0, 99, 100, 105, 110)]
    [0.1, 0.1, 0.5, 0.25, 0.0]
    """
    return Joined(cast(Sequence[_AnySchedule], schedules), boundaries)


# The schedules above; one that is made elsewhere is no part of the table.
_KINDS: dict[str, type[Schedule]] = {kind.__name__: kind for kind in Schedule.__subclasses__()}


def to_config(schedule: Schedule) -> dict[str, object]:
    """Turn a schedule into plain values: its name and its arguments, for a checkpoint.

    Parameters
    ----------
    schedule : Schedule
        A schedule of this module.

    Returns
    -------
    dict
        The name under ``"schedule"``, then every argument: numbers, lists, and for the parts of
        `warmup` and `join` such dicts again. `from_config` takes it back.

    Raises
    ------
    TypeError
        It is, or contains, a callable that is not a schedule of this module.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.to_config(gs.schedules.Cosine(0.1, steps=100))
    {'schedule': 'Cosine', 'lr': 0.1, 'steps': 100, 'end': 0.0}
    """
    # Exactly these types: a subclass may have another formula under the same name.
    if type(schedule) not in _KINDS.values():
        raise TypeError(
            f"{shown(schedule)} cannot be stored: expected a schedule of gradstep.schedules, which is "
            "stored by its name and arguments"
        )
    config: dict[str, object] = {"schedule": type(schedule).__name__}
    for field in fields(schedule):
        config[field.name] = _to_plain(getattr(schedule, field.name))
    return config


def from_config(config: Mapping[str, object]) -> Schedule:
    """Make the schedule that `to_config` turned into plain values.

    Parameters
    ----------
    config : mapping
        The name under ``"schedule"`` and the arguments; those with a default may be left out.

    Returns
    -------
    Schedule
        A schedule equal to the one stored.

    Raises
    ------
    TypeError
        ``config`` is not a mapping.
    ValueError
        The name is unknown, or an argument is unknown, missing or cannot be.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.from_config({"schedule": "Cosine", "lr": 0.1, "steps": 100})
    Cosine(lr=0.1, steps=100, end=0.0)
    """
    config = mapping("config", config)
    name = config.get("schedule")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"unknown schedule {shown(name)}: expected one of {', '.join(_KINDS)}")
    try:
        arguments = {key: _from_plain(value) for key, value in config.items() if key != "schedule"}
    except RecursionError as error:
        raise ValueError("config is nested too deeply, or holds itself") from error
    try:
        return kind(**arguments)
    except (TypeError, ValueError, OverflowError) as error:
        expected = ", ".join(field.name for field in fields(kind))
        raise ValueError(f"{name} takes the arguments {expected}: {error}") from error


def _to_plain(value: Any) -> object:
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return to_config(value) if callable(value) else value


def _from_plain(value: object) -> object:
    if isinstance(value, Mapping):
        return from_config(value)
    return [_from_plain(item) for item in value] if isinstance(value, list | tuple) else value
