"""Learning-rate schedules: points worked out by hand, whole curves against NumPy, errors.

Also what an optimizer asks of a schedule; what it does with the rate is tested with the optimizers.
"""

import copy
import dataclasses
import doctest
import json
import math
import operator
import pickle
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import gradstep as gs
from gradstep import schedules

Constant = schedules.Constant
Cosine = schedules.Cosine
CosineRestarts = schedules.CosineRestarts
ExponentialDecay = schedules.ExponentialDecay
InverseSqrtDecay = schedules.InverseSqrtDecay
InverseTimeDecay = schedules.InverseTimeDecay
Linear = schedules.Linear
OneCycle = schedules.OneCycle
Piecewise = schedules.Piecewise
Polynomial = schedules.Polynomial
Scaled = schedules.Scaled
Schedule = schedules.Schedule
StepDecay = schedules.StepDecay
join = schedules.join
warmup = schedules.warmup

Counts: TypeAlias = NDArray[Any]
Oracle: TypeAlias = Callable[[Counts], Counts]


def close(expected: float) -> Any:
    return pytest.approx(expected, rel=1e-13, abs=0)


def foreign(n: float) -> float:
    return 0.1


# -- Points: (schedule, count, rate), rates by hand ------------------------------------------------

THREE = Piecewise([3, 5], [0.3, 0.2, 0.1])
SGDR = CosineRestarts(0.5, 10, factor=2.0)
TENTH = CosineRestarts(0.5, 10, factor=1.1)  # cycles of 10, 11 and 12.1 steps
CYCLE = OneCycle(0.8, 10, div_factor=4.0, final_div_factor=8.0)  # 0.2 up to 0.8, down to 0.025
CLIMB = warmup(Linear(0.8, 0.0, 4), 4)
RELAY = join([0.3, Linear(0.4, 0.0, 4), lambda n: 1 / (1 + n)], [3, 5])

POINTS = [
    (InverseTimeDecay(0.2, 1.0), 0, 0.2),
    (InverseTimeDecay(0.2, 1.0), 1, 0.1),
    (InverseTimeDecay(0.2, 1.0), 3, 0.05),
    (InverseTimeDecay(0.2, 1.0), 0.25, 0.16),
    (InverseTimeDecay(0.2, 0.0), 1000, 0.2),
    (InverseTimeDecay(0.2, 1.0, 10), 9, 0.2),
    (InverseTimeDecay(0.2, 1.0, 10), 9.99, 0.2),
    (InverseTimeDecay(0.2, 1.0, 10), 10, 0.1),
    (InverseTimeDecay(0.2, 1.0, 10), 39, 0.05),
    (ExponentialDecay(0.2), 0, 0.2),
    (ExponentialDecay(0.2), 1, 0.19),
    (ExponentialDecay(0.2), 2, 0.1805),
    (ExponentialDecay(0.2, base=0.25), 0.5, 0.1),
    (ExponentialDecay(0.2, base=2.0), 3, 1.6),
    (ExponentialDecay(0.2, base=0.5), 2000, 0.0),
    (ExponentialDecay(0.2, 0.5, 10), 9, 0.2),
    (ExponentialDecay(0.2, 0.5, 10), 10, 0.1),
    (ExponentialDecay(0.2, 0.5, 10), 20.5, 0.05),
    (InverseSqrtDecay(0.2), 0, 0.2),
    (InverseSqrtDecay(0.2), 0.25, 0.2),
    (InverseSqrtDecay(0.2), 1, 0.2),
    (InverseSqrtDecay(0.2), 2.25, 0.2 / 1.5),
    (InverseSqrtDecay(0.2), 4, 0.1),
    (InverseSqrtDecay(0.2, k=3.0), 9, 0.2),
    (InverseSqrtDecay(0.2, 1.0, 10), 39, 0.2 / math.sqrt(3)),
    (InverseSqrtDecay(0.2, 1.0, 10), 40, 0.1),
    (Constant(0.1), 0, 0.1),
    (Constant(0.1), 10**9, 0.1),
    (Constant(0), 3.5, 0.0),
    (StepDecay(0.2, 0.5, 10), 0, 0.2),
    (StepDecay(0.2, 0.5, 10), 9.5, 0.2),
    (StepDecay(0.2, 0.5, 10), 10, 0.1),
    (StepDecay(0.2, 0.5, 10), 29, 0.05),
    (StepDecay(0.2, 0.5, 1), 1.5, 0.1),
    (StepDecay(0.2, 2.0, 1), 2, 0.8),
    (THREE, 0, 0.3),
    (THREE, 2, 0.3),
    (THREE, 2.5, 0.3),
    (THREE, 3, 0.2),
    (THREE, 4, 0.2),
    (THREE, 5, 0.1),
    (THREE, 10**6, 0.1),
    (Piecewise([0.5], [0.3, 0.2]), 0.5, 0.2),
    (Piecewise([10**12], [0.3, 0.2]), 10**12, 0.2),
    (Piecewise([], [0.3]), 7, 0.3),
    (Linear(0.5, 0.1, 4), 0, 0.5),
    (Linear(0.5, 0.1, 4), 1, 0.4),
    (Linear(0.5, 0.1, 4), 2.5, 0.25),
    (Linear(0.5, 0.1, 4), 4, 0.1),
    (Linear(0.5, 0.1, 4), 5, 0.1),
    (Linear(0.0, 0.8, 4), 3, 0.6),
    (Linear(0.5, 0.1, 1), 1, 0.1),
    (Polynomial(0.5, 0.1, 4), 1, 0.4),
    (Polynomial(0.5, 0.1, 4, 2.0), 0, 0.5),
    (Polynomial(0.5, 0.1, 4, 2.0), 2, 0.2),
    (Polynomial(0.5, 0.1, 4, 2.0), 3.0, 0.125),
    (Polynomial(0.5, 0.1, 4, 2.0), 4, 0.1),
    (Polynomial(0.5, 0.1, 4, 2.0), 5, 0.1),
    (Polynomial(0.5, 0.1, 4, 0.5), 3, 0.3),
    (Polynomial(0.1, 0.5, 4, 2.0), 2, 0.4),
    (Cosine(0.5, 6), 0, 0.5),
    (Cosine(0.5, 6), 2, 0.375),
    (Cosine(0.5, 6), 3, 0.25),
    (Cosine(0.5, 6), 6, 0.0),
    (Cosine(0.5, 6), 7, 0.0),
    (Cosine(0.5, 6, end=0.1), 1.5, 0.3 + 0.1 * math.sqrt(2)),
    (Cosine(0.5, 6, end=0.1), 4, 0.2),
    (Cosine(0.5, 6, end=0.1), 6, 0.1),
    (Cosine(0.5, 6, end=0.1), 600, 0.1),
    (CosineRestarts(0.5, 6), 0, 0.5),
    (CosineRestarts(0.5, 6), 4, 0.125),
    (CosineRestarts(0.5, 6), 6, 0.5),
    (CosineRestarts(0.5, 6), 10, 0.125),
    (CosineRestarts(0.5, 6, end=0.1), 9, 0.3),
    (CosineRestarts(0.5, 3), 3 * 10**14, 0.5),  # a loop over cycles would not come back
    (CosineRestarts(0.5, 1), 17, 0.5),
    (SGDR, 0, 0.5),
    (SGDR, 5, 0.25),
    (SGDR, 10, 0.5),
    (SGDR, 20, 0.25),
    (SGDR, 30, 0.5),
    (SGDR, 50, 0.25),
    (SGDR, 70, 0.5),
    (SGDR, 10 * (2**40 - 1), 0.5),
    (TENTH, 10, 0.5),
    (TENTH, 15.5, 0.25),
    (TENTH, 21, 0.5),
    (TENTH, 27.05, 0.25),
    (CYCLE, 0, 0.2),
    (CYCLE, 1, 0.35),
    (CYCLE, 1.5, 0.5),
    (CYCLE, 2, 0.65),
    (CYCLE, 3, 0.8),
    (CYCLE, 6.5, 0.4125),
    (CYCLE, 10, 0.025),
    (CYCLE, 11, 0.025),
    (OneCycle(0.5, 10), 0, 0.02),
    (OneCycle(0.5, 10), 3, 0.5),
    (OneCycle(0.5, 10), 10, 2e-6),
    (OneCycle(0.5, 10, pct_start=0.59), 5, 0.5),
    (OneCycle(0.5, 2, pct_start=0.5), 1, 0.5),
    (CLIMB, 0, 0.2),
    (CLIMB, 1, 0.4),
    (CLIMB, 1.5, 0.5),
    (CLIMB, 3, 0.8),
    (CLIMB, 4, 0.8),
    (CLIMB, 6, 0.4),
    (CLIMB, 9, 0.0),
    (warmup(0.3, 1), 0, 0.3),
    (warmup(0.3, 3), 1, 0.2),
    (warmup(0.3, 3), 99, 0.3),
    (warmup(lambda n: np.float32(1 / (1 + n)), 2), 0, 0.5),
    (warmup(lambda n: np.float32(1 / (1 + n)), 2), 5, 0.25),
    (RELAY, 0, 0.3),
    (RELAY, 2.5, 0.3),
    (RELAY, 3, 0.4),
    (RELAY, 4, 0.3),
    (RELAY, 5, 1.0),
    (RELAY, 6, 0.5),
    (join([Linear(0.4, 0.0, 4)], []), 2, 0.2),
    (Linear(0.4, 0.0, 4) * 0.5, 2, 0.1),
    (0 * Linear(0.4, 0.0, 4), 2, 0.0),
    (Scaled(lambda n: np.float32(1 / (1 + n)), 4), 3, 1.0),
    (schedules.Warmup(Linear(0.4, 0.0, 4), 0), 2, 0.2),
]


@pytest.mark.parametrize(("schedule", "n", "expected"), POINTS)
def test_rate_at_a_count(schedule: Schedule, n: float, expected: Any) -> None:
    rate = schedule(n)
    assert type(rate) is float
    assert rate == close(expected)


EXACT_ENDS = [  # with these, end + (start - end) is not start
    (Linear(0.01, 0.001, 7), 0.01, 0.001),
    (Polynomial(0.01, 0.001, 7, 0.9), 0.01, 0.001),
    (Cosine(0.01, 7, 0.001), 0.01, 0.001),
]


@pytest.mark.parametrize(("schedule", "first", "last"), EXACT_ENDS)
def test_both_ends_are_the_arguments_to_the_bit(
    schedule: Schedule, first: float, last: float
) -> None:
    assert schedule(0) == first
    assert schedule(7) == schedule(8) == last


# -- Whole curves: (schedule, oracle over an array of counts) --------------------------------------


def half_cosine(x: Any) -> Any:
    return 0.5 + 0.5 * np.cos(np.pi * x)


def restarts(lr: float, steps: int, factor: str, end: float) -> Oracle:
    """Walk through the cycles one after another, in exact fractions."""

    def curve(n: Counts) -> Counts:
        begin, length, rates = Fraction(0), Fraction(steps), []
        for count in map(Fraction, n.tolist()):
            while count >= begin + length:
                begin, length = begin + length, length * Fraction(factor)
            rates.append(end + (lr - end) * half_cosine(float((count - begin) / length)))
        return np.array(rates)

    return curve


CURVES = [
    (InverseTimeDecay(0.2, 0.5, 7), lambda n: 0.2 / (1 + 0.5 * np.floor(n / 7))),
    (InverseTimeDecay(0.2, 0.5), lambda n: 0.2 / (1 + 0.5 * n)),
    (ExponentialDecay(0.2, 0.9, 7), lambda n: 0.2 * 0.9 ** np.floor(n / 7)),
    (ExponentialDecay(0.2), lambda n: 0.2 * 0.95**n),
    (InverseSqrtDecay(0.2, 1.5, 7), lambda n: 0.3 * np.fmax(np.floor(n / 7), 1) ** -0.5),
    (InverseSqrtDecay(0.2, 1.5), lambda n: 0.3 * np.fmax(n, 1) ** -0.5),
    (Constant(0.2), lambda n: np.full(n.shape, 0.2)),
    (StepDecay(0.2, 0.3, 7), lambda n: 0.2 * 0.3 ** np.floor(n / 7)),
    (Piecewise([7, 20.5], [1, 2, 3]), lambda n: 1.0 + (n >= 7) + (n >= 20.5)),
    (Linear(0.2, 0.7, 37), lambda n: np.interp(n, [0, 37], [0.2, 0.7])),
    (Polynomial(0.7, 0.2, 37, 3), lambda n: 0.2 + 0.5 * np.clip(1 - n / 37, 0, 1) ** 3),
    (Cosine(0.7, 37, 0.2), lambda n: 0.2 + 0.5 * half_cosine(np.clip(n / 37, 0, 1))),
    (CosineRestarts(0.7, 9, 1.0, 0.2), restarts(0.7, 9, "1", 0.2)),
    (CosineRestarts(0.7, 5, 1 + 1e-10, 0.2), restarts(0.7, 5, "1.0000000001", 0.2)),
    (CosineRestarts(0.7, 5, 1.01, 0.2), restarts(0.7, 5, "1.01", 0.2)),
    (CosineRestarts(0.7, 10, 1.1, 0.2), restarts(0.7, 10, "1.1", 0.2)),
    (CosineRestarts(0.7, 1, 1.5, 0.2), restarts(0.7, 1, "1.5", 0.2)),
    (CosineRestarts(0.7, 1, 3, 0.2), restarts(0.7, 1, "3", 0.2)),
    (
        OneCycle(0.7, 80, 0.25, 10.0, 100.0),
        lambda n: np.where(
            n < 20,
            0.07 + 0.63 * half_cosine(1 - n / 20),
            0.0007 + 0.6993 * half_cosine(np.clip((n - 20) / 60, 0, 1)),
        ),
    ),
    (
        warmup(ExponentialDecay(0.2), 9),
        lambda n: np.where(n < 9, 0.2 * (n + 1) / 9, 0.2 * 0.95 ** (n - 9)),
    ),
    (
        join([ExponentialDecay(0.2), 0.5, ExponentialDecay(0.3)], [9, 20]),
        lambda n: np.where(n < 9, 0.2 * 0.95**n, np.where(n < 20, 0.5, 0.3 * 0.95 ** (n - 20))),
    ),
]


@pytest.mark.parametrize("counts", [np.arange(200), np.arange(0, 100, 0.25)], ids=["whole", "part"])
@pytest.mark.parametrize(("schedule", "oracle"), CURVES, ids=[repr(s) for s, _ in CURVES])
def test_curve(schedule: Schedule, oracle: Oracle, counts: Counts) -> None:
    np.testing.assert_allclose(schedule(counts), oracle(counts), rtol=1e-11, atol=0)


@pytest.mark.parametrize("factor", ["1", "1.001", "1.1", "1.25", "1.7", "2", "10"])
@pytest.mark.parametrize("steps", [1, 7, 10, 1000])
def test_every_cycle_begins_at_its_first_whole_count(steps: int, factor: str) -> None:
    """Restarts fall on whole counts often, where rounding must not put them one step late."""
    schedule = CosineRestarts(1.0, steps, float(factor))
    oracle = restarts(1.0, steps, factor, 0.0)
    begins = [steps * sum(Fraction(factor) ** j for j in range(i)) for i in range(1, 60)]
    counts = np.array([c for b in begins if b < 10**9 for c in (math.ceil(b) - 1, math.ceil(b))])
    np.testing.assert_allclose(schedule(counts), oracle(counts), rtol=1e-7, atol=1e-9)


# -- Properties of every schedule ------------------------------------------------------------------

rates = st.just(0.0) | st.floats(1e-9, 10.0)
factors = st.floats(0.5, 1.5)
lengths = st.integers(1, 50)
counts = st.integers(0, 500) | st.floats(0.0, 500.0)


def boundaries(size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(1, 99), min_size=size, max_size=size, unique=True).map(sorted)


simple = st.one_of(
    st.builds(InverseTimeDecay, rates, rates, lengths),
    st.builds(ExponentialDecay, rates, factors, lengths),
    st.builds(InverseSqrtDecay, rates, rates, lengths),
    st.builds(Constant, rates),
    st.builds(StepDecay, rates, factors, lengths),
    st.builds(Piecewise, boundaries(2), st.lists(rates, min_size=3, max_size=3)),
    st.builds(Linear, rates, rates, lengths),
    st.builds(Polynomial, rates, rates, lengths, factors),
    st.builds(Cosine, rates, lengths, rates),
    st.builds(CosineRestarts, rates, lengths, st.floats(1.0, 3.0), rates),
    st.builds(OneCycle, rates, st.integers(10, 50), st.floats(0.1, 0.9)),
)
any_schedule = st.recursive(
    simple,
    lambda part: (
        st.builds(warmup, part, lengths)
        | st.builds(join, st.tuples(part, part | rates, part), boundaries(2))
        | st.builds(Scaled, part, rates)
    ),
    max_leaves=5,
)


@given(any_schedule, st.lists(counts, max_size=6))
def test_an_array_gives_what_its_elements_give(schedule: Schedule, n: list[float]) -> None:
    array = np.array(n, dtype=float)
    assert schedule(array).tolist() == [schedule(count) for count in n]


@given(any_schedule, counts)
def test_a_rate_is_finite_and_not_negative(schedule: Schedule, n: float) -> None:
    rate = schedule(n)
    assert type(rate) is float
    assert 0 <= rate < math.inf


@given(any_schedule, st.integers(1, 1000))
def test_warmup_climbs_evenly_and_hands_over_without_a_jump(schedule: Schedule, steps: int) -> None:
    climb = warmup(schedule, steps)
    first = schedule(0)
    assert climb(steps - 1) == climb(steps) == first
    rises = np.diff(climb(np.arange(steps)), prepend=0.0)
    np.testing.assert_allclose(rises, first / steps, rtol=1e-9)


@given(any_schedule.filter(lambda s: not isinstance(s, Scaled)), rates, counts)
def test_a_product_has_the_bits_of_its_rates_times_the_factor(
    schedule: Schedule, factor: float, n: float
) -> None:
    for product in (schedule * factor, factor * schedule):
        assert product(n) == schedule(n) * factor


@given(any_schedule, counts)
def test_config_round_trip(schedule: Schedule, n: float) -> None:
    config = schedules.to_config(schedule)
    again = schedules.from_config(json.loads(json.dumps(config)))
    assert again == schedule
    assert again(n) == schedule(n)


@given(any_schedule)
def test_repr_evaluates_to_an_equal_schedule(schedule: Schedule) -> None:
    again = eval(repr(schedule), vars(schedules))
    assert again == schedule
    assert hash(again) == hash(schedule)


@given(any_schedule, counts)
def test_copies_are_equal(schedule: Schedule, n: float) -> None:
    for again in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert again == schedule
        assert again(n) == schedule(n)


# -- What goes in and what comes out ---------------------------------------------------------------


@pytest.mark.parametrize(
    "n",
    [3, 3.0, np.int64(3), np.uint8(3), np.float16(3), np.float32(3), np.float64(3)],
    ids=lambda n: type(n).__name__,
)
@pytest.mark.parametrize("schedule", [Linear(1, 0, 4), warmup(Linear(1, 0, 2), 2), join([1], [])])
def test_a_number_gives_a_python_float(schedule: Schedule, n: Any) -> None:
    rate = schedule(n)
    assert type(rate) is float
    assert rate == schedule(3)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), 1.0), ((3,), [1.0, 0.75, 0.5]), ((2, 2), [[1.0, 0.75], [0.5, 0.25]]), ((0, 2), [])],
)
def test_an_array_gives_a_float64_array_of_its_shape(
    dtype: str, shape: tuple[int, ...], expected: Any
) -> None:
    n = np.arange(math.prod(shape), dtype=dtype).reshape(shape)
    rate = Linear(1.0, 0.0, 4)(n)
    assert type(rate) is np.ndarray
    assert rate.dtype == np.float64
    assert rate.shape == shape
    np.testing.assert_array_equal(rate, np.reshape(expected, shape))


def test_an_array_may_have_any_layout() -> None:
    n = np.asfortranarray(np.arange(8).reshape(2, 4))[:, ::-1]
    np.testing.assert_array_equal(Linear(8.0, 0.0, 8)(n), 8.0 - n)


def test_a_foreign_callable_is_called_with_plain_counts() -> None:
    seen: list[float] = []

    def remember(n: float) -> float:
        seen.append(n)
        return 0.1

    schedule = join([0.1, warmup(remember, 2)], [3])
    for n in (5, np.int64(6), np.float32(5.5)):
        schedule(n)
    assert seen == [0, 1, 0.5]
    assert [type(n) for n in seen] == [int, int, float]


def test_arguments_are_stored_as_plain_values() -> None:
    pieces = np.array([3, 2, 1])
    arguments: list[Any] = [np.float32(0.5), np.int64(4), 0]
    cosine = Cosine(*arguments)
    assert [type(value) for value in dataclasses.astuple(cosine)] == [float, int, float]
    arguments = [pieces[:0:-1], pieces.astype(np.float32)]
    assert repr(Piecewise(*arguments)) == "Piecewise(boundaries=(1, 2), values=(3.0, 2.0, 1.0))"


def test_a_schedule_does_not_follow_the_lists_it_was_made_from() -> None:
    boundaries, values, parts = [2], [0.2, 0.1], [0.2, 0.1]
    schedule, joined = Piecewise(boundaries, values), join(parts, boundaries)
    boundaries[0], values[0], parts[0] = 9, 0.9, 0.9
    assert (schedule(0), schedule(2)) == (joined(0), joined(2)) == (0.2, 0.1)


@pytest.mark.parametrize(("name", "value"), [("lr", 0.2), ("something", 1)])
def test_a_schedule_cannot_be_changed(name: str, value: object) -> None:
    schedule = Cosine(0.1, 100)
    with pytest.raises(dataclasses.FrozenInstanceError, match=name):
        setattr(schedule, name, value)
    assert schedule == Cosine(0.1, 100)


@pytest.mark.parametrize("kind", [int, float, np.float16, np.float64, np.int64, np.uint8])
def test_any_number_multiplies_from_either_side(kind: Any) -> None:
    expected = Scaled(Linear(0.4, 0.0, 4), 2.0)
    assert Linear(0.4, 0.0, 4) * kind(2) == kind(2) * Linear(0.4, 0.0, 4) == expected


def test_factors_become_one_so_that_many_are_no_burden() -> None:
    schedule: Schedule = Linear(0.4, 0.0, 4)
    for _ in range(2000):
        schedule *= 0.5
        schedule *= 2
    assert schedule == Linear(0.4, 0.0, 4) * 1
    assert hash(schedule) == hash(Linear(0.4, 0.0, 4) * 1)


def test_no_steps_of_warmup_leave_the_schedule_itself() -> None:
    schedule = Linear(0.4, 0.0, 4)
    assert warmup(schedule, 0) is schedule
    assert warmup(foreign, 0) is foreign
    assert warmup(0.5, 0) == Constant(0.5)


def test_a_number_stands_for_a_constant() -> None:
    assert warmup(np.float64(0.5), 3) == warmup(Constant(0.5), 3)
    assert join([1, 0.5], [3]) == join([Constant(1.0), Constant(0.5)], [3])


@pytest.mark.parametrize("other", [Cosine(0.1, 100, 0.01), Cosine(0.1, 99), Constant(0.1)])
def test_other_arguments_make_another_schedule(other: Schedule) -> None:
    assert other != Cosine(0.1, 100)


def test_another_class_with_the_same_arguments_is_another_schedule() -> None:
    assert InverseTimeDecay(0.2, 1.0) != InverseSqrtDecay(0.2, 1.0)
    assert Mine(0.1, 100) != Cosine(0.1, 100)
    assert repr(Mine(0.1, 100)) == "Mine(lr=0.1, steps=100, end=0.0)"


def test_every_public_schedule_is_a_schedule() -> None:
    public = [getattr(schedules, name) for name in schedules.__all__]
    kinds = [kind for kind in public if isinstance(kind, type)]
    assert all(issubclass(kind, gs.schedules.Schedule) for kind in kinds)
    assert list(schedules.__all__) == sorted(schedules.__all__)


def test_examples_in_the_docstrings() -> None:
    modules = {sys.modules[getattr(schedules, name).__module__] for name in schedules.__all__}
    results = [doctest.testmod(module) for module in modules]
    assert sum(result.attempted for result in results) >= 3 * len(schedules.__all__) - 3
    assert not any(result.failed for result in results)


# -- What an optimizer asks of a schedule ----------------------------------------------------------

ASKED = [  # powers of two, so that w is exact
    Linear(0.5, 0.0, 4),
    StepDecay(1.0, 0.5, 2),
    Piecewise([1, 3], [0.5, 0.25, 0.125]),
    warmup(0.5, 2),
    join([1.0, Linear(0.5, 0.25, 2)], [2]),
    Linear(0.5, 0.0, 4) * 0.5,
    lambda n: 0.25 * n,
]


@pytest.mark.parametrize("schedule", ASKED)
def test_an_optimizer_asks_with_the_steps_taken_and_reads_the_next_rate(schedule: Any) -> None:
    w = np.zeros(3)
    opt = gs.SGD(w, lr=schedule)
    for n in range(6):
        before = w.copy()
        assert opt.t == n
        assert opt.lr == schedule(n)
        opt.step(np.ones(3))
        np.testing.assert_array_equal(before - w, schedule(n))


def test_an_optimizer_gives_its_schedule_plain_counts_from_0() -> None:
    seen: list[int] = []

    def remember(n: int) -> float:
        seen.append(n)
        return 0.1

    opt = gs.SGD(np.zeros(3), lr=remember)
    seen.clear()  # what was asked on the way in
    for n in range(3):
        opt.step(np.ones(3))
        assert set(seen) == {n}
        assert all(type(count) is int for count in seen)
        seen.clear()


def test_a_saved_optimizer_brings_its_schedule_and_its_count() -> None:
    saved = gs.SGD(np.zeros(3), lr=Linear(0.5, 0.0, 4))
    saved.step(np.ones(3))
    loaded = gs.SGD(np.zeros(3), lr=9.0)
    loaded.load_state_dict(saved.state_dict())
    assert loaded.groups[0]["lr"] == Linear(0.5, 0.0, 4)
    assert loaded.lr == saved.lr == 0.375


def test_a_group_that_multiplies_its_rate_keeps_the_schedule() -> None:
    opt = gs.SGD(np.zeros(3), lr=Linear(0.5, 0.0, 4))
    opt.step(np.ones(3))
    opt.groups[0]["lr"] *= 0.5
    assert [opt.lr, opt.groups[0]["lr"]] == [0.1875, Linear(0.5, 0.0, 4) * 0.5]
    loaded = gs.SGD(np.zeros(3), lr=9.0)
    loaded.load_state_dict(opt.state_dict())
    assert loaded.groups[0]["lr"] == opt.groups[0]["lr"]
    opt.step(np.ones(3))
    assert opt.lr == 0.125


# -- Errors: (call, error, message) ----------------------------------------------------------------

NAN, INF = math.nan, math.inf

COUNT_ERRORS = [
    (-1, ValueError, r"count must be finite and >= 0, got -1$"),
    (-1e-9, ValueError, r"count must be finite and >= 0, got -1e-09$"),
    (NAN, ValueError, r"count must be finite and >= 0, got nan$"),
    (INF, ValueError, r"count must be finite and >= 0, got inf$"),
    (np.float32(-2), ValueError, r"count must be finite and >= 0, got -2\.0$"),
    (np.array([0, 1, -3]), ValueError, r"count must be finite and >= 0, got -3$"),
    (np.array([[0.0, NAN]]), ValueError, r"count must be finite and >= 0, got nan$"),
    (True, TypeError, r"count must be a number, got True$"),
    ("3", TypeError, r"count must be a number, got '3'$"),
    (None, TypeError, r"count must be a number, got None$"),
    ([1, 2], TypeError, r"count must be a number, got \[1, 2\]$"),
    (1j, TypeError, r"count must be a number, got 1j$"),
    (np.array([True]), TypeError, r"count must be a number, got (np\.)?True_?$"),
    (
        np.ma.masked_array([1.0, 2.0], [True, False]),
        TypeError,
        "count must be an array without a mask, got a masked array; fill",
    ),
    (np.array(["3"]), TypeError, r"count must be a number, got .*'3'"),
]


@pytest.mark.parametrize(("n", "error", "message"), COUNT_ERRORS)
@pytest.mark.parametrize("schedule", [Constant(0.1), warmup(0.1, 9), join([0.1], [])])
def test_a_bad_count(schedule: Schedule, n: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + message):
        schedule(n)


@pytest.mark.parametrize(
    ("steps", "n"),
    [(10, 1.7e306), (10**300, 1e308), (1, 10**307)],
    ids=["count", "steps too", "integer"],
)
def test_restarts_that_go_beyond_any_float(steps: int, n: float) -> None:
    schedule = CosineRestarts(0.1, steps, factor=1053.0)
    with pytest.raises(
        ValueError, match=r"^count must be below 4\.2.*e\+304 with factor=1053, got 1"
    ):
        schedule(n)
    assert 0.0 <= schedule(1e304) <= 0.1


# Good arguments of each class; a row below puts a bad one in the place of one of them.
GOOD: dict[str, dict[str, object]] = {
    "InverseTimeDecay": {"lr": 0.1, "decay_rate": 1.0, "steps_per_epoch": 1},
    "ExponentialDecay": {"lr": 0.1, "base": 0.95, "steps_per_epoch": 1},
    "InverseSqrtDecay": {"lr": 0.1, "k": 1.0, "steps_per_epoch": 1},
    "Constant": {"lr": 0.1},
    "StepDecay": {"lr": 0.1, "factor": 0.5, "every": 10},
    "Piecewise": {"boundaries": [10, 20], "values": [0.3, 0.2, 0.1]},
    "Linear": {"start": 0.1, "end": 0.0, "steps": 10},
    "Polynomial": {"start": 0.1, "end": 0.0, "steps": 10, "power": 1.0},
    "Cosine": {"lr": 0.1, "steps": 10, "end": 0.0},
    "CosineRestarts": {"lr": 0.1, "steps": 10, "factor": 1.0, "end": 0.0},
    "OneCycle": {
        "lr": 0.1,
        "steps": 10,
        "pct_start": 0.3,
        "div_factor": 25.0,
        "final_div_factor": 1e4,
    },
    "Warmup": {"after": 0.1, "steps": 10},
    "Joined": {"schedules": [0.3, 0.2, 0.1], "boundaries": [10, 20]},
    "Scaled": {"unscaled": 0.1, "factor": 0.5},
}
AT_LEAST_0 = {"lr", "start", "end", "decay_rate", "k"}
ABOVE_0 = {"base", "factor", "power", "pct_start", "div_factor", "final_div_factor"}
WHOLE = {"steps", "steps_per_epoch", "every"}


def argument_errors() -> Iterator[tuple[str, str, object, type[Exception], str]]:
    """Yield (class, argument, bad value, error, message) for every number that a class takes."""
    for kind, name in ((a, b) for a in GOOD for b in GOOD[a]):
        if name in WHOLE:
            least = 0 if kind == "Warmup" else 1
            for bad in (least - 1, -1, np.int64(least - 1)):
                yield kind, name, bad, ValueError, f"must be an integer >= {least}, got"
            for bad in (True, 10.0, "10", None, NAN):
                yield kind, name, bad, TypeError, f"must be an integer >= {least}, got"
        elif name in AT_LEAST_0 | ABOVE_0:
            bound = ">= 0" if name in AT_LEAST_0 else "> 0"
            bound = {"CosineRestarts factor": ">= 1", "Scaled factor": ">= 0"}.get(
                f"{kind} {name}", bound
            )
            for bad in (-1, NAN, INF, {">= 0": -1e-9, "> 0": 0.0, ">= 1": 0.999}[bound]):
                yield kind, name, bad, ValueError, f"must be finite and {bound}, got"
            for bad in (True, "0.1", None, 1j, [0.1], np.array([0.1]), foreign):
                yield kind, name, bad, TypeError, "must be a number, got"


ORDER = "must be finite, > 0 and strictly increasing, got"
COUNT = "must be one more than the boundaries, got"
PEAK = r"must put the peak, int\(pct_start \* steps\), at 1 to steps - 1, got"
SEQUENCE = "must be a list or tuple, got"
MEMBER = "must be a schedule, a callable or a number, got"

OTHER_ERRORS = [
    ("OneCycle", "pct_start", 0.09, ValueError, rf"{PEAK} pct_start=0\.09 with steps=10$"),
    ("OneCycle", "pct_start", 1.0, ValueError, rf"{PEAK} pct_start=1\.0 with steps=10$"),
    ("OneCycle", "pct_start", 1.5, ValueError, PEAK),
    ("Piecewise", "boundaries", [0, 20], ValueError, rf"{ORDER} \(0, 20\)$"),
    ("Piecewise", "boundaries", [-1, 20], ValueError, rf"{ORDER} \(-1, 20\)$"),
    ("Piecewise", "boundaries", [20, 20], ValueError, rf"{ORDER} \(20, 20\)$"),
    ("Piecewise", "boundaries", [20, 10], ValueError, ORDER),
    ("Piecewise", "boundaries", [10, NAN], ValueError, ORDER),
    ("Piecewise", "boundaries", [NAN, 10], ValueError, ORDER),
    ("Piecewise", "boundaries", [10, INF], ValueError, ORDER),
    ("Piecewise", "boundaries", 10, TypeError, rf"{SEQUENCE} 10$"),
    ("Piecewise", "boundaries", "12", TypeError, rf"{SEQUENCE} '12'$"),
    ("Piecewise", "boundaries", b"12", TypeError, rf"{SEQUENCE} b'12'$"),
    ("Piecewise", "boundaries", {10, 20}, TypeError, SEQUENCE),
    ("Piecewise", "boundaries[1]", [10, "20"], TypeError, "must be a number, got '20'$"),
    ("Piecewise", "boundaries[0]", [True, 20], TypeError, "must be a number, got True$"),
    ("Piecewise", "values", [0.3, 0.2], ValueError, f"{COUNT} 2 for 2 boundaries$"),
    ("Piecewise", "values", [1, 2, 3, 4], ValueError, f"{COUNT} 4 for 2 boundaries$"),
    ("Piecewise", "values", 0.3, TypeError, rf"{SEQUENCE} 0\.3$"),
    ("Piecewise", "values[2]", [1, 2, -3], ValueError, "must be finite and >= 0, got -3$"),
    ("Piecewise", "values[0]", [NAN, 2, 3], ValueError, "must be finite and >= 0, got nan$"),
    ("Piecewise", "values[1]", [1, None, 3], TypeError, "must be a number, got None$"),
    ("Joined", "boundaries", [20, 10], ValueError, rf"{ORDER} \(20, 10\)$"),
    ("Joined", "boundaries", 10, TypeError, rf"{SEQUENCE} 10$"),
    ("Joined", "schedules", [0.1], ValueError, f"{COUNT} 1 for 2 boundaries$"),
    ("Joined", "schedules", Constant(0.1), TypeError, rf"{SEQUENCE} Constant\(lr=0\.1\)$"),
    ("Joined", "schedules[1]", [0.1, "x", 0.1], TypeError, f"{MEMBER} 'x'$"),
    ("Joined", "schedules[2]", [0.1, 0.1, -1], ValueError, "must be finite and >= 0, got -1$"),
    ("Warmup", "after", None, TypeError, f"{MEMBER} None$"),
    ("Warmup", "after", True, TypeError, f"{MEMBER} True$"),
    ("Warmup", "after", "0.1", TypeError, f"{MEMBER} '0.1'$"),
    ("Warmup", "after", NAN, ValueError, "must be finite and >= 0, got nan$"),
    ("Scaled", "unscaled", None, TypeError, f"{MEMBER} None$"),
]


@pytest.mark.parametrize(
    ("kind", "name", "bad", "error", "message"), [*argument_errors(), *OTHER_ERRORS]
)
def test_a_bad_argument(
    kind: str, name: str, bad: object, error: type[Exception], message: str
) -> None:
    argument, _, index = name.partition("[")
    escaped = rf"{argument}\[{index[:-1]}\]" if index else argument
    with pytest.raises(error, match=f"^{kind}: {escaped} {message}"):
        getattr(schedules, kind)(**GOOD[kind] | {argument: bad})


def test_the_functions_pass_on_what_is_wrong() -> None:
    with pytest.raises(TypeError, match=r"^Warmup: steps must be an integer >= 0, got 2\.5$"):
        warmup(0.1, 2.5)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"^Joined: schedules must be one more than the bound"):
        join([0.1, 0.2], [])


FACTORS: list[tuple[Any, type[Exception], str]] = [
    (-0.5, ValueError, r"must be finite and >= 0, got -0\.5$"),
    (NAN, ValueError, "must be finite and >= 0, got nan$"),
    (True, TypeError, "must be a number, got True$"),
    (np.True_, TypeError, r"must be a number, got (np\.)?True_?$"),
    (np.ones(2), TypeError, r"must be a number, got array\("),
    (Constant(0.1), TypeError, r"must be a number, got Constant\(lr=0\.1\)$"),
    ("2", TypeError, "must be a number, got '2'$"),
]


@pytest.mark.parametrize(("factor", "error", "message"), FACTORS)
def test_a_bad_factor(factor: Any, error: type[Exception], message: str) -> None:
    for pair in ((Constant(0.1), factor), (factor, Constant(0.1))):
        with pytest.raises(error, match=f"^Scaled: factor {message}"):
            operator.mul(*pair)


@pytest.mark.parametrize("half", [0.5, np.float32(0.5), Fraction(1, 2), np.array(0.5)], ids=repr)
def test_an_argument_may_be_any_number(half: Any) -> None:
    schedule = Linear(half, half, steps=np.array(2)) * half  # type: ignore[arg-type]
    assert repr(schedule) == "Scaled(unscaled=Linear(start=0.5, end=0.5, steps=2), factor=0.5)"
    assert warmup(half, 0) == Constant(0.5)


def test_factors_that_are_together_beyond_any_float() -> None:
    with pytest.raises(ValueError, match=r"^Scaled: factor must be finite and >= 0, got inf$"):
        Constant(0.1) * 1e200 * 1e200


GROWING = ExponentialDecay(1.0, 2.0)
OUTGROWN = [  # schedule, count, and of which schedule and count the message speaks
    (GROWING, 5000, ["ExponentialDecay", 5000]),
    (GROWING, np.array([3, 2000]), ["ExponentialDecay", 2000]),
    (ExponentialDecay(10.0, 2.0), 1022, ["ExponentialDecay", 1022]),  # the power alone is a float
    (StepDecay(1.0, 2.0, 2), 4001.5, ["StepDecay", 4001.5]),
    (Constant(1e308) * 10, 3, ["Scaled", 3]),
    (warmup(GROWING, 5), 2000, ["Warmup", 2000, "ExponentialDecay", 1995]),
    (join([0.1, GROWING], [7]), 2000, ["Joined", 2000, "ExponentialDecay", 1993]),
    (GROWING * 0.5, 2000, ["Scaled", 2000, "ExponentialDecay", 2000]),
    (warmup(lambda n: 2.0**n, 5), 2000, ["Warmup", 2000]),
]


@pytest.mark.parametrize(("schedule", "n", "named"), OUTGROWN)
def test_a_rate_beyond_any_float_is_named_with_its_count(
    schedule: Schedule, n: Any, named: list[Any]
) -> None:
    pairs = zip(named[::2], named[1::2], strict=True)
    parts = [
        rf"the rate of {kind}\(.*\) must be finite, got one beyond any float at count {count}: "
        for kind, count in pairs
    ]
    with pytest.raises(OverflowError, match=f"^{''.join(parts)}[^:]*$"):
        schedule(n)


def test_a_rate_without_bound_is_one_where_a_callable_gives_it() -> None:
    # As max_norm it measures the norm and never clips.
    assert (join([lambda n: INF, 1.0], [10]) * 0.5)(3) == INF


def test_a_schedule_without_a_formula() -> None:
    with pytest.raises(NotImplementedError, match=r"^Schedule has no formula: define _rate$"):
        schedules.Schedule()(0)


# -- Checkpoints -----------------------------------------------------------------------------------

CONFIGS = [
    (Cosine(0.1, 100), {"schedule": "Cosine", "lr": 0.1, "steps": 100, "end": 0.0}),
    (
        Piecewise((5, 7.5), (3, 2, 1)),
        {"schedule": "Piecewise", "boundaries": [5, 7.5], "values": [3.0, 2.0, 1.0]},
    ),
    (
        warmup(StepDecay(0.1, 0.5, 10), 5),
        {
            "schedule": "Warmup",
            "after": {"schedule": "StepDecay", "lr": 0.1, "factor": 0.5, "every": 10},
            "steps": 5,
        },
    ),
    (
        warmup(Constant(0.1) * 0.5, 2) * 2,
        {
            "schedule": "Scaled",
            "unscaled": {
                "schedule": "Warmup",
                "after": {
                    "schedule": "Scaled",
                    "unscaled": {"schedule": "Constant", "lr": 0.1},
                    "factor": 0.5,
                },
                "steps": 2,
            },
            "factor": 2.0,
        },
    ),
    (
        join([warmup(0.1, 2), 0.2], [10]),
        {
            "schedule": "Joined",
            "schedules": [
                {"schedule": "Warmup", "after": {"schedule": "Constant", "lr": 0.1}, "steps": 2},
                {"schedule": "Constant", "lr": 0.2},
            ],
            "boundaries": [10],
        },
    ),
]


@pytest.mark.parametrize(("schedule", "config"), CONFIGS)
def test_config(schedule: Schedule, config: dict[str, object]) -> None:
    stored = schedules.to_config(schedule)
    assert repr(stored) == repr(config)  # the order and the types too
    assert schedules.from_config(config) == schedule


@pytest.mark.parametrize("kind", GOOD)
def test_every_class_can_be_stored(kind: str) -> None:
    schedule = getattr(schedules, kind)(**GOOD[kind])
    assert schedules.from_config(schedules.to_config(schedule)) == schedule


def test_every_class_is_in_the_table_of_errors() -> None:
    kinds = {kind.__name__ for kind in schedules.Schedule.__subclasses__()}
    assert kinds & set(schedules.__all__) == set(GOOD)


def test_a_config_may_leave_out_defaults_and_hold_tuples() -> None:
    config = {"schedule": "CosineRestarts", "lr": 0.1, "steps": 100, "end": 0.01}
    assert schedules.from_config(config) == CosineRestarts(0.1, 100, end=0.01)
    parts = (0.1, {"schedule": "Constant", "lr": 0.2})
    config = {"schedule": "Joined", "schedules": parts, "boundaries": (3,)}
    assert schedules.from_config(config) == join([0.1, 0.2], [3])


class Mine(Cosine):
    """A subclass, which may have another formula."""


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        (foreign, "<function foreign"),
        (warmup(foreign, 5), "<function foreign"),
        (Scaled(foreign, 0.5), "<function foreign"),
        (join([0.1, warmup(foreign, 5)], [10]), "<function foreign"),
        (Mine(0.1, 100), "Mine"),
        (0.1, "0.1"),
    ],
)
def test_what_cannot_be_stored(schedule: Any, shown: str) -> None:
    with pytest.raises(
        TypeError, match=rf"^schedule must be one of gradstep\.schedules, got {shown}.*; only"
    ):
        schedules.to_config(schedule)


CONFIG_ERRORS: list[tuple[Any, type[Exception], str]] = [
    (
        {"schedule": "Sine", "lr": 1},
        ValueError,
        "schedule must be one of InverseTimeDecay, .*, got 'Sine'$",
    ),
    ({"schedule": "Schedule"}, ValueError, "schedule must be one of .*, got 'Schedule'$"),
    ({"lr": 0.1}, ValueError, "schedule must be one of .*, got None$"),
    ({"schedule": ["Cosine"]}, ValueError, r"schedule must be one of .*, got \['Cosine'\]$"),
    (
        {"schedule": "Cosine", "lr": 0.1},
        ValueError,
        "the config of Cosine must have fitting arguments lr, steps, end, got others: .*missing .*'steps'",
    ),
    (
        {"schedule": "Cosine", "lr": 0.1, "steps": 9, "factor": 2},
        ValueError,
        "the config of Cosine must have fitting arguments lr, steps, end, got others: .*unexpected .*'factor'",
    ),
    (
        {"schedule": "Cosine", "lr": 0.1, "steps": 9, 3: 2},
        ValueError,
        "the config of Cosine must have fitting arguments lr, steps, end, got others: .*must be strings$",
    ),
    (
        {"schedule": "Warmup", "after": {"schedule": "Constant"}, "steps": 9},
        ValueError,
        "the config of Constant must have fitting arguments lr, got others: .*missing .*'lr'",
    ),
    (
        {"schedule": "Cosine", "lr": -1, "steps": 9},
        ValueError,
        "the config of Cosine must .*: Cosine: lr must be finite and >= 0, got -1$",
    ),
    (
        {"schedule": "Cosine", "lr": 0.1, "steps": "9"},
        ValueError,
        "the config of Cosine must .*: Cosine: steps must be an integer >= 1, got '9'$",
    ),
    (
        {"schedule": "Constant", "lr": 10**400},
        ValueError,
        "the config of Constant must have fitting arguments lr, got others: Constant: lr must be finite",
    ),
    ("Cosine", TypeError, "config must be a mapping, got str$"),
]


@pytest.mark.parametrize(("config", "error", "message"), CONFIG_ERRORS)
def test_a_bad_config(config: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + message):
        schedules.from_config(config)


@pytest.mark.parametrize(
    "rate",
    [np.complex64(1), "0.5", b"0.5", None, True, np.True_, np.ones(1), np.timedelta64(1), {}],
    ids=repr,
)
def test_a_callable_that_returns_no_number_is_refused(rate: Any) -> None:
    for schedule in (warmup(lambda n: rate, 3), join([0.1, lambda n: rate], [1])):
        with pytest.raises(TypeError, match=r"<lambda> at .* must return a number, got .* at coun"):
            schedule(2)


@pytest.mark.parametrize("rate", [1, np.float32(1), np.int8(1), Fraction(1), np.array(1.0)])
def test_a_callable_may_return_any_number(rate: Any) -> None:
    assert warmup(lambda n: rate, 4)(2) == 0.75
    assert type(join([0.1, lambda n: rate], [1])(2)) is float
