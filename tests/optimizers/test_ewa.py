"""Exponentially weighted averages by `EWA` and `ewa`: of numbers, arrays, models and series.

Those that an optimizer keeps are in test_averaged.py.
"""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradstep as gs
from gradstep import _core


def judge(values: Any, beta: float, corrected: bool) -> list[Any]:
    """Return all averages by the sum itself: (1−β) Σ βⁱ θ, over 1 − βᵗ where corrected."""
    out = []
    for t in range(1, len(values) + 1):
        weights = [(1 - beta) * beta ** (t - 1 - i) for i in range(t)]
        v = sum(w * x for w, x in zip(weights, values, strict=False))
        out.append(v / sum(weights) if corrected else v)
    return out


BETAS = [0.0, 0.5, 0.9, 0.98]


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("kind", ["numbers", "arrays", "model"])
def test_one_at_a_time(kind: str, beta: float, corrected: bool) -> None:
    values = np.random.default_rng(0).normal(size=(30, 3))
    average = gs.EWA(beta, bias_correction=corrected)
    assert average.value == 0.0
    for t, (value, expected) in enumerate(
        zip(values, judge(values, beta, corrected), strict=True), 1
    ):
        x: Any = {"numbers": value[0], "arrays": value, "model": {"W": value, "b": [value[0:1]]}}[
            kind
        ]
        found = average.update(float(x) if kind == "numbers" else x)
        assert average.t == t
        assert np.all(average.value == found) if kind != "model" else True
        if kind == "numbers":
            assert type(found) is float
            expected = expected[0]
        elif kind == "model":
            np.testing.assert_allclose(found["b"][0], expected[:1], rtol=1e-12)
            found = found["W"]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "shape", [(40,), (40, 1), (40, 17), (40, 3, 5), (1,), (0,), (0, 4), (3, 0)]
)
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_series_has_the_bits_of_its_updates(
    shape: tuple[int, ...], corrected: bool, dtype: Any, isa: str
) -> None:
    values = np.random.default_rng(1).normal(size=shape).astype(dtype)
    series = gs.ewa(values, 0.9, bias_correction=corrected)
    assert series.dtype == dtype
    assert series.shape == shape
    average = gs.EWA(0.9, bias_correction=corrected)
    for value, expected in zip(values, series, strict=True):
        assert np.array_equal(average.update(np.asarray(value)), expected)


def special(dtype: Any) -> dict[str, Any]:
    """Series that lead below the floor, across it and back, or to no number at all."""
    info, rng = np.finfo(dtype), np.random.default_rng(3)
    tiny = float(info.tiny)
    signs = rng.choice([-1.0, 1.0], size=600)
    return {
        "values, then zeros": np.r_[rng.normal(size=5), np.zeros(7500), 1.0, np.zeros(9)],
        "negative values, then negative zeros": np.r_[-1.0, np.full(900, -0.0), -1.0],
        "nothing but negative zeros": np.full(600, -0.0),
        "denormals": signs * tiny * rng.uniform(0, 1, size=600),
        "around the floor": signs * tiny * rng.uniform(0, 30, size=600),
        "all magnitudes": signs * tiny ** rng.uniform(0, 1, size=600),
        "a NaN": np.r_[np.ones(20), np.nan, np.zeros(20)],
        "infinities": np.r_[1.0, np.inf, np.ones(5), -np.inf, np.ones(5)],
        "the largest": np.full(50, info.max),
    }


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("beta", [0.0, 1e-30, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", special(np.float32))
def test_special_values_have_the_bits_of_their_updates(
    kind: str, dtype: Any, beta: float, corrected: bool
) -> None:
    values = special(dtype)[kind].astype(dtype)
    average = gs.EWA(beta, bias_correction=corrected)
    with np.errstate(over="ignore"):  # the largest number, divided by a correction below 1
        expected = np.array([average.update(np.asarray(value)) for value in values])
    assert expected.dtype == dtype
    for isa, columns in itertools.product(_core.isas(), (1, 3)):
        _core.use_isa(isa)
        found = gs.ewa(np.stack([values] * columns, axis=1), beta, bias_correction=corrected)
        for column in found.T:
            assert column.tobytes() == expected.tobytes(), isa


@pytest.mark.parametrize("columns", [1, 3])
def test_a_series_of_many_pages(columns: int, threads: int) -> None:
    # New memory, and memory that holds something: whoever asks for its pages leaves that alone.
    values = np.random.default_rng(4).normal(size=(1_500_000 // columns, columns))
    with gs.threads(1):
        expected = gs.ewa(values, 0.5)
    found = gs.ewa(values, 0.5)
    assert np.array_equal(found, expected)
    found[:] = 0
    _core.ewa_series(values, found, 0.5, False)
    assert np.array_equal(found, expected)


def test_a_long_corrected_series() -> None:
    # Past the point where 1 − βᵗ has become 1, and from a layout that is not contiguous.
    values = np.random.default_rng(2).normal(size=(2, 3000))[::-1].T
    found = gs.ewa(values, 0.98, bias_correction=True)
    expected = np.array(judge(values[:200], 0.98, True))
    np.testing.assert_allclose(found[:200], expected, rtol=1e-11)
    weights = 0.02 * 0.98 ** np.arange(3000)[::-1]
    np.testing.assert_allclose(found[-1], weights @ values, rtol=1e-10)


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    beta=st.floats(0, 0.999),
)
def test_a_corrected_average_lies_within_its_values(values: list[float], beta: float) -> None:
    found = gs.ewa(values, beta, bias_correction=True)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert np.all(found >= np.minimum.accumulate(values) - slack)
    assert np.all(found <= np.maximum.accumulate(values) + slack)


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.arange(3), np.float64),
        (np.array([True, False]), np.float64),
        (np.ones(3, np.float32), np.float32),
        (np.ones((2, 2), order="F"), np.float64),
        (np.array(2.0, np.float32), np.float32),
    ],
)
def test_dtypes(given: Any, dtype: Any) -> None:
    found = gs.EWA(0.5).update(given)
    assert isinstance(found, np.ndarray)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, given / 2)
    if given.ndim:
        assert gs.ewa(given, 0.5).dtype == dtype


@pytest.mark.parametrize("number", [np.float32(2), np.int64(2)])
def test_a_scalar_of_numpy_within_a_structure_is_an_array(number: Any) -> None:
    found = gs.EWA(0.5).update({"a": number})["a"]
    assert (type(found), found.shape, float(found)) == (np.ndarray, (), 1.0)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.ones(2, np.float16),
            "^x must be of native float32, float64 or integers, got float16; co",
        ),
        ({"a": np.ones(2, complex)}, "^'a' of x must be of native float32, .*, got complex128; "),
        ([np.array([1], "m8[s]")], r"^'0' of x must be of native .*, got timedelta64\[s\]; "),
        ("abc", "^x must be a NumPy array .* got str; text is not an array"),
    ],
)
def test_what_cannot_be_averaged(x: Any, message: str) -> None:
    average = gs.EWA()
    with pytest.raises(TypeError, match=message):
        average.update(x)
    assert (average.t, average.value) == (0, 0.0)


@pytest.mark.parametrize("number", [1, 1.0, np.float32(1), np.int64(1)])
def test_numbers_give_float(number: Any) -> None:
    assert type(gs.EWA(0.5).update(number)) is float


@pytest.mark.parametrize("corrected", [False, True])
def test_an_average_lies_in_memory_as_its_values(corrected: bool) -> None:
    average = gs.EWA(0.5, bias_correction=corrected)
    found = average.update({"f": np.ones((3, 2), order="F"), "0-d": np.array(2.0, np.float32)})
    assert found["f"].flags.f_contiguous
    assert type(found["0-d"]) is np.ndarray
    assert found["0-d"].dtype == np.float32
    assert found["0-d"].shape == ()


def test_a_structure_keeps_its_kinds() -> None:
    found = gs.EWA().update(([np.ones(1)], (np.ones(1), np.ones(2))))
    assert [type(found), *map(type, found)] == [tuple, list, tuple]


def test_what_is_returned_is_independent() -> None:
    x = np.ones(3)
    average = gs.EWA(0.5)
    first = average.update(x)
    assert x.tolist() == [1, 1, 1]
    first[...] = 99
    x[...] = 1
    second = average.update(x)
    assert second.tolist() == [0.75] * 3
    average.value[...] = 99
    assert average.value.tolist() == [0.75] * 3


@pytest.mark.parametrize(
    ("first", "then", "error", "message"),
    [
        (1.0, np.ones(1), TypeError, "^x must be a number, as before, got ndarray"),
        (np.ones(1), 1.0, TypeError, "^x must be arrays, as before, got float"),
        # NumPy takes a duration for an integer.
        (1.0, np.timedelta64(1, "s"), TypeError, "^x must be a number, as before, got timedelta64"),
        (
            np.ones(2),
            np.ones(3),
            ValueError,
            r"^x must have the shape \(2,\), as before, got \(3,\)$",
        ),
        (
            {"a": [np.ones(2)]},
            {"a": [np.ones(())]},
            ValueError,
            r"^'a\.0' of x must have the shape \(2,\), as before, got \(\)$",
        ),
        (
            np.ones(2),
            np.ones(2, np.float32),
            TypeError,
            r"^x must be of dtype float64, as before, got float32; convert .*\.astype\(np\.float64\)$",
        ),
        (
            np.ones(2, np.float32),
            np.ones(2, int),
            TypeError,
            r"^x must be of dtype float32, as before, got int64; convert .*\.astype\(np\.float32\)$",
        ),
        (np.ones(2), np.ones(2, ">f8"), TypeError, "^x must be of dtype float64, .* got >f8"),
        (
            {"a": np.ones(2)},
            {"a": [1.0, 2.0]},
            TypeError,
            r"^'a' of x must be .* got list; pass np",
        ),
        (np.ones(2), np.ma.masked_array([1.0, 2.0]), TypeError, "^x must be .* mask would be ig"),
        ({"a": np.ones(2)}, {"b": np.ones(2)}, ValueError, r"x must have the keys 'a'"),
        ([np.ones(2)], [np.ones(2)] * 2, ValueError, r"x must have 1 entries, got 2"),
    ],
)
def test_another_kind_is_refused(first: Any, then: Any, error: Any, message: str) -> None:
    average = gs.EWA()
    before = average.update(first)
    with pytest.raises(error, match=message):
        average.update(then)
    assert average.t == 1
    np.testing.assert_equal(average.value, before)


@pytest.mark.parametrize(
    "value",
    [
        2.0,
        np.array([1.0, 2.0], np.float32),
        {"a": [np.ones(2)], "b": np.zeros((2, 2))},
        [np.ones(2), (np.zeros(3), np.ones(1))],
    ],
)
def test_saving_and_loading(value: Any) -> None:
    average = gs.EWA(0.75, bias_correction=True)
    average.update(value)
    saved = average.state_dict()
    loaded = gs.EWA()
    loaded.load_state_dict(saved)
    assert repr(loaded) == repr(average) == "EWA(beta=0.75, bias_correction=True)"
    for _ in range(3):
        np.testing.assert_equal(loaded.update(value), average.update(value))
    assert loaded.t == average.t == 4
    # What was loaded from is nobody's: it can be loaded again.
    again = gs.EWA()
    again.load_state_dict(saved)
    assert again.t == 1
    np.testing.assert_equal(again.state_dict(), saved)
    fresh = gs.EWA(0.5)
    fresh.load_state_dict(gs.EWA(0.25).state_dict())
    assert (fresh.beta, fresh.t, fresh.value) == (0.25, 0, 0.0)


@pytest.mark.parametrize("act", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_by_themselves(act: Any) -> None:
    average = gs.EWA(0.5)
    average.update(np.ones(2))
    other = act(average)
    assert other.update(np.ones(2)).tolist() == [0.75] * 2
    assert average.value.tolist() == [0.5] * 2


def test_what_was_set_at_first_stays() -> None:
    average = gs.EWA(0.5)
    with pytest.raises(AttributeError):
        average.beta = 0.9  # type: ignore[misc]
    with pytest.raises(AttributeError):
        average.bias_correction = True  # type: ignore[misc]


def test_a_state_that_is_none_changes_nothing() -> None:
    average = gs.EWA(0.5)
    average.update(1.0)
    for bad, message in [
        ({}, "^the state must have the keys .*, got none called 'beta'; load"),
        ({**average.state_dict(), "beta": 2.0}, "beta must be"),
        ({**average.state_dict(), "t": -1}, "t must be an integer"),
        ({**average.state_dict(), "average": None}, "^average of the state must be an average"),
        ({**average.state_dict(), "t": 0}, "^average of the state must be None with t=0, got"),
        ({**average.state_dict(), "average": 10**400}, "^average of the state must be finite"),
        (
            {**average.state_dict(), "average": np.ones(1, "f2")},
            "^average of the state must be of native",
        ),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            average.load_state_dict(bad)
        assert (average.value, average.t) == (0.5, 1)


def test_a_loaded_state_stays_the_callers() -> None:
    average = gs.EWA(0.5)
    average.update({"w": np.ones(3, np.float32)})
    saved = average.state_dict()
    other = gs.EWA()
    other.load_state_dict(saved)
    other.update({"w": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(saved["average"]["w"], np.full(3, 0.5, np.float32))
    saved["average"]["w"][:] = 7
    np.testing.assert_array_equal(other.value["w"], np.full(3, 0.25, np.float32))
