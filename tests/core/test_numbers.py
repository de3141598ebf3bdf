"""Numbers at the edges: β to the t, overflow, NaN, infinity, denormals, the floating-point mode."""

from __future__ import annotations

import ctypes
import ctypes.util
import inspect
import platform
import threading
from collections.abc import Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradstep as gs
from gradstep import _core
from support.effort import effort, endurance
from support.oracle import CASES, LOOPS, RULES, Case
from support.teams import shared_out


@endurance
@settings(max_examples=effort(100, 100_000))
@given(
    beta=st.one_of(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([0.9, 0.99, 0.999, 0.9999, 1 - 2.0**-53, 0.5, 0.0, 1e-300]),
    ),
    t=st.one_of(st.integers(1, 100), st.integers(1, 2**53 - 1)),
)
def test_bias_correction_against_many_digits(beta: float, t: int) -> None:
    with mpmath.workdps(60):
        # expm1 of t·log β keeps the digits where β is close to 1.
        exact = -mpmath.expm1(t * mpmath.log(beta)) if beta > 0 else mpmath.mpf(1)
        error = abs(mpmath.mpf(_core.one_minus_power(beta, t)) - exact)
        assert error <= 2 * np.spacing(float(exact))


@pytest.mark.parametrize("case", LOOPS, ids=str)
def test_what_is_not_finite_stays_in_its_element(case: Case, isa: str) -> None:
    # Every third element in turn, so that each lane of a vector, tail, tile and share has some. Dense
    # and strided by turns: strided elements are copied in tiles, whatever the rule.
    layout = (1, 3)[(LOOPS.index(case) + _core.isas().index(isa)) % 2]
    rng = np.random.default_rng(0)
    n = 4097 + 1024 + 13
    start, gradient = rng.normal(size=(2, n)).astype(np.float32)
    clean = case.optimizer(start.copy(), lr=0.1, **case.options)
    clean.step(gradient)
    expected = np.array([clean.params, *clean.state["0"].values()])
    values = np.resize(np.array([np.nan, np.inf, -np.inf, np.nan], np.float32), n)
    for first, name in enumerate(["gradient"] * 3 + ["parameter", *case.states]):
        dirty = np.arange(n) % 3 == first % 3
        w, g = np.zeros((n, layout), np.float32)[:, 0], gradient.copy()
        w[...] = start
        opt = case.optimizer(w, lr=0.1, **case.options)
        into = {"gradient": g, "parameter": w, **opt.state["0"]}[name]
        into[dirty] = values[dirty]
        with shared_out(5, together=False):
            opt.step(g)
        touched = np.array([w, *opt.state["0"].values()])
        assert np.array_equal(touched[:, ~dirty], expected[:, ~dirty])
        if name in ("gradient", "parameter"):
            assert not np.any(np.all(np.isfinite(touched), axis=0)[dirty])
        if name == "gradient":
            assert np.all(np.isnan(touched[:, dirty & np.isnan(values)]))


# Centered RMSprop is exempt: there m² overflows too, as the Notes of gs.RMSprop say.
@pytest.mark.parametrize("case", [c for c in CASES if not c.options.get("centered")], ids=str)
@pytest.mark.parametrize("g", [1e20, 3e38])
def test_a_square_that_overflows_makes_no_nan(case: Case, g: float) -> None:
    w = np.ones(3, np.float32)
    opt = case.optimizer(w, lr=1e-3, **case.options)
    for _ in range(3):
        opt.step(np.full(3, g, np.float32))
    assert not np.isnan(w).any()
    if "v" in case.states:
        assert np.isfinite(w).all()
    for name in {"v", "v_max", "u", "d"}.intersection(case.states):
        assert np.isfinite(opt.state["0"][name]).all()


def test_a_second_moment_counts_where_the_square_alone_would_overflow() -> None:
    w = np.zeros(1, np.float32)
    opt = gs.Adam(w, lr=1.0)
    opt.step(np.full(1, 1e20, np.float32))
    assert opt.state["0"]["v"][0] == pytest.approx(1e37, rel=1e-6)
    assert w[0] == pytest.approx(-1.0, rel=1e-6)


# Every rule; and without an eps, above which Adamax keeps its u.
SINKING = [c for c in CASES if c.states and (c in RULES or c.options.get("eps_root") == 0)]


@pytest.mark.parametrize("case", SINKING, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_under_zero_gradients_become_zero_and_never_denormal(
    case: Case, dtype: Any
) -> None:
    # From just above the floor of second moments, so that a few steps reach it. In every level:
    # tests/native/denormals.cpp.
    tiny = float(np.finfo(dtype).tiny)
    w = np.ones(40, dtype)
    opt = case.optimizer(w, lr=0.1, **{**case.options, "weight_decay": 0.0})
    for array in opt.state["0"].values():
        array[...] = 2**6 * tiny * np.linspace(1, 1.5, 40)
    for _ in range(600):
        opt.step(np.zeros(40, dtype))
        for name, array in opt.state["0"].items():
            assert np.all((array == 0) | (np.abs(array) >= tiny)), name
    for name, array in opt.state["0"].items():
        # 1.5 · 0.999⁶⁰⁰ ≈ 0.8: all have sunk below their floor, but those that cannot sink: a maximum,
        # Adagrad's sum, and what is kept above an ε.
        above_eps = name == "u" and case.options.get("eps_root") != 0
        lasting = name == "v_max" or case.optimizer is gs.Adagrad or above_eps
        assert lasting or np.all(array == 0), name


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_any_eps_an_element_that_had_no_gradient_stays(case: Case, dtype: Any) -> None:
    # Decay moves every element, and a start of Adagrad's sum is an ε of its own.
    dropped = ("weight_decay", "initial_accumulator", "decoupled_weight_decay")
    options = {name: v for name, v in case.options.items() if name not in dropped}
    arguments = inspect.signature(case.optimizer).parameters
    options |= {name: 0.0 for name in ("eps", "eps_root", "weight_decay") if name in arguments}
    w, g = np.ones(37, dtype), np.zeros(37, dtype)
    g[::3] = np.linspace(-1, 1, 13)
    moving = g != 0
    ascending = -1 if options.get("maximize") else 1
    own = {name: v for name, v in options.items() if name not in ("maximize", "weight_decay")}
    opt = case.optimizer(w, lr=0.1, **options)
    alone = case.optimizer(np.ones(int(moving.sum()), dtype), lr=0.1, **options)
    judged = np.ones(alone.params.size)
    state = {name: np.zeros(judged.size) for name in case.states}
    for t in range(1, 9):
        opt.step(g)
        alone.step(g[moving])
        judged = case.judge(judged, ascending * g[moving].astype(float), state, t, lr=0.1, **own)
    assert np.all(w[~moving] == 1)
    assert np.array_equal(w[moving], alone.params)
    np.testing.assert_allclose(alone.params, judged, rtol=1e-4 if dtype == np.float32 else 1e-11)


@endurance
@pytest.mark.parametrize("case", [c for c in CASES if c.states], ids=str)
def test_no_denormal_on_the_long_way_down(case: Case) -> None:
    # From a state in full swing through every magnitude, down to zero, which no moment leaves.
    tiny = np.finfo(np.float32).tiny
    w = np.ones(64, np.float32)
    options = {**case.options, "weight_decay": 0.0}
    opt = case.optimizer(w, lr=0.1, **options)
    opt.step(np.geomspace(1e-18, 1e15, 64).astype(np.float32))
    zero, states = np.zeros(64, np.float32), list(opt.state["0"].values())
    for _ in range(effort(400, 100_000)):
        opt.step(zero)
        found = np.abs(states)
        assert not np.any((found > 0) & (found < tiny))
        assert np.all((w == 0) | (np.abs(w) >= tiny))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_average_keeps_normal_numbers_and_drops_denormal_ones(dtype: Any) -> None:
    tiny = np.finfo(dtype).tiny
    v = np.array([tiny * 2, tiny, 1.0], dtype)
    gs.functional.ewa(v, np.zeros(3, dtype), beta=0.75)
    assert v.tolist() == [float(tiny) * 1.5, 0.0, 0.75]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_keeps_normal_numbers_and_drops_denormal_ones(dtype: Any) -> None:
    w = np.zeros(2, dtype)
    opt = gs.Adagrad(w)
    opt.step(np.finfo(dtype).tiny ** dtype(0.5) * np.array([1.01, 0.99], dtype))
    assert (opt.state["0"]["v"] != 0).tolist() == [True, False]


def test_the_variance_of_centered_rmsprop_is_never_negative() -> None:
    w = np.zeros(2)
    opt = gs.RMSprop(w, lr=1.0, centered=True, eps_root=0.25)
    opt.state["0"]["m"][...] = 1.0
    opt.state["0"]["v"][...] = 0.5  # as rounding may leave it: less than m²
    opt.step(np.ones(2))
    np.testing.assert_allclose(w, -2.0)  # 1 / √(0 + 0.25)


# What each kind of moment keeps under a zero gradient, as powers of two in float32 and float64.
FIRST, SECOND, SQUARED = (-100, -996), (-120, -1016), (-60, -508)
FLOORS: list[tuple[type[gs.Optimizer], str, dict[str, Any], tuple[int, int]]] = [
    (gs.Momentum, "m", {"beta": 0.75}, FIRST),
    (gs.Momentum, "m", {"beta": 0.75, "nesterov": True}, FIRST),
    (gs.RMSprop, "b", {"momentum": 0.75}, FIRST),
    (gs.RMSprop, "m", {"beta": 0.75, "centered": True}, SQUARED),
    (gs.RMSprop, "v", {"beta": 0.75}, SECOND),
    (gs.Adam, "m", {"betas": (0.75, 0.5)}, FIRST),
    (gs.Adam, "v", {"betas": (0.5, 0.75)}, SECOND),
    (gs.NAdam, "v", {"betas": (0.5, 0.75)}, SECOND),
    (gs.RAdam, "v", {"betas": (0.5, 0.75)}, SECOND),
    (gs.Adamax, "m", {"betas": (0.75, 0.5)}, FIRST),
    (gs.Adadelta, "v", {"rho": 0.75}, SECOND),
    (gs.Adadelta, "d", {"rho": 0.75}, SECOND),
    (gs.Lion, "m", {"betas": (0.5, 0.75)}, FIRST),
]


def test_every_optimizer_whose_state_decays_has_its_floor() -> None:
    # SGD has no state, Adagrad's only grows, and AdamW's is Adam's.
    others = {gs.SGD, gs.Adagrad, gs.AdamW}
    assert {row[0] for row in FLOORS} == {case.optimizer for case in CASES} - others


@pytest.mark.parametrize(("optimizer", "state", "options", "floors"), FLOORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_floor_of_each_moment(
    optimizer: type[gs.Optimizer],
    state: str,
    options: dict[str, Any],
    floors: tuple[int, int],
    dtype: Any,
) -> None:
    floor = dtype(2.0) ** floors[dtype is np.float64]
    w = np.zeros(4, dtype)
    opt = optimizer(w, lr=0.1, **options)
    array = opt.state["0"][state]
    array[...] = dtype(4 / 3) * floor * np.array([1.01, 0.99, -1.01, -0.99], dtype)
    opt.step(np.zeros(4, dtype))
    assert (array != 0).tolist() == [True, False, True, False]


def test_small_moments_are_kept_where_they_matter() -> None:
    # A floor too high would lose a second moment that a small eps lets count.
    w = np.zeros(1, np.float32)
    opt = gs.Adam(w, lr=1.0, eps_root=0.0, eps=1e-30)
    opt.step(np.full(1, 1e-15, np.float32))
    assert w[0] == pytest.approx(-1.0, rel=1e-5)


def test_a_second_moment_too_small_to_be_kept_still_divides() -> None:
    # Of 1e-20 the square's part is denormal: what is stored is zero, what is divided by is not.
    for make in (gs.Adam, gs.RMSprop):
        w = np.zeros(1, np.float32)
        opt = make(w, lr=1.0, eps_root=0.0)
        opt.step(np.full(1, 1e-20, np.float32))
        assert opt.state["0"]["v"][0] == 0
        assert np.isfinite(w[0])
        assert w[0] < -0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda w: gs.Adam(w, lr=0.1, eps_root=0.0, eps=1e-45),
        lambda w: gs.Adam(w, lr=0.1, eps_root=1e-44),
        lambda w: gs.Adam(w, lr=0.1, betas=(0.9, 1 - 1e-9), eps_root=2.0**-126),
        lambda w: gs.RMSprop(w, lr=0.1, eps_root=1e-60),
    ],
)
def test_the_smallest_eps_still_keeps_zero_gradients_from_nan(make: Any) -> None:
    w = np.ones(3, np.float32)
    make(w).step(np.zeros(3, np.float32))
    assert w.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "make", [lambda w: gs.RMSprop(w, beta=0.0), lambda w: gs.Adam(w, betas=(0.9, 0.0))]
)
def test_an_overflow_is_forgotten_where_beta_is_zero(make: Any) -> None:
    w = np.zeros(1, np.float32)
    opt = make(w)
    for g in (1e25, 1.0, 1.0):
        opt.step(np.full(1, g, np.float32))
    assert opt.state["0"]["v"][0] == 1
    assert np.isfinite(w[0])


def test_denormal_parameters_and_gradients_are_honoured() -> None:
    w = np.array([0.0, 1e-44], np.float32)
    gs.SGD(w, lr=1.0).step(np.array([1e-44, 0.0], np.float32))
    assert w[0] == np.float32(-1e-44)
    assert w[1] == np.float32(1e-44)


class Mode:
    """The calling thread's floating-point environment, read and set through the C library."""

    # In glibc's fenv_t, x86-64: MXCSR follows seven words of the old x87 state.
    WORD = 7
    FLUSH_TO_ZERO, DENORMALS_ARE_ZERO, TOWARDS_ZERO = 1 << 15, 1 << 6, 3 << 13

    def __init__(self) -> None:
        self.library = ctypes.CDLL(ctypes.util.find_library("m"))

    def read(self) -> int:
        environment = (ctypes.c_uint32 * 16)()
        self.library.fegetenv(environment)
        return environment[self.WORD]

    def write(self, control: int) -> None:
        environment = (ctypes.c_uint32 * 16)()
        self.library.fegetenv(environment)
        environment[self.WORD] = control
        self.library.fesetenv(environment)


@pytest.fixture
def mode() -> Iterator[Mode]:
    if platform.machine() not in ("x86_64", "AMD64") or platform.libc_ver()[0] != "glibc":
        pytest.skip("reads MXCSR through glibc's fegetenv; run on x86-64 Linux")
    mode = Mode()
    before = mode.read()
    yield mode
    mode.write(before)


def test_a_series_is_corrected_alike_in_any_mode(mode: Mode) -> None:
    values = np.random.default_rng(0).normal(size=50)
    expected = gs.ewa(values, bias_correction=True)
    usual = mode.read()
    mode.write(usual | mode.TOWARDS_ZERO)
    try:
        found = gs.ewa(values, bias_correction=True)
    finally:
        mode.write(usual)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("n", [100, 100_000])
def test_the_callers_mode_is_neither_used_nor_changed(mode: Mode, n: int, threads: int) -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=n).astype(np.float32)
    gradient = (rng.normal(size=n) * 1e-20).astype(np.float32)  # its square is denormal
    found = set()
    usual = mode.read()
    odd = mode.FLUSH_TO_ZERO | mode.DENORMALS_ARE_ZERO | mode.TOWARDS_ZERO
    for control in (usual, usual | odd, usual & ~0x3F):  # the last: no exception flag is set
        w = start.copy()
        opt = gs.Adam(w, lr=0.1, eps_root=1e-30)
        mode.write(control)
        try:
            opt.step(gradient)
            after = mode.read()
        finally:
            mode.write(usual)
        assert after == control
        found.add(w.tobytes())
    assert len(found) == 1


def test_clipping_and_averages_in_the_callers_mode(mode: Mode, threads: int) -> None:
    # The norm, its factor, the average and its correction; and averages that were put in the
    # parameters' place come back bit by bit, denormals among them.
    rng = np.random.default_rng(0)
    start = rng.normal(size=30_000)
    gradient = rng.normal(size=30_000) * 1e-160  # whose squares are denormal
    usual = mode.read()
    odd = mode.FLUSH_TO_ZERO | mode.DENORMALS_ARE_ZERO | mode.TOWARDS_ZERO
    found = set()
    for control in (usual, usual | odd):
        w = start.copy()
        average = gs.EWA(0.7, bias_correction=True)
        opt = gs.SGD(w, lr=0.1, max_norm=1e-160, clip_value=1e-162, average=average)
        mode.write(control)
        try:
            opt.step(gradient)
            opt.step(gradient, scale=0.1)
        finally:
            mode.write(usual)
        state = opt.state_dict()
        state["average"]["arrays"]["0"][:100] *= 1e-310
        opt.load_state_dict(state)
        mode.write(control)
        try:
            with opt.averaged():
                inside = w.tobytes()
            after = mode.read()
        finally:
            mode.write(usual)
        assert after & odd == control & odd
        np.testing.assert_equal(opt.state_dict(), state)
        found.add((w.tobytes(), inside, opt.grad_norm))
    assert len(found) == 1


def test_threads_of_different_modes_find_the_same_bits_and_keep_theirs(mode: Mode) -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=30_000).astype(np.float32)
    gradient = (rng.normal(size=30_000) * 1e-20).astype(np.float32)
    usual = mode.read()
    odd = [0, mode.FLUSH_TO_ZERO, mode.DENORMALS_ARE_ZERO, mode.TOWARDS_ZERO]
    together = threading.Barrier(len(odd), timeout=60)
    found: list[tuple[bytes, bool]] = []

    def work(control: int) -> None:
        w = start.copy()
        opt = gs.Adam(w, lr=0.1, eps_root=1e-30)
        together.wait()
        mode.write(control)
        kept = True
        try:
            for _ in range(50):
                opt.step(gradient)
                kept = kept and mode.read() == control
        finally:
            mode.write(usual)
        found.append((w.tobytes(), kept))

    with shared_out(3, together=False):
        workers = [threading.Thread(target=work, args=((usual & ~0x3F) | bits,)) for bits in odd]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
    assert len(found) == len(odd)
    assert all(kept for _, kept in found)
    assert len({bits for bits, _ in found}) == 1
