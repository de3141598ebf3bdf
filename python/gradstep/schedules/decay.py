"""Rates that fall with the steps taken."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from gradstep.checks import finite
from gradstep.schedules.arguments import store_counts, store_floats, store_pieces
from gradstep.schedules.base import Schedule, mix, product, whole_epochs


@dataclass(frozen=True, repr=False, eq=False)
class InverseTimeDecay(Schedule):
    r"""Divide the rate by a number that grows evenly with the epoch.

    .. math:: \alpha = \frac{\alpha_0}{1 + \text{decay\_rate} \cdot \text{epoch}},
              \qquad \text{epoch} = \lfloor n / \text{steps\_per\epoch} \rfloor

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
        store_floats(self, "lr", "decay_rate")
        store_counts(self, "steps_per_epoch")

    def _rate(self, n: float) -> float:
        return self.lr / (1.0 + self.decay_rate * whole_epochs(n, self.steps_per_epoch))


@dataclass(frozen=True, repr=False, eq=False)
class ExponentialDecay(Schedule):
    r"""Multiply the rate by a constant every epoch.

    .. math:: \alpha = \text{base}^{\text{epoch}} \cdot \alpha_0,
              \qquad \text{epoch} = \lfloor n / \text{steps\_per\epoch} \rfloor

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
        store_floats(self, "lr")
        store_floats(self, "base", strictly=True)
        store_counts(self, "steps_per_epoch")

    def _rate(self, n: float) -> float:
        return product(self.lr, math.pow(self.base, whole_epochs(n, self.steps_per_epoch)))


@dataclass(frozen=True, repr=False, eq=False)
class InverseSqrtDecay(Schedule):
    r"""Divide the rate by the square root of the epoch.

    .. math:: \alpha = \frac{k}{\sqrt{\max(\text{epoch}, 1)}} \cdot \alpha_0,
              \qquad \text{epoch} = \lfloor n / \text{steps\_per\epoch} \rfloor

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
    proves a bound on the regret for rates of this form. PyTorch, Keras and optax do not have it.

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
        store_floats(self, "lr", "k")
        store_counts(self, "steps_per_epoch")

    def _rate(self, n: float) -> float:
        return self.k / math.sqrt(max(whole_epochs(n, self.steps_per_epoch), 1)) * self.lr


@dataclass(frozen=True, repr=False, eq=False)
class StepDecay(Schedule):
    r"""Multiply the rate by a constant every so many steps, and keep it in between.

    .. math:: \alpha = \alpha_0 \cdot \text{factor}^{\lfloor n / \text{every} \rfloor}

    Parameters
    ----------
    lr : float >= 0
        The rate at count 0, :math:`\alpha_0`.
    factor : float > 0
        Multiplies the rate at each drop.
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
        store_floats(self, "lr")
        store_floats(self, "factor", strictly=True)
        store_counts(self, "every")

    def _rate(self, n: float) -> float:
        return product(self.lr, math.pow(self.factor, n // self.every))


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
        store_pieces(self, "values", finite)

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
        store_floats(self, "start", "end")
        store_counts(self, "steps")

    def _rate(self, n: float) -> float:
        return mix(self.end, self.start, n / self.steps) if n < self.steps else self.end


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
        store_floats(self, "start", "end")
        store_floats(self, "power", strictly=True)
        store_counts(self, "steps")

    def _rate(self, n: float) -> float:
        if n >= self.steps:
            return self.end
        return mix(self.start, self.end, math.pow(1.0 - n / self.steps, self.power))
