"""The average of the parameters that a step keeps, and the block in which it takes their place.

That it is folded in with the bits of an average of its own is in test_one_step.py as well.
"""

from __future__ import annotations

import copy
import gc
import itertools
import math
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import gradstep as gs
from gradstep import _core
from support.layouts import CANARY, LAYOUTS
from support.oracle import LOOPS, Case
from support.processes import output
from support.same import digest
from support.teams import shared_out

Array = NDArray[Any]
DTYPES = [np.float32, np.float64]
IN_PLACE = "the averages are in the parameters' place; leave the block of averaged.. first"
KEPT = "this average is kept by an optimizer"


def averages_of(opt: gs.Optimizer) -> list[Array]:
    """Return copies of the averages as they are kept, uncorrected."""
    return list(opt.state_dict()["average"]["arrays"].values())


def judged(values: list[Array], beta: float, corrected: bool) -> Array:
    """Return the average of a series, in float64."""
    average = np.zeros_like(values[0], np.float64)
    for value in values:
        average = beta * average + (1 - beta) * value
    return average / (1 - beta ** len(values)) if corrected else average


# --- folding in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("case", LOOPS, ids=str)
def test_the_average_against_the_judge(case: Case, corrected: bool) -> None:
    rng = np.random.default_rng(1)
    params = {"W": rng.normal(size=(6, 50)), "b": rng.normal(size=(20, 9))[::2, ::-3]}
    opt = case.optimizer(
        params, lr=0.05, average=gs.EWA(0.75, bias_correction=corrected), **case.options
    )
    seen: dict[str, list[Array]] = {name: [] for name in params}
    for _ in range(6):
        opt.step({name: rng.normal(size=w.shape) for name, w in params.items()})
        for name, w in params.items():
            seen[name].append(w.copy())
        for name, average in opt.average.items():
            np.testing.assert_allclose(
                average, judged(seen[name], 0.75, corrected), rtol=1e-13, atol=1e-15
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_average_of_parameters_in_every_layout(layout: str, dtype: Any, threads: int) -> None:
    rng = np.random.default_rng(2)
    w, raw = LAYOUTS[layout](dtype)
    outside = raw == CANARY
    for value in (0.0, np.frombuffer(b"\xff" * w.itemsize, dtype)[0]):
        w[...] = value
        outside &= raw == CANARY
    w[...] = rng.normal(size=w.shape)
    opt = gs.Adam([w], lr=0.1, average=gs.EWA(0.75, bias_correction=True))
    apart = gs.EWA(0.75, bias_correction=True)
    for _ in range(3):
        opt.step([rng.normal(size=w.shape).astype(dtype)])
        apart.update([w])
    before, kept = digest(w), digest(*averages_of(opt))
    assert digest(*opt.average) == digest(*apart.value)
    with opt.averaged():
        assert digest(w) == digest(*apart.value)
    assert digest(w) == before
    assert digest(*averages_of(opt)) == kept
    assert np.all(raw[outside] == CANARY)


def test_levels_find_the_same_average() -> None:
    found = set()
    for isa in _core.isas():
        _core.use_isa(isa)
        for n in (1, 17, 511, 513, 4099):
            w = np.linspace(-1, 1, n, dtype=np.float32)
            opt = gs.SGD(w, lr=0.1, average=gs.EWA(0.7, bias_correction=True))
            for _ in range(3):
                opt.step(w * w)
            found.add((n, digest(opt.average)))
    _core.use_isa(_core.isas()[-1])
    assert len(found) == 5


def test_no_average_without_one() -> None:
    opt = gs.SGD(np.ones(2))
    assert opt.average is None
    assert opt.state_dict()["average"] is None
    with pytest.raises(ValueError, match=r"keeps no average .* average=gs\.EWA\(\.\.\.\)"):
        opt.averaged()


def test_the_average_has_the_structure_of_the_parameters() -> None:
    params = {"l": [np.ones(2), (np.ones(3, np.float32), np.ones(()))]}
    opt = gs.SGD(params, lr=0.0, average=gs.EWA(0.5))
    opt.step({"l": [np.ones(2), [np.ones(3, np.float32), np.ones(())]]})
    average = opt.average
    assert [*average] == ["l"]
    first, (second, third) = average["l"]
    assert [a.dtype for a in (first, second, third)] == ["f8", "f4", "f8"]
    assert (first[0], second[0], third) == (0.5, 0.5, 0.5)
    first[0] = 7  # new arrays every time
    assert opt.average["l"][0][0] == 0.5
    assert repr(opt).endswith(", average=EWA(beta=0.5, bias_correction=False), t=1)")


def test_skipped_steps_are_not_folded_in() -> None:
    w = np.zeros(2)
    average = gs.EWA(0.5)
    opt = gs.SGD(w, lr=1.0, average=average, nonfinite="skip")
    opt.step(-np.ones(2))
    opt.step(np.array([1.0, math.inf]))
    assert (average.t, opt.average.tolist()) == (1, [0.5, 0.5])
    opt.step(-np.ones(2))
    assert (average.t, opt.average.tolist()) == (2, [1.25, 1.25])


def test_a_group_that_comes_later_counts_its_own_steps() -> None:
    first, second = np.full(3, 2.0), np.full(2, 3.0)
    opt = gs.SGD({"a": first}, lr=0.0, average=gs.EWA(0.5, bias_correction=True))
    opt.step({"a": np.ones(3)})
    opt.step({"a": np.ones(3)})
    opt.add_group({"params": {"b": second}})
    assert opt.average[0]["a"].tolist() == [2.0] * 3
    with opt.averaged() as params:
        # Of which nothing has been averaged yet, stays.
        assert second.tolist() == [3.0] * 2
        assert params[1]["params"]["b"] is second
    opt.step([{"a": np.ones(3)}, {"b": np.ones(2)}])
    assert opt.average[0]["a"].tolist() == [2.0] * 3
    assert opt.average[1]["b"].tolist() == [3.0] * 2
    with opt.averaged():
        assert second.tolist() == [3.0] * 2
    assert averages_of(opt)[1].tolist() == [1.5] * 2
    other = gs.SGD(
        [{"params": {"a": np.zeros(3)}}, {"params": {"b": np.zeros(2)}}],
        average=gs.EWA(0.9),
    )
    other.load_state_dict(opt.state_dict())
    assert other.average[0]["a"].tolist() == [2.0] * 3
    assert other.average[1]["b"].tolist() == [3.0] * 2


def test_a_group_that_is_refused_leaves_the_averages() -> None:
    w = np.ones(3)
    opt = gs.SGD({"a": w}, average=gs.EWA(0.5))
    opt.step({"a": np.ones(3)})
    before = opt.state_dict()
    for wrong in ({"params": {"b": w}}, {"params": {"b": np.ones(2)}, "lr": -1.0}):
        with pytest.raises(ValueError, match=r"share|lr must be"):
            opt.add_group(wrong)
        np.testing.assert_equal(opt.state_dict(), before)
        assert [*opt.average] == ["a"]
    opt.step({"a": np.ones(3)})
    with opt.averaged():
        pass


def test_groups_by_name_are_averaged() -> None:
    params = {"W": np.full(2, 2.0), "b": np.full(2, 4.0)}
    opt = gs.SGD(gs.by_name(params, {"b": {"lr": 1.0}}), lr=0.0, average=gs.EWA(0.5))
    opt.step({"W": np.ones(2), "b": np.ones(2)})
    assert (opt.average["W"][0], opt.average["b"][0]) == (1.0, 1.5)


# --- before the first step ----------------------------------------------------


@pytest.mark.parametrize("corrected", [False, True])
def test_before_the_first_step_the_average_is_the_parameters(corrected: bool) -> None:
    average = gs.EWA(0.5, bias_correction=corrected)
    params: dict[str, Any] = {"a": np.array([1.0, 2.0]), "b": [np.full((2, 2), 3.0, np.float32)]}
    opt = gs.SGD(params, lr=1.0, average=average)
    for found in (opt.average, average.value):
        np.testing.assert_equal(found, params)
        found["a"][:] = 9.0  # a copy
    assert params["a"].tolist() == [1.0, 2.0]
    params["a"] += 1.0  # a step later is of what they are then
    np.testing.assert_equal(opt.average, params)
    with opt.averaged():
        np.testing.assert_equal(params, {"a": [2.0, 3.0], "b": [np.full((2, 2), 3.0)]})


@pytest.mark.parametrize("corrected", [False, True])
def test_before_its_first_step_the_average_of_a_later_group_is_its_parameters(
    corrected: bool,
) -> None:
    opt = gs.SGD(np.ones(2), lr=1.0, average=gs.EWA(0.5, bias_correction=corrected))
    opt.step(np.zeros(2))
    opt.add_group({"params": np.full(2, 4.0)})
    first, later = opt.average
    assert later.tolist() == [4.0, 4.0]
    opt.step([np.zeros(2), np.ones(2)])
    first, later = opt.average
    assert (first[0], later[0]) == ((1.0, 3.0) if corrected else (0.75, 1.5))
    # Where a state is loaded from before the group's first step, it is so again.
    fresh = gs.SGD([{"params": np.ones(2)}, {"params": np.full(2, 4.0)}], average=gs.EWA())
    fresh.step([np.zeros(2), np.zeros(2)])
    saved = gs.SGD(np.ones(2), average=gs.EWA())
    saved.add_group({"params": np.full(2, 5.0)})
    fresh.load_state_dict(saved.state_dict())
    assert fresh.average[1].tolist() == [4.0, 4.0]


def test_an_average_that_nothing_was_folded_into_is_saved_as_one_and_taken_by_another() -> None:
    average = gs.EWA(0.5)
    opt = gs.SGD({"a": np.ones(2)}, average=average)
    assert average.state_dict() == gs.EWA(0.5).state_dict()
    loaded = gs.EWA()
    loaded.load_state_dict(average.state_dict())
    assert (loaded.t, loaded.value) == (0, 0.0)
    del opt
    gc.collect()  # it is in a circle
    other = gs.SGD([np.full(3, 2.0)], average=average)
    assert other.average[0].tolist() == [2.0] * 3


# --- in the parameters' place ---------------------------------------------------------------------


def averaged_once(w: Array, average: Array, beta: float, steps: int, corrected: bool) -> None:
    """Have an average of any bits in the place of parameters of any bits, and both back."""
    opt = gs.SGD({"w": w}, average=gs.EWA(0.5))
    opt.load_state_dict(
        {
            **opt.state_dict(),
            "average": {
                "beta": beta,
                "bias_correction": corrected,
                "t": steps,
                "starts": [0],
                "arrays": {"w": average},
            },
        }
    )
    with np.errstate(all="ignore"):
        before, value = digest(w), opt.average["w"]
    with opt.averaged() as params:
        assert params["w"] is w
        inside = w.copy()
    assert digest(w) == before
    assert digest(*averages_of(opt)) == digest(average)
    # What NaN holds is promised to nobody who reads it.
    np.testing.assert_array_equal(inside, value)
    assert np.array_equal(np.signbit(inside), np.signbit(value))
    if corrected:
        with np.errstate(all="ignore"):
            expected = average / average.dtype.type(1 - beta**steps)
        np.testing.assert_allclose(inside, expected, rtol=1e-6)


BETAS = [0.0, 0.25, 0.5, 0.9, 0.999, 1 - 2.0**-20, 1 - 2.0**-53]


@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_comes_back(dtype: Any, beta: float, steps: int) -> None:
    rng = np.random.default_rng(steps)
    n, word = 5000, np.dtype(dtype).itemsize
    bits = rng.integers(0, 256, (2, n * word), np.uint8)
    w, average = bits[0].view(dtype).copy(), bits[1].view(dtype).copy()
    info = np.finfo(dtype)
    # Both sides of powers of two, denormals, zeros; what could overflow is made smaller.
    powers = dtype(2.0) ** np.arange(info.minexp - info.nmant, info.maxexp - 60).astype(dtype)
    around = [np.nextafter(powers, dtype(0)), powers, np.nextafter(powers, dtype(np.inf))]
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, info.tiny, info.smallest_subnormal])
    average = np.concatenate([average, *around, *(-a for a in around), special.astype(dtype)])
    with np.errstate(over="ignore", invalid="ignore"):
        large = np.isfinite(average) & (np.abs(average) > powers[-1])
    average[large] = np.ldexp(average[large], -70)
    average[np.isnan(average)] = np.nan  # quiet: an average is the result of arithmetic
    w = np.resize(w, average.size)
    for corrected in (False, True):
        averaged_once(w.copy(), average, beta, steps, corrected)


@given(
    st.lists(st.floats(width=64, allow_nan=False), min_size=1, max_size=20),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 40),
)
def test_any_bits_come_back_or_overflow(values: list[float], beta: float, steps: int) -> None:
    average = np.array(values)
    try:
        averaged_once(np.arange(average.size, dtype=float), average, beta, steps, True)
    except OverflowError:
        with np.errstate(over="ignore"):
            assert np.isinf(average[np.isfinite(average)] / (1 - beta**steps) * (1 + 1e-9)).any()


def test_an_average_that_would_overflow_is_refused() -> None:
    w, v = np.full(700, 1.5), np.full(3, 2.5)
    opt = gs.SGD({"v": v, "W": w}, average=gs.EWA(0.9, bias_correction=True))
    opt.step({"v": np.ones(3), "W": np.ones(700)})
    state = opt.state_dict()
    state["average"]["arrays"]["W"][-1] = -1.5e308
    opt.load_state_dict(state)
    before = digest(v, w)
    with pytest.raises(OverflowError, match=r"^the average of 'W' is so large that correcting its"):
        opt.averaged().__enter__()
    assert digest(v, w) == before
    np.testing.assert_equal(opt.state_dict(), state)
    opt.step({"v": np.ones(3), "W": np.ones(700)})  # its turn is over


@pytest.mark.parametrize(
    ("dtype", "bits"), [(np.float32, 0x7FA00001), (np.float64, 0x7FF4 << 48 | 1)]
)
def test_a_nan_that_signals_is_a_nan(dtype: Any, bits: int) -> None:
    # No arithmetic gives one, but a state may hold it. It is no overflow, and may come back quiet;
    # a parameter's comes back as it was.
    signalling = np.array([bits], f"u{np.dtype(dtype).itemsize}").view(dtype)
    w = signalling.copy()
    opt = gs.SGD({"w": w}, average=gs.EWA(0.9, bias_correction=True))
    state = opt.state_dict()
    state["average"] |= {"t": 1, "arrays": {"w": signalling}}
    opt.load_state_dict(state)
    with opt.averaged():
        assert np.isnan(w).all()
    assert w.tobytes() == signalling.tobytes()
    assert np.isnan(averages_of(opt)[0]).all()


def trained(corrected: bool = True, n: int = 3) -> tuple[gs.Optimizer, Array]:
    w = np.linspace(1, 2, n)
    opt = gs.Momentum({"w": w}, lr=0.1, average=gs.EWA(0.7, bias_correction=corrected))
    for _ in range(3):
        opt.step({"w": np.ones(n)})
    return opt, w


class Own(Exception):
    """What a body raises."""


@pytest.mark.parametrize("corrected", [False, True])
def test_they_come_back_when_the_body_raises(corrected: bool) -> None:
    opt, w = trained(corrected)
    before, state = w.tobytes(), opt.state_dict()

    def body() -> None:
        with opt.averaged():
            assert w.tobytes() != before
            raise Own

    with pytest.raises(Own):
        body()
    assert w.tobytes() == before
    np.testing.assert_equal(opt.state_dict(), state)
    opt.step({"w": np.ones(3)})


def test_they_come_back_when_the_block_is_never_left() -> None:
    opt, w = trained()
    before = w.tobytes()

    def body() -> Any:
        with opt.averaged():
            yield

    running = body()
    next(running)
    assert w.tobytes() != before
    del running
    gc.collect()
    assert w.tobytes() == before
    block = opt.averaged()
    block.__enter__()
    assert w.tobytes() != before
    del block
    gc.collect()
    assert w.tobytes() == before


def test_they_come_back_where_the_optimizer_is_gone() -> None:
    opt, w = trained()
    before = w.tobytes()
    block = opt.averaged()
    del opt
    with block:
        assert w.tobytes() != before
    assert w.tobytes() == before


def test_a_block_that_was_left_holds_nothing() -> None:
    opt, w = trained()
    block = opt.averaged()
    references = sys.getrefcount(w)
    with block:
        assert sys.getrefcount(w) > references
    assert sys.getrefcount(w) == references


def test_leaving_twice_is_leaving_once() -> None:
    opt, w = trained()
    before = w.tobytes()
    block = opt.averaged()
    block.__exit__(None, None, None)  # nothing was entered
    assert w.tobytes() == before
    with block:
        pass
    block.__exit__(None, None, None)
    assert w.tobytes() == before
    with block:  # and again
        assert w.tobytes() != before
    assert w.tobytes() == before


STATE: dict[str, Any] = trained()[0].state_dict()
INSIDE: dict[str, Callable[[gs.Optimizer], object]] = {
    "a step": lambda opt: opt.step({"w": np.ones(3)}),
    "nested": lambda opt: opt.averaged().__enter__(),
    "saving": lambda opt: opt.state_dict(),
    "loading": lambda opt: opt.load_state_dict({**STATE}),
    "a rate": lambda opt: setattr(opt, "lr", 0.5),
    "an option": lambda opt: setattr(opt, "max_norm", 0.5),
    "a hyperparameter": lambda opt: opt.groups[0].update({"beta": 0.5}),
    "a group": lambda opt: opt.add_group({"params": {"b": np.ones(2)}}),
    "the average": lambda opt: opt.average,
    "the average's value": lambda opt: kept_by(opt).value,
    "the average's state": lambda opt: kept_by(opt).state_dict(),
    "pickling the average": lambda opt: pickle.dumps(kept_by(opt)),
}


def kept_by(opt: gs.Optimizer) -> gs.EWA:
    average = opt._average
    assert average is not None
    return average


@pytest.mark.parametrize("act", INSIDE)
def test_what_cannot_be_done_inside(act: str) -> None:
    opt, w = trained()
    before, state = w.tobytes(), opt.state_dict()
    with opt.averaged():
        inside = w.tobytes()
        with pytest.raises(RuntimeError, match=IN_PLACE):
            INSIDE[act](opt)
        assert w.tobytes() == inside
        assert (opt.t, opt.lr, opt.skipped) == (3, 0.1, 0)  # which can be asked
        assert "average=EWA" in repr(opt)
    assert w.tobytes() == before
    np.testing.assert_equal(opt.state_dict(), state)
    INSIDE["a step"](opt)


def test_before_the_first_step_the_parameters_stay() -> None:
    w = np.ones(3)
    opt = gs.SGD(w, average=gs.EWA(0.5, bias_correction=True))
    with opt.averaged() as params:
        assert params is w
        assert w.tolist() == [1.0] * 3


def test_parameters_that_changed_are_seen() -> None:
    opt, w = trained()
    w.flags.writeable = False
    with pytest.raises(ValueError, match="parameter 'w' must be writable"):
        opt.averaged().__enter__()
    w.flags.writeable = True
    w.shape = (3, 1)
    with pytest.raises(ValueError, match=r"parameter 'w' must have shape .*, got \(3, 1\)"):
        opt.averaged().__enter__()
    w.shape = (3,)
    with opt.averaged():
        pass


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc: run on Linux")
@pytest.mark.parametrize("corrected", [False, True])
def test_no_copy_is_made(corrected: bool) -> None:
    # Neither held inside nor made on the way: two bits an element, a sixteenth of float32, is all.
    # The arrays are large because the system may round what is held up to huge pages, at both ends.
    code = f"""
import numpy as np, gradstep as gs
gs.set_num_threads(1)
w, g = np.ones(24_000_000, np.float32), np.ones(24_000_000, np.float32)
opt = gs.SGD(w, average=gs.EWA(0.75, bias_correction={corrected}))
opt.step(g)
def held(name):  # of this process alone: what getrusage says begins with its parent's
    line, = (line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024
before, most_before = held("VmRSS"), held("VmHWM")
with opt.averaged():
    inside = held("VmRSS")
print(held("VmHWM") - most_before, inside - before, w.nbytes)
"""
    most, inside, size = map(int, output(code).split())
    allowed = size // (8 if corrected else 20)
    assert most < allowed
    assert inside < allowed
    if corrected:
        assert inside > size // 30  # what is measured, is measured


def test_another_threads_step_finds_it_taken() -> None:
    opt, _ = trained()
    errors: list[str] = []

    def step() -> None:
        try:
            opt.step({"w": np.ones(3)})
        except RuntimeError as error:
            errors.append(str(error))

    with opt.averaged():
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert "leave the block" in errors[0]
    assert opt.t == 3


# --- the average that is passed in ---------------------------------------------------------------


def test_what_was_averaged_before_goes_on() -> None:
    for corrected, listed in itertools.product((False, True), (False, True)):
        w, b = np.full(3, 2.0), np.full((2, 2), 4.0)
        params: Any = [{"params": {"w": w}}, {"params": [b]}] if listed else {"w": w, "b": [b]}
        tree: Any = [{"w": w}, [b]] if listed else {"w": w, "b": [b]}
        average, apart = (gs.EWA(0.75, bias_correction=corrected) for _ in range(2))
        for _ in range(2):
            average.update(tree)
            apart.update(tree)
        before = average.value
        opt = gs.SGD(params, lr=1.0, average=average)
        assert average.t == 2
        np.testing.assert_equal(average.value, before)
        opt.step(
            [{"w": np.ones(3)}, [np.ones((2, 2))]]
            if listed
            else {"w": np.ones(3), "b": [np.ones((2, 2))]}
        )
        apart.update(tree)
        assert (average.t, opt.t) == (3, 1)
        np.testing.assert_equal(opt.average, apart.value)
        np.testing.assert_equal(average.value, apart.value)
        with opt.averaged():
            np.testing.assert_equal(tree, apart.value)


def used(x: Any) -> gs.EWA:
    average = gs.EWA(0.5)
    average.update(x)
    return average


UNFIT: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: used(np.ones(2)), TypeError, r"the average must be a dict with the keys 'w', got ndarray"),
    (lambda: used({"v": np.ones(3)}), ValueError, r"the average must have the keys 'w'"),
    (lambda: used({"w": np.ones(2)}), ValueError, r"the average of 'w' must be float64\(3,\), like the parameter, got float64\(2,\); pass"),
    (lambda: used({"w": np.ones(3, np.float32)}), ValueError, r"the average of 'w' must be .*, got float32"),
    (lambda: 0.9, TypeError, r"^average must be a gradstep.EWA, got float$"),
    (lambda: gs.EWA, TypeError, r"^average must be a gradstep.EWA, got type$"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), UNFIT)
def test_averages_that_do_not_fit(
    make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    w, average = np.ones(3), make()
    state = average.state_dict() if isinstance(average, gs.EWA) else None
    with pytest.raises(error, match=message):
        gs.SGD({"w": w}, average=average)
    assert w.tolist() == [1.0] * 3
    if state:
        np.testing.assert_equal(average.state_dict(), state)
        average.load_state_dict(state)  # it is nobody's


def test_an_average_of_several_does_not_fit_one() -> None:
    for tree in ({"w": np.ones(3)}, [np.ones(3)], [{"w": np.ones(3)}, [np.ones(2)]]):
        kind = type(tree).__name__
        with pytest.raises(
            TypeError, match=rf"^the average of '0' must be an array, .* got {kind};"
        ):
            gs.SGD(np.ones(3), average=used(tree))
    with pytest.raises(
        ValueError, match=r"^the average of '0' must be float64\(3,\), .* got float64\(\)"
    ):
        gs.SGD(np.ones(3), average=used(1.0))


def test_an_average_is_one_optimizers() -> None:
    average = gs.EWA(0.5)
    w = np.ones(3)
    with pytest.raises(ValueError, match="lr must be"):
        gs.SGD(w, lr=-1.0, average=average)
    opt = gs.SGD(w, average=average)  # after one that was refused
    for act in (
        lambda: gs.SGD(np.ones(3), average=average),
        lambda: average.update(np.ones(3)),
        lambda: average.load_state_dict(gs.EWA().state_dict()),
    ):
        with pytest.raises(RuntimeError, match=KEPT):
            act()
    opt.step(np.ones(3))
    assert (average.t, opt.t) == (1, 1)
    np.testing.assert_equal(average.value, opt.average)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))]
)
def test_a_copy_of_a_kept_average_is_its_own(copied: Callable[[gs.EWA], gs.EWA]) -> None:
    opt, w = trained()
    average = kept_by(opt)
    apart = copied(average)
    assert (repr(apart), apart.t) == (repr(average), 3)
    before = apart.value
    np.testing.assert_equal(before, average.value)
    opt.step({"w": np.ones(3)})
    np.testing.assert_equal(apart.value, before)
    apart.update({"w": w})
    np.testing.assert_equal(apart.value, average.value)
    other = gs.SGD({"w": w.copy()}, average=apart)
    np.testing.assert_equal(other.average, opt.average)


def test_an_average_of_groups_that_came_later_is_saved_by_its_optimizer() -> None:
    def of_two(corrected: bool) -> gs.EWA:
        opt, _ = trained(corrected)
        opt.add_group({"params": {"b": np.ones(2)}})
        opt.step([{"w": np.ones(3)}, {"b": np.ones(2)}])
        return kept_by(opt)

    uncorrected = of_two(False)  # of which nothing is lost
    np.testing.assert_equal(copy.copy(uncorrected).value, uncorrected.value)
    average = of_two(True)
    assert len(average.value) == 2
    acts: tuple[Callable[[gs.EWA], Any], ...] = (gs.EWA.state_dict, pickle.dumps, copy.copy)
    for act in acts:
        with pytest.raises(RuntimeError, match=r"added at different times.*state_dict\(\) of the"):
            act(average)


# --- saving and loading ---------------------------------------------------------------------------


def test_averages_are_saved_and_loaded() -> None:
    opt, w = trained()
    state = opt.state_dict()
    assert state["average"] == {
        "beta": 0.7, "bias_correction": True, "t": 3, "starts": [0],
        "arrays": {"w": state["average"]["arrays"]["w"]},
    }  # fmt: skip
    other_w = np.zeros(3)
    other_average = gs.EWA(0.9)
    other = gs.Momentum({"w": other_w}, average=other_average)
    other.load_state_dict(state)
    other_w[...] = w
    assert repr(other_average) == "EWA(beta=0.7, bias_correction=True)"
    assert other_average.t == 3
    for each in (opt, other):
        each.step({"w": np.ones(3)})
    assert digest(other_w, other.average["w"]) == digest(w, opt.average["w"])
    np.testing.assert_equal(other.state_dict(), opt.state_dict())
    # Copies in both directions.
    state["average"]["arrays"]["w"][...] = 9
    assert digest(other_w, other.average["w"]) == digest(w, opt.average["w"])


def test_a_large_state_is_loaded_whole() -> None:
    # More than a tile, dense and as a view, in another order than it was saved in.
    rng = np.random.default_rng(3)

    def made(transposed: bool) -> gs.Optimizer:
        views = np.zeros((60, 50)).T[::2] if transposed else np.zeros((50, 60))[::2]
        return gs.Adam({"w": np.zeros(2000), "s": views}, average=gs.EWA(0.5))

    opt, other = made(False), made(True)
    for _ in range(2):
        opt.step({"w": rng.normal(size=2000), "s": rng.normal(size=(25, 60))})
    other.load_state_dict(opt.state_dict())
    np.testing.assert_equal(other.state_dict(), opt.state_dict())


def test_states_with_and_without_averages() -> None:
    averaging, _ = trained()
    plain = gs.Momentum({"w": np.ones(3)})
    old = {
        k: v for k, v in plain.state_dict().items() if k not in ("average", "options", "skipped")
    }
    for opt, state, message in (
        (
            plain,
            averaging.state_dict(),
            r"the average: in the state, and this optimizer keeps none; make it with average=gs\.EWA",
        ),
        (
            averaging,
            plain.state_dict(),
            r"the average: not in the state, and this optimizer averages its parameters",
        ),
        (
            averaging,
            old,
            r"the average: not in the state, and this optimizer averages its parameters",
        ),
    ):
        before = opt.state_dict()
        with pytest.raises(ValueError, match=message):
            opt.load_state_dict(state)
        np.testing.assert_equal(opt.state_dict(), before)
    plain.load_state_dict(old)


def damaged(**changes: Any) -> dict[str, Any]:
    state = copy.deepcopy(STATE)
    state["average"] = {**state["average"], **changes}
    return state


DAMAGED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({**STATE, "average": 3}, TypeError, r"^average of the state must be a mapping, got int$"),
    ({**STATE, "average": {}}, ValueError, r"^average of the state must have beta, bias_correction, t"),
    (damaged(more=1), ValueError, r"^average of the state must have"),
    (damaged(beta=1.0), ValueError, r"^beta must be >= 0 and < 1, got 1\.0$"),
    (damaged(beta="x"), TypeError, r"^beta must be a number"),
    (damaged(beta=lambda n: 0.5), (TypeError, ValueError), "beta"),  # type: ignore[list-item]
    (damaged(bias_correction=1), TypeError, r"^bias_correction must be True or False"),
    (damaged(t=-1), ValueError, r"^t must be"),
    (damaged(t=2, starts=[3]), ValueError, r"^start must be between 0 and t, got 3$"),
    (damaged(starts=[0, 0]), ValueError, r"^starts of the average must be a list of 1, got"),
    (damaged(starts=0), ValueError, r"^starts of the average must be a list of 1, got 0$"),
    (damaged(starts=["a"]), TypeError, r"^start must be an integer"),
    (damaged(arrays=[1]), TypeError, r"^arrays of the average must be a mapping"),
    (damaged(arrays={}), ValueError, r"^the state does not fit: w\.average: not in the state, float64\(3,\) here$"),
    (damaged(arrays={"w": np.ones(3), "v": np.ones(3)}), ValueError, r"v\.average: float64\(3,\) in the state, not here$"),
    (damaged(arrays={"w": np.ones(2)}), ValueError, r"w\.average: float64\(2,\) in the state, float64\(3,\) here"),
    (damaged(arrays={"w": 1.0}), ValueError, r"w\.average: no array in the state, float64\(3,\) here"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "error", "message"), DAMAGED)
def test_damaged_averages(state: dict[str, Any], error: type[Exception], message: str) -> None:
    opt, w = trained()
    opt.step({"w": np.ones(3)})
    before, bits = opt.state_dict(), w.tobytes()
    with pytest.raises(error, match=message):
        opt.load_state_dict(state)
    np.testing.assert_equal(opt.state_dict(), before)
    assert w.tobytes() == bits
    opt.step({"w": np.ones(3)})  # no turn is left taken


def test_what_is_wrong_elsewhere_leaves_the_averages() -> None:
    opt, _ = trained()
    opt.step({"w": np.ones(3)})
    before = opt.state_dict()
    wrong_ones: list[dict[str, Any]] = [
        {"skipped": -1},
        {"options": {}},
        {"groups": [{**STATE["groups"][0], "lr": -1.0}]},
    ]
    for wrong in wrong_ones:
        with pytest.raises(ValueError, match=r"must (be|have)"):
            opt.load_state_dict({**STATE, **wrong})
        np.testing.assert_equal(opt.state_dict(), before)
    opt.step({"w": np.ones(3)})


def test_a_large_model_averaged_by_several_threads() -> None:
    found = set()
    for threads in (1, 2, 5):
        w = np.linspace(-1, 1, 50_001, dtype=np.float32)
        opt = gs.SGD(w, lr=0.1, average=gs.EWA(0.75, bias_correction=True))
        with shared_out(threads):
            for _ in range(3):
                opt.step(w.copy())
            with opt.averaged():
                found.add(digest(w))
        found.add(digest(opt.average))
    assert len(found) == 1


def test_an_average_outlives_its_optimizer() -> None:
    opt, w = trained()
    average, value = kept_by(opt), opt.average
    references = sys.getrefcount(w)
    del opt
    gc.collect()
    np.testing.assert_equal(average.value, value)
    assert sys.getrefcount(w) < references  # only the parameters are let go
