"""Rates that follow a cosine, once or again and again."""

import math
from dataclasses import dataclass

from gradstep.checks import LARGEST, shown
from gradstep.schedules.arguments import store_counts, store_floats
from gradstep.schedules.base import Schedule, mix


def _cosine(start: float, end: float, x: float) -> float:
    """Return the rate at a fraction x of the way along half a cosine."""
    return mix(start, end, (1.0 + math.cos(math.pi * x)) / 2.0)


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
        store_floats(self, "lr", "end")
        store_counts(self, "steps")

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
        The rate at the end of every cycle; reaching it is the restart.

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
        store_floats(self, "lr", "end")
        store_floats(self, "factor", least=1.0)
        store_counts(self, "steps")

    def _rate(self, n: float) -> float:
        if self.factor == 1.0:
            return _cosine(self.lr, self.end, n % self.steps / self.steps)
        # s_i is a geometric sum; solved for i it tells the cycle. Without the extra 1e-12, rounding
        # would move a restart at a whole n to just behind it (with factor 1.1, for example). log1p
        # and expm1 keep the digits if the factor is close to 1.
        growth = self.factor - 1.0
        if not n * growth < LARGEST / 4:
            raise ValueError(
                f"count must be below {LARGEST / 4 / growth:g} with factor={self.factor:g}, "
                f"got {shown(n)}"
            )
        log_factor = math.log1p(growth)
        cycle = int(math.log1p(n / self.steps * growth) / log_factor * (1.0 + 1e-12))
        stretch = math.expm1(cycle * log_factor)  # factor^i - 1
        begin = self.steps * stretch / growth
        return _cosine(self.lr, self.end, (n - begin) / (self.steps * (1.0 + stretch)))


@dataclass(frozen=True, repr=False, eq=False)
class OneCycle(Schedule):
    r"""Go up to the rate and down again, far below the first one, along half a cosine each.

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
        The first rate is as many times lower than ``lr``.
    final_div_factor : float > 0, default 1e4
        The last rate is as many times lower than the first one.

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
        store_floats(self, "lr")
        store_floats(self, "pct_start", "div_factor", "final_div_factor", strictly=True)
        store_counts(self, "steps")
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
