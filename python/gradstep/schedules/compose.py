"""Schedules made of others: after a warmup, or one after another."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, overload

from gradstep.schedules.arguments import label_of, store, store_counts, store_pieces
from gradstep.schedules.base import AnySchedule, Number, Schedule, as_schedule, rate_of


@dataclass(frozen=True, repr=False, eq=False)
class Warmup(Schedule):
    """The schedule that `warmup` returns; see there.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.Warmup(0.5, steps=2)
    Warmup(after=Constant(lr=0.5), steps=2)
    """

    after: AnySchedule
    steps: int

    def _check(self) -> None:
        store(self, "after", as_schedule(label_of(self, "after"), self.after))
        store_counts(self, "steps", least=0)

    def _rate(self, n: float) -> float:
        if n < self.steps:
            # Divided first, so that the last step of the climb is schedule(0) to the bit.
            return rate_of(self.after, 0) * ((n + 1) / self.steps)
        return rate_of(self.after, n - self.steps)


@dataclass(frozen=True, repr=False, eq=False)
class Joined(Schedule):
    """The schedule that `join` returns; see there.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.schedules.Joined((0.1, 0.2), boundaries=(10,))
    Joined(schedules=(Constant(lr=0.1), Constant(lr=0.2)), boundaries=(10,))
    """

    schedules: Sequence[AnySchedule]
    boundaries: Sequence[float]

    def _check(self) -> None:
        store_pieces(self, "schedules", as_schedule)

    def _rate(self, n: float) -> float:
        i = bisect_right(self.boundaries, n)
        return rate_of(self.schedules[i], n - self.boundaries[i - 1] if i else n)


@overload
def warmup(schedule: Schedule | Number, steps: int) -> Schedule: ...


@overload
def warmup(schedule: AnySchedule, steps: int) -> AnySchedule: ...


def warmup(schedule: AnySchedule | Number, steps: int) -> AnySchedule:
    r"""Climb to the first rate of a schedule along a line, then follow the schedule from 0.

    .. math:: \alpha = \begin{cases}
        \text{schedule}(0) \cdot (n + 1) / \text{steps} & n < \text{steps} \\
        \text{schedule}(n - \text{steps}) & n \ge \text{steps} \end{cases}

    Parameters
    ----------
    schedule : Schedule, callable or float
        Follows the climb, counted from 0 at its end. A number means `Constant`.
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
    whole = Warmup(cast(AnySchedule, schedule), steps)
    return whole if whole.steps else whole.after


def join(schedules: Sequence[AnySchedule | Number], boundaries: Sequence[float]) -> Joined:
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
    return Joined(cast(Sequence[AnySchedule], schedules), boundaries)
