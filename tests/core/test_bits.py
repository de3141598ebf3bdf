"""The same bits: for any threads, level, alignment, layout, and any cut of the elements into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import gradstep as gs
from gradstep import _core
from support.oracle import CASES, Case
from support.same import digest
from support.teams import THREADS, shared_out

Array = NDArray[Any]


def inputs(n: int, dtype: Any) -> tuple[Array, list[Array]]:
    """Parameters, and gradients of three steps from 1e-25 to 1e4 in both signs, zeros among them."""
    rng = np.random.default_rng(n)
    w = rng.normal(size=n).astype(dtype)
    grads = [
        (rng.normal(size=n) * 10.0 ** rng.uniform(-25, 4, n) * (rng.random(n) > 0.05)).astype(dtype)
        for _ in range(3)
    ]
    return w, grads


def outcome(case: Case, w: Array, grads: list[Array]) -> str:
    opt = case.optimizer(w, lr=0.1, **case.options)
    for g in grads:
        opt.step(g)
    return digest(w, *opt.state["0"].values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_levels_threads_and_alignment(case: Case, dtype: Any) -> None:
    # Every two of a level, a number of threads and an alignment meet.
    w, grads = inputs(4099, dtype)
    found = {}
    for i, isa in enumerate(_core.isas()):
        _core.use_isa(isa)
        for k, threads in enumerate(THREADS):
            shift = (0, 1, 7)[(i + k) % 3]  # elements: off any vector's alignment
            at = np.zeros(w.size + 8, dtype)[shift : shift + w.size]
            at[...] = w
            with shared_out(threads):
                found[isa, threads, shift] = outcome(case, at, grads)
    _core.use_isa(_core.isas()[-1])
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES[:: max(1, len(CASES) // 8)], ids=str)
def test_sizes_around_vectors_and_tiles(case: Case, dtype: Any) -> None:
    # Element i has the same bits wherever the array ends: body, tail and single elements agree.
    whole, grads = inputs(4097, dtype)
    opt = case.optimizer(whole.copy(), lr=0.1, **case.options)
    longest = opt.params
    for g in grads:
        opt.step(g)
    for n in [*range(1, 70), 511, 512, 513, 1023, 1025, 4096]:
        w = whole[:n].copy()
        outcome(case, w, [g[:n].copy() for g in grads])
        assert digest(w) == digest(longest[:n]), n


@given(data=st.data())
def test_any_cut_into_arrays(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(CASES))
    n = data.draw(st.integers(2, 3000))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    threads = data.draw(st.integers(1, 4))
    w, grads = inputs(n, np.float32)
    parts = np.split(w.copy(), cuts)
    with shared_out(threads):
        opt = case.optimizer(parts, lr=0.1, **case.options)
        for g in grads:
            opt.step(np.split(g, cuts))
    outcome(case, w, grads)
    assert digest(np.concatenate(parts)) == digest(w)


def test_a_few_million_elements_shared_out() -> None:
    case = next(c for c in CASES if c.options == {"amsgrad": True})
    w, grads = inputs(3_000_001, np.float32)
    found = set()
    for threads in (1, 2, 3):
        with shared_out(threads):
            found.add(outcome(case, w.copy(), grads[:2]))
    assert len(found) == 1


def test_bias_corrections_do_not_depend_on_the_steps_before() -> None:
    # What an optimizer remembers of powers of β must be what a single step finds anew.
    w, grads = inputs(8, np.float64)
    alone, m, v = w.copy(), np.zeros(8), np.zeros(8)
    opt = gs.Adam(w, lr=0.1, betas=(0.5, 0.97))
    for t in range(1, 70):
        opt.step(grads[t % 3])
        gs.functional.adam(alone, grads[t % 3], m, v, t=t, lr=0.1, betas=(0.5, 0.97))
        assert digest(w) == digest(alone), t
    opt.groups[0]["betas"] = (0.5, 0.9)  # what was remembered is of another β
    opt.step(grads[0])
    gs.functional.adam(alone, grads[0], m, v, t=70, lr=0.1, betas=(0.5, 0.9))
    assert digest(w) == digest(alone)
    opt.load_state_dict({**opt.state_dict(), "t": 20})  # and of another block of steps
    opt.step(grads[0])
    gs.functional.adam(alone, grads[0], m, v, t=21, lr=0.1, betas=(0.5, 0.9))
    assert digest(w) == digest(alone)


@given(total=st.integers(0, 2**40), shares=st.integers(1, 300), share=st.integers(0, 299))
def test_shares_are_equal_and_cover_everything(total: int, shares: int, share: int) -> None:
    share %= shares
    begin = _core.share_begin(total, shares, share)
    end = _core.share_begin(total, shares, share + 1)
    assert end - begin in (total // shares, -(-total // shares))
    assert _core.share_begin(total, shares, 0) == 0
    assert _core.share_begin(total, shares, shares) == total


# Another compiler, processor or C library has to come to these very bits.
PINNED = {
    gs.SGD: "bfd9f0bbc876a061",
    gs.Momentum: "46eadc9c9e15735e",
    gs.RMSprop: "f01682ae779d2be6",
    gs.Adam: "86bff2c386339b0b",
    gs.AdamW: "dce064656011ca9b",
    gs.NAdam: "cda1b6bd487567df",
    gs.RAdam: "539378295234c20b",
    gs.Adamax: "be5ab3ae53f1bd0d",
    gs.Adagrad: "d454dc6eb1db17fc",
    gs.Adadelta: "1d361aa4d8fece20",
    gs.Lion: "1efe26a71112edec",
}


@pytest.mark.parametrize("optimizer", {c.optimizer: None for c in CASES}, ids=lambda o: o.__name__)
def test_pinned_digest(optimizer: type[gs.Optimizer]) -> None:
    # Inputs from integers and powers of two alone: no random stream and no C library in them.
    k = np.arange(1, 4001, dtype=np.uint64)
    mixed = (k * np.uint64(2654435761)) % np.uint64(2**32)
    values = np.ldexp(mixed.astype(np.float64) - 2.0**31, -31)
    w = values[::4].astype(np.float32)
    opt = optimizer(w, lr=0.125)
    for start in (1, 2, 3):
        exponents = (mixed[start::4] % np.uint64(40)).astype(np.int64) - 30
        opt.step(np.ldexp(values[start::4], exponents).astype(np.float32))
    found = digest(w, *opt.state["0"].values())[:16]
    assert found == PINNED.get(optimizer), f"PINNED has another digest than {found}, or none"


@pytest.mark.parametrize("together", [True, False], ids=["together", "as they come"])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_a_large_step_reaches_every_element_once(threads: int, together: bool) -> None:
    # Against pieces that are too small to be cut in parts; forwards and backwards in turn. Members
    # that come late, or not at all, leave nothing undone.
    sizes = [60_001, 3, 40_000, 0, 8192]
    rng = np.random.default_rng(1)
    params = [rng.normal(size=n) for n in sizes]
    grads = [rng.normal(size=n) for n in sizes]
    pieces = [w[i : i + 1000].copy() for w in params for i in range(0, w.size, 1000)]
    piece_grads = [g[i : i + 1000] for g in grads for i in range(0, g.size, 1000)]
    for w, g in zip(pieces, piece_grads, strict=True):
        opt = gs.Momentum(w, lr=0.1)
        for _ in range(5):
            opt.step(g)
    expected = digest(*pieces)
    for _ in range(2 if together else 40):
        stepped = [w.copy() for w in params]
        with shared_out(threads, together=together):
            opt = gs.Momentum(stepped, lr=0.1)
            for _ in range(5):
                opt.step(grads)
        assert digest(*stepped) == expected
