"""Overlap: every one is refused, by the names of two that meet; what is disjoint is stepped right.

The judge is brute force, the set of bytes that each array reaches. What else can be wrong with an
array is in test_layouts.py, test_errors.py and test_changes.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import gradstep as gs
from support.anything import OWN, arrays_of, over
from support.effort import effort, endurance
from support.oracle import CASES

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
SIZE = 800  # bytes of the buffer in which everything lies


def f32(*shape: int) -> Array:
    return np.ones(shape, np.float32)


# --- by hand ----------------------------------------------------------------------------------


def test_overlapping_parameters() -> None:
    base = f32(10)
    for a, b in [(base, base), (base[:6], base[5:]), (base[::2], base[4:5]), (base, base[::-1])]:
        with pytest.raises(
            ValueError,
            match=r"parameter '[ab]' shares memory with parameter '[ab]'; (tied|parameters that overlap)",
        ):
            gs.SGD({"a": a, "b": b})


def test_interleaved_parameters_are_apart() -> None:
    base = f32(10)
    opt = gs.SGD({"even": base[::2], "odd": base[1::2]}, lr=1.0)
    opt.step({"even": np.full(5, 1, np.float32), "odd": np.full(5, 2, np.float32)})
    assert base.tolist() == [0.0, -1.0] * 5


def test_a_gradient_behind_a_short_parameter_in_a_long_one() -> None:
    base = f32(20)
    opt = gs.SGD({"long": base[::5], "short": base[1:2]})
    with pytest.raises(
        ValueError, match=r"gradient of 'short' shares memory with parameter 'long'"
    ):
        opt.step({"long": f32(4), "short": base[10:11]})


def test_a_gradient_or_a_moment_inside_a_parameter() -> None:
    base = f32(10)
    opt = gs.Adam({"a": base[:5], "b": f32(5)})
    with pytest.raises(ValueError, match=r"gradient of 'b' shares memory with parameter 'a'"):
        opt.step({"a": f32(5), "b": base[4:9]})
    with pytest.raises(ValueError, match=r"gradient of 'a' shares memory with state 'm' of 'b'"):
        opt.step({"a": opt.state["b"]["m"], "b": f32(5)})
    opt.step({"a": base[5:], "b": base[5:]})  # two gradients may be one
    with pytest.raises(ValueError, match=r"(state 'm' of 'w'|parameter 'w') shares memory with"):
        gs.functional.momentum(base, f32(10), base, lr=0.1)


def test_a_gradient_inside_of_a_product() -> None:
    product = np.ones(1)
    w, m, v = (np.ones(1) for _ in range(3))
    with pytest.raises(
        ValueError, match=r"gradient of 'w' shares memory with state 'mu_product' of 'w'"
    ):
        gs.functional.nadam(w, product, m, v, t=1, lr=0.1, mu_product=product)
    with pytest.raises(
        ValueError, match=r"state '(v|mu_product)' of 'w' shares memory with state '(v|mu_product)'"
    ):
        gs.functional.nadam(w, np.ones(1), m, v, t=1, lr=0.1, mu_product=v)


def test_a_gradient_that_moves_into_a_parameter() -> None:
    # Where the last gradient lay clear of everything is remembered, but not what lies around it.
    base = f32(32)
    opt = gs.SGD({"low": base[8:12], "high": base[20:24]}, lr=1.0)
    for apart in (base[14:18], base[:4], base[28:], base[12:16], base[16:20], f32(4)):
        opt.step({"low": apart, "high": apart})
        for start in (5, 8, 11, 17, 20, 23):
            with pytest.raises(ValueError, match="gradient of 'low' shares memory with parameter"):
                opt.step({"low": base[start : start + 4], "high": f32(4)})
    assert opt.t == 6


# Each of a kind that one stride tells apart, beside one that only looks so.
REGULAR: dict[str, tuple[Callable[[Array], list[Array]], Callable[[Array], list[Array]]]] = {
    "columns": (lambda a: [a[:, j] for j in range(12)], lambda a: [a[:, 3], a[2:, 3]]),
    "columns, some backwards": (
        lambda a: [a[:, j][:: (-1) ** j] for j in range(12)],
        lambda a: [a[:, 5], a[::-1, 5]],
    ),
    "windows of columns": (
        lambda a: [a[:, :5], a[:, 5:6], a[:, 6:]],
        lambda a: [a[:, :6], a[:, 5:]],
    ),
    "windows of columns, some backwards": (
        lambda a: [a[:, 4::-1], a[::-1, 5:]],
        lambda a: [a[:, 5::-1], a[::-1, :3]],
    ),
    "other steps": (
        lambda a: [a.ravel()[::2], a.ravel()[1::4], a.ravel()[3::4]],
        lambda a: [a.ravel()[::2], a.ravel()[2::4]],
    ),
    "the last and the first of rows": (
        lambda a: [a[:-1, 11], a[1:, 0]],
        # Rows of 12 and of 13: they slide over each other.
        lambda a: [a[:, 0], as_strided(a.ravel()[5:], (9,), (13 * a.itemsize,))],
    ),
    "the middle of three axes": (
        lambda a: [a.reshape(10, 3, 4)[:, j] for j in range(3)],
        lambda a: [a.reshape(10, 3, 4)[:, :2], a.reshape(10, 3, 4)[:, 1]],
    ),
}


@pytest.mark.parametrize("kind", REGULAR)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regular_views(kind: str, dtype: Any) -> None:
    apart, meeting = REGULAR[kind]
    base = np.ones((12, 12), dtype)[:10]
    for views in itertools.permutations(apart(base)[:4]):
        gs.SGD(list(views))
    gs.SGD(apart(base))
    for views in itertools.permutations(meeting(base)):
        with pytest.raises(ValueError, match="shares memory"):
            gs.SGD(list(views))


# --- against sets of bytes --------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where an array lies in a buffer, in the words of np.ndarray."""

    shape: tuple[int, ...]
    dtype: Any
    start: int
    strides: tuple[int, ...]

    def on(self, buffer: Bytes) -> Array:
        view: Array = np.ndarray(self.shape, self.dtype, buffer, self.start, self.strides)
        return view

    def reached(self) -> NDArray[np.int64]:
        """Return how many of the elements reach each byte of the buffer."""
        starts = np.array(self.start)
        for length, stride in zip(self.shape, self.strides, strict=True):
            starts = np.add.outer(starts, stride * np.arange(length))
        bytes_ = np.add.outer(starts, np.arange(np.dtype(self.dtype).itemsize))
        return np.bincount(bytes_.ravel(), minlength=SIZE)


class Drawn:
    """Places in a buffer, and their judge."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        # Arrays of the same strides are often interleaved, others rarely.
        self.shared = data.draw(st.lists(self._strides, min_size=3, max_size=3), label="shared")
        self.written: dict[str, Place] = {}

    _strides = st.one_of(st.integers(-40, 40), st.integers(-5, 5).map(lambda n: 8 * n))
    _lengths = st.sampled_from([2, 3, 1, 4, 0])

    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.draw(st.lists(self._lengths, min_size=1, max_size=3), label="shape"))

    def place(self, shape: tuple[int, ...], dtype: Any) -> Place:
        n = len(shape)
        own = st.lists(self._strides, min_size=n, max_size=n)
        dense = np.empty(shape, dtype).strides
        choices = st.one_of(st.just(self.shared[:n]), st.just(list(dense)), own)
        strides = self.data.draw(choices, label="strides")
        reach = [max(length - 1, 0) * s for length, s in zip(shape, strides, strict=True)]
        below = -sum(r for r in reach if r < 0)
        room = SIZE - 8 - sum(abs(r) for r in reach)
        starts = st.one_of(st.integers(0, 10).map(lambda k: 4 * k), st.integers(0, room))
        start = below + self.data.draw(starts, label="start")
        return Place(shape, dtype, start, tuple(strides))

    def write(self, label: str, place: Place) -> Place:
        self.written[label] = place
        return place

    def faults(self, read: dict[str, Place] | None = None) -> set[frozenset[str]]:
        """Return the labels of what repeats elements, alone, and of what overlaps, in pairs."""
        times = {label: place.reached() for label, place in self.written.items()}
        found = {frozenset([a]) for a in times if np.any(times[a] > 1)}
        pairs = list(itertools.combinations(times, 2))
        for label, place in (read or {}).items():
            times[label] = place.reached()
            pairs += [(label, a) for a in self.written]
        return found | {
            frozenset([a, b]) for a, b in pairs if np.any((times[a] > 0) & (times[b] > 0))
        }


def named(message: str) -> frozenset[str]:
    """Return the labels in an error about overlap."""
    advice = "arrays of a step must not|tied arrays are one|parameters that overlap are one"
    pair = re.fullmatch(rf"(.+) shares memory with (.+); (?:{advice}).*", message)
    alone = re.fullmatch(r"(.+) repeats elements: .*", message)
    found = pair or alone
    assert found is not None, message
    return frozenset(found.groups()[:2])


def refusal(act: Callable[[], object]) -> str:
    """Return the message of the ValueError that `act` raises, empty where it raises none."""
    try:
        act()
    except ValueError as error:
        return str(error)
    return ""


def new_buffer() -> Bytes:
    # Wherever an element begins, it is a number between 1e-13 and 1.
    return np.random.default_rng(0).integers(0x3D, 0x40, SIZE).astype(np.uint8)


def read(place: Place, buffer: Bytes, writeable: bool) -> Array:
    g = place.on(buffer)
    g.flags.writeable = writeable
    return g


@endurance
@settings(max_examples=effort(80, 10_000))
@given(data=st.data())
def test_functions_against_sets_of_bytes(data: st.DataObject) -> None:
    # One to five parameters, with gradients and moments, all over one buffer.
    drawn = Drawn(data)
    case = data.draw(st.sampled_from(CASES))
    states = case.states
    columns: list[list[Place]] = [[] for _ in range(2 + len(states))]
    gradients: dict[str, Place] = {}
    for i in range(data.draw(st.integers(1, [5, 3, 2, 1][len(states)]))):
        name, shape = f"'w[{i}]'", drawn.shape()
        dtype = data.draw(st.sampled_from([np.float32, np.float64]))
        places = [drawn.place(shape, dtype) for _ in columns]
        for column, place in zip(columns, places, strict=True):
            column.append(place)
        drawn.write(f"parameter {name}", places[0])
        gradients[f"gradient of {name}"] = places[1]
        for state, place in zip(states, places[2:], strict=True):
            drawn.write(f"state '{state}' of {name}", place)
    products: list[Place] = []
    if "mu_product" in arrays_of(case.function):
        products.append(drawn.place((1,), np.float64))
        drawn.write("state 'mu_product' of 'w[0]'", products[0])
    writeable = data.draw(st.booleans())
    faults = drawn.faults(gradients)

    def call(listed: list[list[Array]], product: list[Array]) -> None:
        w, g, *moments = listed
        given: dict[str, Any] = dict(zip(states, moments, strict=True))
        if product:
            given["mu_product"] = product[0]
        case.call(w, g, given, t=3, lr=0.5)

    event("refused" if faults else "accepted")
    buffer, before = new_buffer(), new_buffer()
    listed = [[place.on(buffer) for place in column] for column in columns]
    listed[1] = [read(place, buffer, writeable) for place in columns[1]]
    message = refusal(lambda: call(listed, [place.on(buffer) for place in products]))
    if message:
        assert named(message) in faults
        assert np.array_equal(buffer, before)
        return
    assert not faults
    copies = [[place.on(before).copy() for place in column] for column in (*columns, products)]
    call(copies[:-1], copies[-1])
    for k, column in enumerate((*columns, products)):
        for place, copied in zip(column, copies[k], strict=True):
            place.on(before)[...] = copied
    assert np.array_equal(buffer, before)


@endurance
@settings(max_examples=effort(50, 10_000))
@given(data=st.data())
def test_steps_against_sets_of_bytes(data: st.DataObject) -> None:
    # An optimizer remembers what it has judged; every step's gradients lie elsewhere. Some of the
    # parameters may come later, as a group.
    drawn = Drawn(data)
    kind = data.draw(st.sampled_from(OWN))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    places = [
        drawn.write(f"parameter '{i}'", drawn.place(drawn.shape(), dtype))
        for i in range(data.draw(st.integers(1, 4)))
    ]
    first = data.draw(st.integers(1, len(places)), label="first")
    buffer, before = new_buffer(), new_buffer()

    def made(params: list[Array]) -> gs.Optimizer:
        opt: gs.Optimizer = over(kind, params[:first], lr=0.5)
        if params[first:]:
            opt.add_group({"params": params[first:]})
        return opt

    def grouped(grads: list[Array]) -> Any:
        return [grads[:first], grads[first:]] if grads[first:] else grads

    opts: list[gs.Optimizer] = []
    message = refusal(lambda: opts.append(made([place.on(buffer) for place in places])))
    if message:
        assert named(message) in drawn.faults()
        assert np.array_equal(buffer, before)
        return
    assert not drawn.faults()
    alone = [place.on(before).copy() for place in places]
    judge = made(alone)
    for _ in range(3):
        gradients = [drawn.place(place.shape, dtype) for place in places]
        labelled = {f"gradient of '{i}'": place for i, place in enumerate(gradients)}
        faults = drawn.faults(labelled)
        copied = [place.on(buffer).copy() for place in gradients]
        writeable = data.draw(st.booleans())
        grads = [read(place, buffer, writeable) for place in gradients]
        message = refusal(lambda grads=grads: opts[0].step(grouped(grads)))  # type: ignore[misc]
        assert bool(message) == bool(faults)
        event("refused" if faults else "accepted")
        if message:
            assert named(message) in faults
        else:
            judge.step(grouped(copied))
            for place, w in zip(places, alone, strict=True):
                place.on(before)[...] = w
        assert np.array_equal(buffer, before)


def test_one_gradient_for_several_parameters() -> None:
    g = f32(6)
    g.flags.writeable = False
    params = [f32(6), f32(6), f32(2, 3)]
    gs.SGD(params, lr=0.5).step([g, g, g.reshape(2, 3)])
    assert all(np.all(w == 0.5) for w in params)


def test_arrays_without_elements_overlap_nothing() -> None:
    base = f32(12)
    params = [base, base[3:3], base.reshape(3, 4)[:, 2:2], base[:0]]
    gs.SGD(params, lr=1.0).step([f32(12), base[:0], f32(3, 0), base[5:5]])
    assert base.tolist() == [0] * 12
