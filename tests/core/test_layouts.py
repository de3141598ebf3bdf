"""Every view that NumPy can make is stepped right in place; what cannot be is refused untouched.

Views of any steps, order and alignment are drawn at random here; test_steps.py goes through a list
of them with every rule, and test_aliasing.py asks what two of them share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import gradstep as gs
from support.effort import effort, endurance
from support.layouts import CANARY, buffer
from support.oracle import CASES
from support.teams import shared_out

Array = NDArray[Any]
LR = 0.05


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, ...]:
    """Draw none to four axes; at most one is long, around the borders of one tile or of two."""
    shape: list[int] = draw(st.lists(st.sampled_from([2, 3, 1, 5, 0]), max_size=4))
    has_long: bool = draw(st.booleans())
    if shape and has_long:
        borders = st.sampled_from([511, 512, 513, 1023, 1024, 1025])
        shape[draw(st.integers(0, len(shape) - 1))] = draw(borders)
        # The others short, so that whole tiles, and what is left of them, are of either axis.
        shape = [min(length, 3) if length < 100 else length for length in shape]
    return tuple(shape)


@st.composite
def views(draw: st.DrawFn, shape: tuple[int, ...], dtype: Any) -> tuple[Array, NDArray[np.uint8]]:
    """Draw a view of this shape in a buffer of canaries: steps, margins, order and alignment."""
    ndim = len(shape)
    steps = draw(st.lists(st.sampled_from([1, -1, 2, -3]), min_size=ndim, max_size=ndim))
    margins = draw(st.lists(st.integers(0, 2), min_size=ndim, max_size=ndim))
    order = draw(st.permutations(range(ndim)))
    shift = draw(st.sampled_from([0, 0, 1, np.dtype(dtype).itemsize // 2]))
    if draw(st.booleans()):  # half of them are dense, in one order or another
        steps, margins = [1] * ndim, [0] * ndim
    lengths = [n * abs(s) + m for n, s, m in zip(shape, steps, margins, strict=True)]
    raw, flat = buffer(int(np.prod(lengths)), dtype, shift)
    whole = flat.reshape([lengths[axis] for axis in order]).transpose(np.argsort(order))
    view = whole
    for axis, (n, step, margin) in enumerate(zip(shape, steps, margins, strict=True)):
        index: list[Any] = [slice(None)] * ndim
        index[axis] = slice(margin, None)
        view = view[tuple(index)]
        index[axis] = slice(None, None, step)
        view = view[tuple(index)]
        index[axis] = slice(0, n)
        view = view[tuple(index)]
    assert view.shape == shape
    return view, raw


@endurance
@settings(max_examples=effort(50, 10_000))
@given(data=st.data())
def test_any_view_with_any_gradient(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(CASES))
    if case.options.get("centered"):
        case = replace(case, options={**case.options, "eps": 0.25})  # v − m² cancels
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    shape = data.draw(shapes())
    w, raw = data.draw(views(shape, dtype))
    broadcast = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    if data.draw(st.booleans()):
        broadcast = [False] * len(shape)
    own = tuple(min(n, 1) if b else n for n, b in zip(shape, broadcast, strict=True))
    held, _ = data.draw(views(own, dtype))
    g = np.broadcast_to(held, shape)

    w[...] = 0
    outside = raw == CANARY
    assert np.count_nonzero(~outside) == w.nbytes
    rng = np.random.default_rng(w.size)
    w[...] = rng.normal(size=shape)
    judged, state, dense = w.astype(np.float64), case.new_state(w), w.copy()
    opt = case.optimizer({"w": w}, lr=LR, **case.options)
    alone = case.optimizer({"w": dense}, lr=LR, **case.options)
    with shared_out(data.draw(st.integers(1, 4))):
        for t in (1, 2, 3):
            # Away from zero: where g/√(v + ε) has v close to ε, rounding is large.
            held[...] = np.sign(rng.normal(size=own)) + 0.1 * t
            opt.step({"w": g})
            judged = case.step(judged, g.astype(np.float64), state, t, LR)
            with gs.threads(1):
                alone.step({"w": g.copy(order="C")})
    tolerance = 4e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_allclose(w, judged, rtol=0, atol=tolerance)
    assert w.tobytes() == dense.tobytes()
    for name in case.states:
        assert opt.state["w"][name].tobytes() == alone.state["w"][name].tobytes()
    assert np.all(raw[outside] == CANARY)


# --- refused ----------------------------------------------------------------------------------


def read_only(a: Array) -> Array:
    a.flags.writeable = False
    return a


SWAPPED = np.dtype(np.float32).newbyteorder()
# How an array of six numbers is made, what it raises, and whether a gradient may be so.
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], bool]] = {
    "half": (lambda: np.ones(6, np.float16), TypeError, False),
    "wider": (lambda: np.ones(6, np.float64), TypeError, False),
    "long double": (lambda: np.ones(6, np.longdouble), TypeError, False),
    "integers": (lambda: np.ones(6, np.int32), TypeError, False),
    "booleans": (lambda: np.ones(6, np.bool_), TypeError, False),
    "complex": (lambda: np.ones(6, np.complex64), TypeError, False),
    "objects": (lambda: np.ones(6, object), TypeError, False),
    "byte-swapped": (lambda: np.ones(6, SWAPPED), TypeError, False),
    "structured": (lambda: np.ones(6, [("x", np.float32)]), TypeError, False),
    "records": (lambda: np.rec.array(np.ones(6, [("x", np.float32)])), TypeError, False),
    "strings": (lambda: np.full(6, "1.0"), TypeError, False),
    "bytes": (lambda: np.full(6, b"1.0"), TypeError, False),
    "dates": (lambda: np.zeros(6, "M8[s]"), TypeError, False),
    "masked": (lambda: np.ma.masked_array(np.ones(6, np.float32)), TypeError, False),
    "a list": (lambda: [1.0] * 6, TypeError, False),
    "a string": (lambda: "111111", TypeError, False),
    "another shape": (lambda: np.ones((2, 3), np.float32), ValueError, False),
    "stride 0": (lambda: as_strided(np.ones(1, np.float32), (6,), (0,)), ValueError, True),
    "windows": (lambda: as_strided(np.ones(4, np.float32), (6,), (2,)), ValueError, True),
    "read-only": (lambda: read_only(np.ones(6, np.float32)), ValueError, True),
}


def contents(*arrays: Any) -> list[bytes]:
    return [np.asarray(a).tobytes() for a in arrays]


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("role", ["parameter", "gradient", "moment"])
def test_what_cannot_be_stepped_is_refused_untouched(kind: str, role: str) -> None:
    # The bad one comes last, and everything before it is right.
    make, error, readable = REFUSED[kind]
    good = [[np.full(6, float(i + k), np.float32) for i in range(2)] for k in range(3)]
    w, g, m = good
    bad = make()
    column = ["parameter", "gradient", "moment"].index(role)
    good[column][1] = bad
    before = contents(*w, *g, *m)
    name = ["parameter 'w[1]'", "gradient of 'w[1]'", "state 'm' of 'w[1]'"][column]
    if role == "parameter" and kind in ("wider", "another shape"):
        # It is right by itself: the gradient and the moment do not fit.
        name = "state 'm' of 'w[1]'"
    if role == "gradient" and readable:
        gs.functional.momentum(w, g, m, lr=0.1)
        assert contents(*w, *m) != before[:2] + before[4:]
        return
    with pytest.raises(error) as caught:
        gs.functional.momentum(w, g, m, lr=0.1)
    assert str(caught.value).startswith(name), caught.value
    assert contents(*w, *g, *m) == before
