"""What is checked of `gradstep.distributed.Sharded` in ranks; see ranks.py for how.

The judge is an optimizer of one process, which each rank keeps for itself over the same model: it is
given what the ranks' gradients come to, added up here by NumPy.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import math
import os
import re
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ranks import (
    Array,
    Sharded,
    assert_same,
    assert_same_everywhere,
    check,
    copied,
    gradients,
    mapped,
    model,
    rank,
    refused,
    refused_by_all,
    size,
    world,
)

import gradstep as gs
from support.effort import effort
from support.paths import ROOT
from support.runs import RUNS
from support.teams import shared_out
from support.whole import everything

Wrap = Callable[[Any], Any]


def one_process(kind: Any, params: Any, **options: Any) -> gs.Optimizer:
    rate = inspect.signature(kind).parameters.get("learning_rate")
    if rate is not None and rate.default in (rate.empty, None):
        options = {"learning_rate": 0.1, **options}
    made: gs.Optimizer = kind(params, **options)
    return made


class Pair:
    """A `Sharded` and its judge, each over a model of its own that began alike."""

    def __init__(
        self,
        kind: Any,
        make: Callable[[], Any] = model,
        wrap: Wrap = lambda params: params,
        sharded: Any = None,
        **options: Any,
    ) -> None:
        self.params, self.judged = make(), make()
        self.opt = Sharded(kind, wrap(self.params), **copy.deepcopy(options), **(sharded or {}))
        self.judge = one_process(kind, wrap(self.judged), **copy.deepcopy(options))

    def step(self, grads: Any, reduced: Any = None, scale: float = 1.0) -> None:
        """Step by a rank's gradients, and the judge by what they come to, times `scale`."""
        self.opt.step(grads)
        self.judge.step(grads if reduced is None else reduced, scale)

    def compare(self, about: object = "") -> None:
        """Require parameters, state, average and all that is said of them to have the same bits."""
        about = f"{about} {self.opt!r}"
        assert_same(self.params, self.judged, about)
        assert_same(self.opt.state_dict(), self.judge.state_dict(), about)
        for name in ("t", "skipped", "lr", "average"):
            assert_same(getattr(self.opt, name), getattr(self.judge, name), f"{about}.{name}")


def reductions() -> list[str | None]:
    """Return by what equal gradients come out as they are: of two, the mean is exact."""
    return [None, "mean"] if size() <= 2 else [None]


def in_groups(params: Any) -> Any:
    """Return two groups, the second with hyperparameters of its own."""
    first = {key: params[key] for key in ("W", "fortran", "layers", "empty")}
    second = {key: params[key] for key in params if key not in first}
    return [{"params": first}, {"params": second, "lr": 0.03}]


def grouped(grads: Any) -> Any:
    return [entry["params"] for entry in in_groups(grads)]


# --- the bits of one process ------------------------------------------------------------------------


@check
def every_optimizer_has_the_bits_of_one_process() -> None:
    # Fewer on many ranks, which share a few cores; together they are all.
    for number in range(size() - 1, len(RUNS), effort(size(), 1)):
        kind, options = RUNS[number]
        for reduce in reductions():
            named = "learning_rate" in inspect.signature(kind).parameters
            rate = "learning_rate" if named else "lr"
            own = {"[bl]*": {rate: gs.schedules.ExponentialDecay(0.1)}} if number % 2 else {}

            def wrap(params: Any, own: Any = own) -> Any:
                return gs.by_name(params, own) if own else params

            around: dict[str, Any] = {}
            if number % 3 == 1:
                around = {"clip_value": 0.5, "nonfinite": "skip"}
            elif number % 3 == 2:
                around["average"] = gs.EWA(0.5, bias_correction=True)
            cosine = gs.schedules.warmup(gs.schedules.Cosine(0.25, steps=6), 3)
            sharded = {
                "reduce": reduce,
                "bucket": (400, 4 << 20)[number % 5 > 1],
                "deterministic": number % 4 == 3,
            }
            pair = Pair(kind, wrap=wrap, sharded=sharded, **{**options, rate: cosine, **around})
            for t in range(effort(3, 8)):
                pair.step(gradients(pair.params, number, t))
            pair.compare(f"{number} {sharded}")


@check
def smallest_buckets() -> None:
    for reduce in reductions():
        pair = Pair(gs.Adam, wrap=in_groups, sharded={"bucket": 8, "reduce": reduce})
        for t in range(effort(1, 3)):
            pair.step(grouped(gradients(pair.params, t)))
        pair.compare()


@check
def buckets_of_several_arrays() -> None:
    # One after another, so that several are under way at the same time.
    def make() -> Any:
        return [np.linspace(-1, 1, 14, dtype=np.float32)[:: 1 + i % 2] for i in range(60)]

    arounds: list[dict[str, Any]] = [{}, {"clip_value": 0.5, "nonfinite": "skip"}]
    for around in arounds:
        for deterministic in (False, True):
            sharded = {"bucket": 150, "deterministic": deterministic}
            pair = Pair(gs.AdamW, make, sharded=sharded, **around)
            for t in range(3):
                # Whole numbers, whose sums are exact in any order.
                trees = [mapped(np.rint, gradients(make(), t, r)) for r in range(size())]
                pair.step(trees[rank()], added(trees), 1 / size())
            pair.compare(sharded)


def is_matrix(params: Any) -> Any:
    return mapped(lambda w: w.ndim > 1, params)


@check
def masks_as_optax_has_them() -> None:
    optax = gs.compat.optax
    masks: list[Any] = [
        is_matrix,
        is_matrix(model()),
        {**is_matrix(model()), "layers": False},
        True,
    ]
    for mask in masks:
        for kind, name in ((optax.adamw, "mask"), (optax.adadelta, "weight_decay_mask")):
            options = {name: mask, "weight_decay": 0.5}
            pair = Pair(kind, sharded={"reduce": None, "bucket": 300}, **options)
            for t in range(2):
                pair.step(gradients(pair.params, t))
            pair.compare(mask)
    with refused(TypeError, "mask"):
        Sharded(gs.Adam, model(), mask=is_matrix)


@check
def groups_that_come_later() -> None:
    # Larger than what was there, so that buckets need more room; smaller than one element a rank.
    for average in (None, gs.EWA(0.5)):
        sharded = {"deterministic": True, "bucket": 1 << 12}
        pair = Pair(gs.Adam, sharded=sharded, average=average, lr=gs.schedules.Cosine(0.1, steps=9))
        trees = [[gradients(pair.params, r)] for r in range(size())]
        pair.step(trees[rank()][0], added(trees)[0], 1 / size())
        pair.compare()
        shapes: list[tuple[int, ...]] = [(90, 2), (1,), (0,)]
        for i, shape in enumerate(shapes):
            late = {f"a{i}": np.ones(shape), f"b{i}": np.ones((*shape, 4))[..., ::2]}
            entry = {"params": late, "lr": 0.5}
            pair.opt.add_group(entry)
            pair.judge.add_group(copy.deepcopy(entry))
            for r, tree in enumerate(trees):
                tree.append(gradients(late, i, r))
            pair.step(trees[rank()], added(trees), 1 / size())
            assert_same(pair.opt.params[-1], pair.judge.params[-1])
            pair.compare(shape)
        assert len(pair.opt.groups) == 4
        with refused(ValueError, "params"):
            pair.opt.add_group({})
        pair.step(trees[rank()], added(trees), 1 / size())
        pair.compare()


@check
def groups_and_ranks_without_elements() -> None:
    for sizes in ([1], [1, 2], [0, 1]):
        made = functools.partial(lambda sizes: [np.arange(1.0, n + 1) for n in sizes], sizes)
        pair = Pair(gs.Adam, made, sharded={"reduce": None})
        for t in range(2):
            pair.step([np.full(n, t + 1.0) for n in sizes])
        grads: list[Any] = [[np.full(n, 2.0) for n in sizes]]
        later: list[Array] = []
        for n in (9, 1):
            for opt in (pair.opt, pair.judge):
                later.append(np.ones(n))
                opt.add_group({"params": [later[-1]], "lr": 0.25})
            grads.append([np.full(n, 3.0)])
            pair.step(grads)
            pair.compare(sizes)
            assert_same(later[::2], later[1::2], sizes)


@check
def corrections_of_groups_that_have_no_element_here() -> None:
    def made() -> Any:
        return [np.ones(20), np.ones(1)]

    def wrap(params: Any) -> Any:
        betas = (gs.schedules.Linear(0.5, 0.9, steps=6), 0.999)
        return [{"params": [w], "betas": betas} for w in params]

    pair = Pair(gs.NAdam, made, wrap, {"reduce": None})
    for _ in range(2):
        pair.step([[np.ones(20)], [np.ones(1)]])
    pair.compare()  # on all ranks


@check
def many_groups_of_one_element() -> None:
    params = [{"params": [np.ones(1)]} for _ in range(20)]
    together, one_by_one = Sharded(gs.SGD, params), Sharded(gs.SGD, [np.ones(1)])
    for group in params[1:]:
        one_by_one.add_group(group)
    for opt in (together, one_by_one):
        counts = world().allgather(sum(w.size for w in opt._share.arrays))
        assert sum(counts) == 20
        assert max(counts) - min(counts) <= 1, counts


@check
def names_that_a_part_would_have() -> None:
    if size() == 1:
        return
    params = {"w": np.zeros(2 * size())}
    params |= {f"w[{2 * i}:{2 * i + 2}]": np.zeros(1) for i in range(size())}
    with refused(ValueError, "would be the name of two things"):
        Sharded(gs.SGD, params, bucket=16 * size())


@check
def a_group_whose_rate_differs() -> None:
    opt = Sharded(gs.SGD, [np.ones(9)], reduce=None)
    if size() == 1:
        return
    before = everything(opt)
    words = "lr must be the same on all ranks: 0.25 on rank 0, 0.5 on rank"
    with refused_by_all(size() - 1, ValueError, words):
        opt.add_group({"params": [np.ones(9)], "lr": 0.5 if rank() == size() - 1 else 0.25})
    assert everything(opt) == before


@check
def sums_of_infinities() -> None:
    opt = Sharded(gs.SGD, [np.zeros(40)], nonfinite="skip", deterministic=True)
    with np.errstate(all="raise"):
        opt.step([np.full(40, np.inf if rank() == 0 else -np.inf)])
    assert (opt.t, opt.skipped) == (0, 1)


@check
def a_group_that_only_one_rank_adds_wrongly() -> None:
    opt = Sharded(gs.Adam, model())
    before = everything(opt)
    wrong = {"params": [np.ones(3)], "lr": -1.0 if rank() == size() - 1 else 0.5}
    with refused_by_all(size() - 1, ValueError, "lr"):
        opt.add_group(wrong)
    assert everything(opt) == before
    other = {"params": [np.ones(3 if rank() == 0 else 4)]}
    if size() > 1:
        with refused(*((ValueError, "on rank 0") if rank() else (RuntimeError, "rank [1-9]"))):
            opt.add_group(other)
    assert everything(opt) == before
    opt.add_group({"params": [np.ones(3)]})
    assert len(opt.groups) == 2
    by_name = Sharded(gs.Adam, gs.by_name(model(), {"b": {"lr": 0.5}}))
    with refused(ValueError, "grouped by name"):
        by_name.add_group({"params": [np.ones(3)]})
    rising = Sharded(gs.Adagrad, model(), initial_accumulator=0.5)
    with refused(ValueError, "finite in float32"):
        rising.add_group({"params": [np.ones(3, np.float32)], "initial_accumulator": 1e300})
    rising.step(gradients(model()))


@check
def hyperparameters_that_are_changed() -> None:
    pair = Pair(gs.Momentum, wrap=in_groups, sharded={"reduce": None})
    for t in range(3):
        for opt in (pair.opt, pair.judge):
            opt.groups[t % 2]["lr"] = 0.25 / (t + 1)
            opt.groups[0]["beta"] = 0.5
            if t == 2:
                opt.lr = 0.125
        pair.step(grouped(gradients(pair.params, t)))
        pair.compare(t)


@check
def any_number_of_threads() -> None:
    for threads in (1, 3):
        with shared_out(threads):
            pair = Pair(gs.NAdam, sharded={"reduce": None, "bucket": 1000}, average=gs.EWA(0.5))
            for t in range(2):
                pair.step(gradients(pair.params, t))
            pair.compare(threads)


@check
def a_large_model_in_several_buckets() -> None:
    # Parts so large that they are stepped by another thread than moves the messages.
    elements = effort(1_400_000, 6_000_001)
    make = functools.partial(large_model, elements)
    arounds: list[dict[str, Any]] = [{}, {"clip_value": 0.5, "nonfinite": "skip"}]
    for around in arounds:
        pair = Pair(gs.Adam, make, sharded={"bucket": 2 << 20}, lr=0.1, **around)
        # Whole numbers, whose sums are exact in any order.
        ramp = {"w": np.rint(np.linspace(-9, 9, elements, dtype=np.float32)), "b": np.arange(9.0)}
        for t in range(2):
            trees = [mapped(lambda g, r=r, t=t: g * (r + t + 1), ramp) for r in range(size())]  # type: ignore[misc]
            pair.step(trees[rank()], added(trees), 1 / size())
        assert_same(pair.params, pair.judged)


def large_model(elements: int) -> dict[str, Array]:
    return {"w": np.ones(elements, np.float32), "b": np.ones(9)}


@check
def fewer_elements_than_ranks() -> None:
    for params in (
        [np.ones(1, np.float32)],
        [np.ones(2), np.array(3.0, np.float32)],
        [np.array(2.0)],
        [np.ones((0, 3))],
        [np.ones(0, np.float32), np.ones(4)[::2]],
    ):
        for sharded in ({"reduce": None}, {"reduce": None, "bucket": 8, "deterministic": True}):
            options: dict[str, Any] = {"average": gs.EWA(0.5), "nonfinite": "skip"}
            make = functools.partial(copy.deepcopy, params)
            pair = Pair(gs.Adam, make, sharded=sharded, **options)
            for t in range(2):
                pair.step(gradients(pair.params, t))
                pair.compare(params)
            reduced = Sharded(gs.Adam, make(), max_norm=1.0, **options)
            reduced.step(gradients(make(), rank()))
            reduced.sync()
            reduced.check_synced()
            assert_same_everywhere(repr(reduced.grad_norm))
            with reduced.averaged():
                pass


@check
def memory_in_another_order_on_one_rank() -> None:
    def make() -> Any:
        params = model()
        if rank() == size() - 1:
            params["W"] = np.asfortranarray(params["W"])
            params["fortran"] = params["fortran"].copy(order="C")
            params["layers"][0]["turned"] = params["layers"][0]["turned"].copy()
        return params

    for sharded in ({"reduce": None, "bucket": 300}, {"reduce": None}):
        pair = Pair(gs.AdamW, make, sharded=sharded, average=gs.EWA(0.5))
        for t in range(3):
            pair.step(gradients(model(), t))
        pair.compare()
        pair.opt.check_synced()


@check
def clipping_by_the_norm() -> None:
    for bound in (0.5, 1e9, math.inf, gs.schedules.Linear(0.5, 2.0, steps=3)):
        for reduce in reductions():
            pair = Pair(gs.SGD, sharded={"reduce": reduce, "bucket": 500}, lr=0.1, max_norm=bound)
            for t in range(3):
                pair.step(gradients(pair.params, t))
                assert pair.opt.grad_norm is not None
                assert pair.judge.grad_norm is not None
                assert math.isclose(pair.opt.grad_norm, pair.judge.grad_norm, rel_tol=1e-12)
                assert_same_everywhere(pair.opt.grad_norm)
            assert_close(pair.params, pair.judged, 1e-6)
            pair.opt.check_synced()


def assert_close(a: Any, b: Any, within: float) -> None:
    """Require arrays to be near those in the same places."""
    if isinstance(a, dict):
        for key in a:
            assert_close(a[key], b[key], within)
    elif isinstance(a, list):
        for one, other in zip(a, b, strict=True):
            assert_close(one, other, within)
    else:
        np.testing.assert_allclose(a, b, rtol=within, atol=within)


# --- gradients that differ --------------------------------------------------------------------------


def added(trees: list[Any]) -> Any:
    """Add structures up, from the first to the last."""
    first, *others = trees
    if isinstance(first, dict):
        return {key: added([tree[key] for tree in trees]) for key in first}
    if isinstance(first, list):
        return [added([tree[i] for tree in trees]) for i in range(len(first))]
    total = np.array(first)
    for other in others:
        total = total + other
    return total


@check
def sums_in_the_order_of_ranks() -> None:
    arounds: list[dict[str, Any]] = [{}, {"nonfinite": "skip", "clip_value": 1.0}]
    for reduce in ("mean", "sum"):
        for around in arounds:
            for bucket in (200, 4 << 20):
                sharded = {"reduce": reduce, "deterministic": True, "bucket": bucket}
                pair = Pair(gs.Adam, sharded=sharded, **around)
                for t in range(3):
                    trees = [gradients(pair.params, t, r) for r in range(size())]
                    pair.opt.step(trees[rank()], 0.5)
                    share = size() if reduce == "mean" else 1
                    pair.judge.step(added(trees), 0.5 / share)
                pair.compare(sharded)


@check
def sums_as_mpi_takes_them() -> None:
    rows: list[tuple[Any, dict[str, Any]]] = [(gs.SGD, {}), (gs.Momentum, {"max_norm": 3.0})]
    for reduce in ("mean", "sum"):
        for kind, around in rows:
            pair = Pair(kind, sharded={"reduce": reduce, "bucket": 300}, lr=0.1, **around)
            for t in range(3):
                trees = [gradients(pair.params, t, r) for r in range(size())]
                share = size() if reduce == "mean" else 1
                pair.opt.step(trees[rank()])
                pair.judge.step(added(trees), 1.0 / share)
            assert_close(pair.params, pair.judged, 2e-6)
            pair.opt.check_synced()


@check
def gradients_stay_as_they_are() -> None:
    for around in ({}, {"max_norm": 0.1, "nonfinite": "raise"}):
        for deterministic in (False, True):
            opt = Sharded(gs.Adam, model(), deterministic=deterministic, **around)
            grads = copied(gradients(model(), rank()))
            before = copied(grads)
            opt.step(grads)
            assert_same(grads, before)


# --- parts of a batch -------------------------------------------------------------------------------


def counts_of_ranks() -> list[list[int]]:
    """Return tables of how many examples each rank has."""
    none = [0] * (size() - 1)
    return [[r + 1 for r in range(size())], [3, *none], [*none, 2], [5] * size()]


def without_examples(params: Any) -> list[Any]:
    """Return what a rank may have for gradients where its part of the batch is empty."""
    return [mapped(lambda w: np.full_like(w, np.nan), params), None, "nothing", {"W": np.ones(3)}]


@check
def means_of_parts_count_by_their_length() -> None:
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"bucket": 300}, {"max_norm": 1e9}),  # all are measured, and none is clipped
        ({"bucket": 2000, "deterministic": True}, {"nonfinite": "raise"}),
    ]
    for sharded, around in rows:
        pair = Pair(gs.SGD, sharded=sharded, lr=0.1, **around)
        for t, counts in enumerate(counts_of_ranks()):
            trees = [gradients(pair.params, t, r) for r in range(size())]
            mine = trees[rank()] if counts[rank()] else without_examples(pair.params)[t]
            pair.opt.step(mine, 0.5, count=counts[rank()])
            weights = [n / sum(counts) for n in counts]
            shares = [
                mapped(lambda g, weight=weight: np.float64(g) * weight, tree)  # type: ignore[misc]
                for weight, tree in zip(weights, trees, strict=True)
            ]
            dtypes = mapped(lambda w: w.dtype, pair.params)
            pair.judge.step(cast(added(shares), dtypes), 0.5)
            for w, expected in zip(leaves(pair.params), leaves(pair.judged), strict=True):
                within = 32 * np.finfo(w.dtype).eps
                np.testing.assert_allclose(w, expected, rtol=within, atol=within)
            pair.opt.check_synced()


def cast(tree: Any, dtypes: Any) -> Any:
    if isinstance(tree, dict):
        return {key: cast(entry, dtypes[key]) for key, entry in tree.items()}
    if isinstance(tree, list):
        return [cast(entry, dtype) for entry, dtype in zip(tree, dtypes, strict=True)]
    return np.asarray(tree, dtypes)


@check
def equal_counts_change_no_bit() -> None:
    for around in ({}, {"max_norm": 3.0}):
        counted, plainly = (Sharded(gs.Adam, model(), deterministic=True, **around) for _ in "ab")
        for t in range(3):
            counted.step(gradients(model(), t, rank()), count=7)
            plainly.step(gradients(model(), t, rank()))
        assert everything(counted) == everything(plainly)


@check
def gradients_of_no_examples_are_not_judged() -> None:
    opt = Sharded(gs.SGD, {"w": np.zeros(9)}, lr=1.0, nonfinite="raise", bucket=16)
    count = 2 if rank() == size() - 1 else 0
    opt.step({"w": np.full(9, 3.0 if count else np.nan)}, count=count)
    np.testing.assert_array_equal(opt.params["w"], np.full(9, -3.0))
    words = "gradient of 'w' is nan, at \\[0\\]"
    with refused(FloatingPointError, f"{words}, on rank {size() - 1};" if size() > 1 else words):
        opt.step({"w": np.full(9, np.nan)}, count=count)


@check
def counts_that_do_not_fit() -> None:
    opts = {reduce: Sharded(gs.Adam, model(), reduce=reduce) for reduce in ("mean", "sum", None)}
    before = [everything(opt) for opt in opts.values()]
    last = size() - 1
    wrongs: list[tuple[Any, type[Exception], str]] = [
        (-1, ValueError, "count must be an integer >= 0, got -1"),
        (2.0, TypeError, r"count must be an integer >= 0, got 2\.0"),
        (True, TypeError, "count must be an integer >= 0, got True"),
    ]
    for count, error, words in wrongs:
        with refused_by_all(last, error, words):
            opts["mean"].step(gradients(model()), count=count if rank() == last else 3)
    with refused(ValueError, "count must be at least 1 on some rank, got 0 on all"):
        opts["mean"].step(gradients(model()), count=0)
    for reduce in ("sum", None):
        with refused(ValueError, f"count must be left out with reduce={reduce!r}, got 4"):
            opts[reduce].step(gradients(model()), count=4)
    if size() > 1:
        words = f"on all ranks, or on none; count is given on rank 0, not given on rank {last}$"
        with refused(RuntimeError, words):
            opts["mean"].step(gradients(model()), count=None if rank() == last else 4)
    assert [everything(opt) for opt in opts.values()] == before
    opts["mean"].step(gradients(model()), count=rank() + 1)
    opts["mean"].check_synced()


@check
def the_script_of_the_page() -> None:
    page = ROOT / "docs/distributed.md"
    (script,) = re.findall("```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(65, 6))  # of which the second batch has one
    y = np.tanh(x @ rng.normal(size=(6, 2)))
    seen = []

    def new_parameters() -> dict[str, Array]:
        return {"W": np.ones((6, 2)), "b": np.zeros(2)}

    def differentiated(params: Any, x: Array, y: Array) -> dict[str, Array]:
        seen.append(len(y))
        error = x @ params["W"] + params["b"] - y
        with np.errstate(invalid="ignore"):  # 0/0 where there is no example
            return {"W": x.T @ error / np.float64(len(y)), "b": error.sum(0) / np.float64(len(y))}

    one = gs.Adam(new_parameters(), lr=1e-3, max_norm=1.0)
    batches = gs.MiniBatches(x, y, batch_size=64, seed=0)
    for _ in range(10):
        for batch in batches:
            one.step(differentiated(one.params, *batch))
    seen.clear()
    names: dict[str, Any] = {
        "X": x,
        "y": y,
        "new_parameters": new_parameters,
        "gradients": differentiated,
        "validated": lambda params: 0.0,
    }
    before = Path.cwd()
    os.chdir(shared_folder())
    try:
        exec(script, names)  # noqa: S102 - what the page says is what is tried
    finally:
        os.chdir(before)
    assert (0 in world().allgather(min(seen))) == (size() > 1)
    assert_close(names["params"], one.params, 1e-12)
    names["opt"].check_synced()


# --- memory -----------------------------------------------------------------------------------------


def state_bytes(opt: gs.Optimizer) -> int:
    return sum(a.nbytes for arrays in opt.state.values() for a in arrays.values())


@check
def each_rank_keeps_one_part_of_the_state() -> None:
    params = {
        "a": np.zeros((301, 67), np.float32),
        "b": np.zeros(7001),
        "c": np.zeros((90, 90), np.float32)[:, ::2],
        "d": [np.zeros(3, np.float32) for _ in range(40)],
    }
    for bucket in (100, 5000, 4 << 20):
        whole = state_bytes(gs.Adam(params))
        opt = Sharded(gs.Adam, params, bucket=bucket)
        here = state_bytes(opt)
        assert abs(here - whole / size()) <= 0.05 * whole / size(), (bucket, here, whole)
        assert sum(world().allgather(here)) == whole
    for elements in range(1, 12):
        opt = Sharded(gs.Adam, [np.zeros(1) for _ in range(elements)], bucket=8)
        here = state_bytes(opt)
        assert here <= -(-elements // size()) * 16, (elements, here)
        assert sum(world().allgather(here)) == 16 * elements


@check
def a_step_takes_a_few_buckets_of_memory() -> None:
    bucket = 1 << 18
    params: dict[str, Array] = {f"small{i}": np.zeros(3000) for i in range(50)}
    params |= {"w": np.zeros((1 << 21) + 5, np.float32), "s": np.zeros((500, 600))[:, ::2]}
    total = sum(w.nbytes for w in params.values())
    grads = {name: np.ones(w.shape, w.dtype) for name, w in params.items()}
    rows: list[tuple[dict[str, Any], bool, int]] = [
        ({}, False, 0),
        ({}, True, 0),
        # All that is reduced is measured before any of it is stepped.
        ({"max_norm": 1.0}, False, 1),
    ]
    for around, deterministic, shares in rows:
        tracemalloc.start()
        opt = Sharded(gs.Adam, params, bucket=bucket, deterministic=deterministic, **around)
        made, peak = tracemalloc.get_traced_memory()
        # What lies strided is stepped in a copy of this rank's share.
        kept = state_bytes(opt) + params["s"].nbytes // size()
        few = 8 * bucket if size() > 1 else bucket
        assert made - kept < few, (around, deterministic, (made - kept) / bucket)
        # NumPy is asked how another array like a parameter would lie, which is made and never touched.
        untouched = params["w"].nbytes
        assert peak - kept < few + untouched, (around, deterministic, (peak - kept) / bucket)
        tracemalloc.reset_peak()
        for count in (None, rank() + (size() == 1)):
            opt.step(grads, count=count)
        stepped = tracemalloc.get_traced_memory()[1] - made - shares * total // size()
        tracemalloc.stop()
        assert stepped < 4 * bucket, (around, deterministic, stepped / bucket)


# --- gradients that are not finite ------------------------------------------------------------------


@check
def one_rank_has_a_gradient_that_is_not_finite() -> None:
    for policy in ("skip", "raise"):
        for value in (np.nan, np.inf):
            for culprit in {0, size() - 1}:
                not_finite(policy, value, culprit)


def not_finite(policy: str, value: float, culprit: int) -> None:
    sharded = {"deterministic": True, "bucket": 300}
    pair = Pair(gs.Adam, sharded=sharded, nonfinite=policy, average=gs.EWA(0.5))

    def step(t: int) -> None:
        trees = [gradients(pair.params, t, r) for r in range(size())]
        pair.opt.step(trees[rank()])
        pair.judge.step(added(trees), 1 / size())

    step(0)
    before = copied(pair.params), pair.opt.state_dict(), pair.opt.average
    grads = copied(gradients(pair.params, 9, rank()))
    if rank() == culprit:
        grads["W"][-1, 3] = value
    words = f"gradient of 'W' is {value}, at [22, 3]"
    if size() > 1:
        words += f", on rank {culprit}"
    if policy == "raise":
        with refused(FloatingPointError, re.escape(words)):
            pair.opt.step(grads)
    else:
        pair.opt.step(grads)
    state = pair.opt.state_dict()
    said = pair.opt.last_nonfinite
    assert said == words
    assert pair.opt.skipped == 1
    assert pair.opt.t == 1
    for counted in (before[1], state):
        counted.pop("skipped", None)
        counted.get("options", {}).pop("skipped", None)
    assert_same((copied(pair.params), state, pair.opt.average), before)
    step(1)
    assert pair.opt.t == 2
    assert_same(pair.params, pair.judged)


@check
def what_is_not_finite_goes_on_by_default() -> None:
    opt = Sharded(gs.SGD, {"w": np.zeros(5 * size())}, lr=1.0)
    grads = np.ones(5 * size())
    grads[rank()] = np.nan
    opt.step({"w": grads})
    assert np.isnan(opt.params["w"][: size()]).all()
    assert np.isfinite(opt.params["w"][size() :]).all()


# --- everybody's parameters -------------------------------------------------------------------------


@check
def synced_and_not() -> None:
    params = model(rank())
    opt = Sharded(gs.Adam, params, bucket=256)
    if size() > 1:
        with refused(ValueError, r"W on rank 1.*layers.*sync\(\)"):
            opt.check_synced()
    opt.sync()
    assert_same(params, model(0))
    opt.check_synced()
    opt.step(gradients(params, rank()))
    opt.check_synced()
    last = size() - 1
    if last:
        if rank() == last:
            params["strided"][-1, -1] += 1
        with refused(
            ValueError, rf"^parameters differ from those of rank 0: strided on rank {last};"
        ):
            opt.check_synced()
        opt.sync()
        params["W"][-1, -1] += rank() == 0  # behind what is looked at first
        with refused(ValueError, r"rank 0: W on rank 1"):
            opt.check_synced()
        # Bits are compared, so that a zero of the other sign counts, and NaN is equal to itself.
        opt.sync()
        params["b"][3] = -0.0 if rank() == last else 0.0
        with refused(ValueError, f"b on rank {last}"):
            opt.check_synced()
        params["b"][3] = np.nan
        opt.check_synced()


@check
def averages_in_the_place_of_parameters() -> None:
    for corrected in (False, True):
        average = gs.EWA(0.9, bias_correction=corrected)
        sharded = {"reduce": None, "bucket": 300}
        pair = Pair(gs.Adam, sharded=sharded, lr=0.1, average=average)
        for t in range(3):
            pair.step(gradients(pair.params, t))
        before = everything(pair.opt)
        with pair.judge.averaged():
            expected = copied(pair.judged)
        with pair.opt.averaged() as inside:
            assert inside is pair.opt.params
            assert_same(pair.params, expected)
            with refused(RuntimeError, "averaged"):
                pair.opt.step(gradients(pair.params))
            assert_same(pair.params, expected)
        assert everything(pair.opt) == before
        assert_same(pair.opt.average, pair.judge.average)
        pair.step(gradients(pair.params, 7))
        pair.compare()


class Own(Exception):
    pass


@check
def a_body_that_raises_inside_of_averages() -> None:
    for culprits in (range(size()), [size() - 1]):
        opt = Sharded(gs.Adam, model(), average=gs.EWA(0.5))
        opt.step(gradients(model(), rank()))
        before = everything(opt)
        raised = False
        try:
            with opt.averaged():
                if rank() in culprits:
                    raise Own
        except Own:
            raised = True
        assert raised == (rank() in culprits)
        assert everything(opt) == before


@check
def averages_that_nobody_keeps() -> None:
    opt = Sharded(gs.Adam, model())
    assert opt.average is None
    with refused(ValueError, "keeps no average"), opt.averaged():
        pass


# --- saving and loading -----------------------------------------------------------------------------


def parts_of_the_job() -> list[Any]:
    """Return communicators of the first 1, 2, ... ranks, each None for ranks outside."""
    from mpi4py import MPI

    found = []
    for count in range(1, size() + 1):
        inside = rank() < count
        comm = world().Split(0 if inside else MPI.UNDEFINED, rank())
        found.append(comm if inside else None)
    return found


@check
def a_run_goes_on_with_any_number_of_ranks() -> None:
    options: dict[str, Any] = {
        "betas": (gs.schedules.Linear(0.5, 0.9, steps=6), 0.999),
        "lr": gs.schedules.Cosine(0.25, steps=6),
        "average": gs.EWA(0.5, bias_correction=True),
    }

    def groups(params: Any) -> Any:
        return gs.by_name(params, {"[bl]*": {"lr": 0.5}})

    def made(comm: Any) -> Any:
        return Sharded(
            gs.NAdam, groups(model()), comm, reduce=None, bucket=300, **copy.deepcopy(options)
        )

    judge = gs.NAdam(groups(model()), **copy.deepcopy(options))
    for t in range(3):
        judge.step(gradients(model(), t))
    parameters, state = copied(judge.params), judge.state_dict()
    for t in range(3, 5):
        judge.step(gradients(model(), t))
    for comm in parts_of_the_job():
        if comm is None:
            continue
        opt = made(comm)
        for t in range(3):
            opt.step(gradients(model(), t))
        saved = opt.state_dict()
        assert_same(saved, state, opt)
        # What was returned is a copy: another step does not change it.
        opt.step(gradients(model(), 3))
        assert_same(saved, state, opt)

        other = made(comm)
        other.step(gradients(model(), 99))
        for w, v in zip(leaves(other.params), leaves(parameters), strict=True):
            w[...] = v
        other.load_state_dict(saved)
        for t in range(3, 5):
            other.step(gradients(model(), t))
        assert_same(other.params, judge.params, other)
        assert_same(other.state_dict(), judge.state_dict(), other)
        assert_same(other.average, judge.average, other)
    one = gs.NAdam(groups(copied(parameters)), **copy.deepcopy(options))
    one.load_state_dict(passed_on(made, parameters, state))
    for t in range(3, 5):
        one.step(gradients(model(), t))
    assert_same(one.params, judge.params)


def passed_on(made: Callable[[Any], Any], parameters: Any, state: Any) -> Any:
    """Return a state that went into all ranks, and came out again."""
    opt = made(None)
    opt.load_state_dict(state)
    return opt.state_dict()


def leaves(tree: Any) -> list[Array]:
    found: list[Array] = []

    def note(array: Array) -> Array:
        found.append(array)
        return array

    mapped(note, tree)
    return found


@check
def a_state_that_does_not_fit() -> None:
    opt = Sharded(gs.Adam, model(), average=gs.EWA(0.5))
    opt.step(gradients(model(), rank()))
    good = opt.state_dict()
    opt.step(gradients(model(), rank() + 9))
    before = everything(opt)

    def changed(change: Callable[[Any], object]) -> Any:
        state = copy.deepcopy(good)
        change(state)
        return state

    wrong: list[tuple[Any, str]] = [
        (changed(lambda s: s["state"].pop("W")), "W"),
        (changed(lambda s: s["state"]["W"].update(m=np.zeros(3, np.float32))), "W"),
        (changed(lambda s: s["state"].update(Y=s["state"]["W"])), "Y"),
        (changed(lambda s: s["average"]["arrays"].pop("b")), "b"),
        (gs.SGD(model()).state_dict(), "SGD"),
    ]
    for state, words in wrong:
        with refused(ValueError, words):
            opt.load_state_dict(state)
        for culprit in range(size()):
            with refused_by_all(culprit, ValueError, words):
                opt.load_state_dict(state if rank() == culprit else good)
    assert everything(opt) == before
    opt.load_state_dict(good)
    assert_same(opt.state_dict(), good)


# --- what stands around an optimizer ----------------------------------------------------------------


@check
def an_accumulator_over_it() -> None:
    pair = Pair(gs.Momentum, sharded={"deterministic": True}, lr=0.1)
    steps = gs.Accumulator(pair.opt, every=3)
    judge = gs.Accumulator(pair.judge, every=3)
    for t in range(6):
        # Whole numbers, whose sums are exact in any order.
        trees = [mapped(np.rint, gradients(pair.params, t, r)) for r in range(size())]
        steps.step(trees[rank()])
        judge.step(added(trees), 1 / size())
        assert pair.opt.t == (t + 1) // 3
    for there in (2, 0):
        for t in range(there):
            trees = [mapped(np.rint, gradients(pair.params, t, r)) for r in range(size())]
            steps.step(trees[rank()])
            judge.step(added(trees), 1 / size())
        assert steps.flush() == judge.flush() == (there > 0)
    assert pair.opt.t == 3
    assert_close(pair.params, pair.judged, 1e-6)
    pair.opt.check_synced()


@check
def a_loss_scaler_over_it() -> None:
    opt = Sharded(gs.SGD, {"w": np.ones(7, np.float32)}, lr=1.0, nonfinite="skip")
    scaler = gs.LossScaler(opt, scale=2.0**10)
    scales = []
    for t in range(4):
        scales.append(scaler.scale)
        grads = np.full(7, scaler.scale, np.float32)
        if t == 1 and rank() == size() - 1:
            grads[2] = np.inf
        scaler.step({"w": grads}, count=rank() + 1)
    assert scales[2] < scales[0] == scales[1]
    assert_same_everywhere(scales)
    assert opt.skipped == 1
    np.testing.assert_array_equal(opt.params["w"], np.full(7, -2.0, np.float32))


@check
def batches_in_parts() -> None:
    x = np.arange(97.0)[:, None] * np.ones(3)
    whole = gs.MiniBatches(x, batch_size=20, seed=5)
    part = gs.MiniBatches(x, batch_size=20, seed=5, shard=(rank(), size()))
    for _ in range(2):
        count = 0
        for one, mine in zip(whole, part, strict=True):
            assert_same(np.concatenate(world().allgather(mine)), one)
            count += 1
        assert count == 5


@check
def a_network_trained_on_parts_of_each_batch() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(480, 6))
    y = np.tanh(x @ rng.normal(size=(6, 2)))

    def network() -> dict[str, Array]:
        init = np.random.default_rng(2)
        return {
            "W1": init.normal(size=(6, 8)) / 3,
            "b1": np.zeros(8),
            "W2": init.normal(size=(8, 2)) / 3,
        }

    def backwards(params: Any, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        hidden = np.tanh(x @ params["W1"] + params["b1"])
        error = hidden @ params["W2"] - y
        back = error @ params["W2"].T * (1 - hidden**2)
        n = len(x)
        grads = {"W1": x.T @ back / n, "b1": back.mean(0), "W2": hidden.T @ error / n}
        return float((error**2).sum() / 2 / n), grads

    batch = 60 if 60 % size() == 0 else 60 // size() * size()

    def curve(opt: gs.Optimizer, shard: tuple[int, int] | None) -> list[float]:
        losses = []
        batches = gs.MiniBatches(x, y, batch_size=batch, seed=3, drop_last=True, shard=shard)
        for _ in range(4):
            for examples in batches:
                loss, grads = backwards(opt.params, *examples)
                losses.append(float(np.mean(world().allgather(loss))) if shard else loss)
                opt.step(grads)
        return losses

    options: dict[str, Any] = {"lr": gs.schedules.Cosine(0.02, steps=40), "max_norm": 1.0}
    one = curve(gs.Adam(network(), **options), None)
    many = curve(Sharded(gs.Adam, network(), **options), (rank(), size()))
    assert one[-1] < one[0] / 2
    np.testing.assert_allclose(many, one, rtol=1e-6)


# --- faults that a job survives ---------------------------------------------------------------------


@check
def gradients_of_one_rank_are_wrong() -> None:
    params = model()
    pair = Pair(gs.Adam, sharded={"reduce": None, "bucket": 300}, average=gs.EWA(0.5))
    pair.step(gradients(params, 0))
    before = everything(pair.opt)
    good = gradients(params, 1)
    wrong: list[tuple[Any, type[Exception], str]] = [
        ({**good, "W": np.ones((23, 16), np.float32)}, ValueError, "W"),
        ({**good, "W": np.ones((23, 17))}, TypeError, "W"),
        ({key: g for key, g in good.items() if key != "b"}, ValueError, "b"),
        (None, TypeError, "NoneType"),
    ]
    for culprit in range(size()):
        for grads, error, words in wrong:
            with refused_by_all(culprit, error, words):
                pair.opt.step(grads if rank() == culprit else good)
        with refused_by_all(culprit, ValueError, "scale"):
            pair.opt.step(good, np.inf if rank() == culprit else 1.0)
    assert everything(pair.opt) == before
    pair.step(good)
    pair.compare()


@check
def parameters_of_one_rank_are_read_only() -> None:
    opt = Sharded(gs.Adam, model())
    params = opt.params
    before = everything(opt)
    culprit = size() - 1
    if rank() == culprit:
        params["W"].flags.writeable = False
    with refused_by_all(culprit, ValueError, "W"):
        opt.step(gradients(model()))
    params["W"].flags.writeable = True
    assert everything(opt) == before
    opt.step(gradients(model()))


@check
def a_parameter_that_one_rank_replaces() -> None:
    params = {"W": np.ones(7), "b": np.ones(3)}
    grads = copied(params)
    opt = Sharded(gs.Adam, params, average=gs.EWA(0.5))
    opt.step(grads)
    before, mine = everything(opt), params["W"]
    culprit = size() - 1
    if rank() == culprit:
        params["W"] = mine.copy()
    acts: list[Callable[[], Any]] = [
        lambda: opt.step(grads),
        opt.state_dict,
        lambda: opt.averaged().__enter__(),
    ]
    for act in acts:
        with refused_by_all(culprit, ValueError, r"params\['W'\] was replaced by another array"):
            act()
    params["W"] = mine
    assert everything(opt) == before
    opt.step(grads)
    opt.check_synced()


@check
def the_schedule_of_one_rank_raises() -> None:
    culprit = size() - 1

    def schedule(n: int) -> float:
        if rank() == culprit and n == 1 and raising:
            raise Own("of mine")
        return 0.1

    raising = True
    for around in ({}, {"max_norm": 1.0}):
        opt = Sharded(gs.Adam, model(), lr=schedule, **around)
        raising = True
        opt.step(gradients(model(), 0))
        before = copied(opt.params), opt.t
        with refused_by_all(culprit, Own, "of mine"):
            opt.step(gradients(model(), 1))
        assert_same((opt.params, opt.t), before)
        raising = False
        opt.step(gradients(model(), 1))
        assert opt.t == 2
        opt.check_synced()


@check
def ranks_that_call_different_methods() -> None:
    if size() == 1:
        return
    opt = Sharded(gs.Adam, model(), average=gs.EWA(0.5))
    opt.step(gradients(model()))
    before = everything(opt)
    acts: dict[str, Callable[[], object]] = {
        "step": lambda: opt.step(gradients(model())),
        "sync": opt.sync,
        "check_synced": opt.check_synced,
        "state_dict": opt.state_dict,
        "average": lambda: opt.average,
        "averaged": lambda: opt.averaged().__enter__(),
        "add_group": lambda: opt.add_group({"params": [np.ones(2)]}),
        "load": lambda: opt.load_state_dict(good),
        "save": lambda: gs.save(folder / "x", opt=opt),
    }
    folder = shared_folder()
    good = opt.state_dict()
    names = list(acts)
    for i, name in enumerate(names):
        other = names[i - 1]
        mine, elsewhere = (other, name) if rank() == size() - 1 else (name, other)
        with refused(RuntimeError, f"here it is {mine}, elsewhere {elsewhere}"):
            acts[mine]()
    assert everything(opt) == before
    opt.step(gradients(model()))
    opt.check_synced()


@check
def ranks_that_have_taken_different_numbers_of_steps() -> None:
    if size() == 1:
        return
    opt = Sharded(gs.Adam, model(), reduce=None)
    opt.step(gradients(model()))
    good = opt.state_dict()
    if rank() == 0:
        # As nobody should: around the ranks.
        opt._local.step({name: np.zeros_like(w) for name, w in opt._local.params.items()})
    before = copied(opt.params)
    with refused(RuntimeError, rf"different numbers of steps.*; here it is {1 + (rank() == 0)}"):
        opt.step(gradients(model()))
    assert_same(opt.params, before)
    with refused(RuntimeError, "different numbers of steps"):
        opt.state_dict()
    opt.load_state_dict(good)
    opt.step(gradients(model()))


@check
def what_is_assigned_on_one_rank_only() -> None:
    opt = Sharded(gs.Adam, model(), reduce=None)
    opt.step(gradients(model()))
    if size() == 1:
        return
    assigned: list[tuple[str, Any, Any]] = [
        ("lr", 0.5, 0.001), ("max_norm", 2.0, None), ("clip_value", 0.5, None), ("nonfinite", "skip", "propagate"),
    ]  # fmt: skip
    for name, other, usual in assigned:
        if rank() == size() - 1:
            setattr(opt, name, other)
        before = everything(opt)
        with refused(RuntimeError, f"options of a step, are not the same .*{name}.* on rank 0, "):
            opt.step(gradients(model()))
        assert everything(opt) == before
        setattr(opt, name, usual)
    opt.step(gradients(model()))
    opt.check_synced()


@check
def schedules_that_say_different_things() -> None:
    if size() == 1:
        return
    params = [{"params": [np.ones(20)], "lr": 0.5}, {"params": [np.ones(1)]}]
    rates = {"lr": 0.25}
    opt = Sharded(gs.SGD, params, lr=lambda n: rates["lr"], reduce=None, average=gs.EWA(0.5))
    grads = [[np.ones(20)], [np.ones(1)]]
    opt.step(grads)
    before = everything(opt)
    if rank() == size() - 1:
        rates["lr"] = 0.125
    words = rf"lr of group 1 is 0\.25 on rank 0, 0\.125 on rank {size() - 1}$"
    with refused(RuntimeError, words):
        opt.step(grads)
    rates["lr"] = 0.25
    assert everything(opt) == before
    opt.step(grads)
    opt.check_synced()


@check
def optimizers_in_another_order() -> None:
    if size() == 1:
        return
    first = Sharded(gs.SGD, [np.ones(3)])
    if rank() == 0:  # has tried one more than the others
        with refused(RuntimeError, "all ranks must call the same"):
            Sharded(gs.SGD, [np.ones(3)])
    else:
        with refused(RuntimeError, "all ranks must call the same"):
            first.check_synced()
    ones = [Sharded(gs.SGD, [np.ones(n)], reduce=None, max_norm=norm) for n, norm in SEVERAL]
    grads = [[np.full(n, 4.0)] for n, _ in SEVERAL]
    before = [everything(opt) for opt in ones]
    turn = -1 if rank() == size() - 1 else 1
    for opt, g in [*zip(ones, grads, strict=True)][::turn]:
        with refused(RuntimeError, "all ranks must call the same optimizer"):
            opt.step(g)
    assert [everything(opt) for opt in ones] == before
    for opt, g in zip(ones, grads, strict=True):
        opt.step(g)
        opt.check_synced()


SEVERAL = [(3, None), (4000, None), (9, 1.0), (4, 1.0)]


@check
def a_forked_process_is_no_rank() -> None:
    opt = Sharded(gs.SGD, [np.ones(3)], reduce=None)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            opt.step([np.ones(3)])
        except RuntimeError as error:
            if "a forked process is no rank" in str(error):
                code = 0
        finally:
            os._exit(0 if size() == 1 and opt.t == 1 else code)
    _, status = os.waitpid(child, 0)
    assert status == 0
    opt.step([np.ones(3)])
    assert opt.t == 1


@check
def one_exception_that_is_raised_twice() -> None:
    error = ValueError("mine")
    raises = False

    def rate(n: int) -> float:
        if raises and rank() == size() - 1:
            raise error
        return 0.5

    opt = Sharded(gs.SGD, model(), lr=rate, reduce=None)
    for _ in range(2):
        raises = True
        with refused_by_all(size() - 1, ValueError, "mine"):
            opt.step(gradients(model()))
        raises = False
        opt.step(gradients(model()))
    assert opt.t == 2
    opt.check_synced()


@check
def an_interruption_in_a_schedule() -> None:
    interrupted = [rank() == 0, False]

    def rate(n: int) -> float:
        if interrupted.pop():
            raise KeyboardInterrupt
        return 0.5

    opt = Sharded(gs.SGD, model(), lr=0.5, reduce=None)
    opt.lr = rate
    before = copied(opt.params)
    interrupted[:] = [False, rank() == 0]
    with refused_by_all(0, KeyboardInterrupt, ""):
        opt.step(gradients(model()))
    assert_same(opt.params, before)
    opt.step(gradients(model()))


@check
def scales_that_differ() -> None:
    opt = Sharded(gs.Adam, model(), reduce=None)
    opt.step(gradients(model()), 0.5)
    if size() == 1:
        return
    before = everything(opt)
    with refused(RuntimeError, "scale must be the same on all ranks"):
        opt.step(gradients(model()), 0.5 + rank())
    wrongs: list[Any] = ["x", [1.0], np.ones(2), None]
    for wrong in wrongs:
        with refused_by_all(size() - 1, TypeError, "scale must be a number, got "):
            opt.step(gradients(model()), wrong if rank() == size() - 1 else 0.5)
    assert everything(opt) == before
    opt.step(gradients(model()), 0.25)


@check
def models_that_differ_are_named() -> None:
    if size() == 1:
        return
    last = size() - 1
    base = model()
    others: list[tuple[Any, str]] = [
        (
            {**base, "W": np.ones((23, 18), np.float32)},
            rf"W: float32\(23, 17\) on rank 0, float32\(23, 18\) on rank {last}",
        ),
        ({**base, "b": np.ones(17)}, rf"b: float32.* on rank 0, float64.* on rank {last}"),
        ({**base, "more": np.ones(2)}, f"more: not there on rank 0, .* on rank {last}"),
        ({key: w for key, w in base.items() if key != "b"}, f"b: .*, not there on rank {last}"),
        (dict(reversed(base.items())), "order"),
        ([{"params": base}, {"params": [np.ones(2)]}], f"not there on rank 0.* rank {last}"),
    ]
    for params, words in others:
        with refused_by_all(last, ValueError, words):
            Sharded(gs.Adam, params if rank() == last else base)
    Sharded(gs.Adam, base).step(gradients(base))


@check
def arguments_of_one_rank_are_wrong() -> None:
    from mpi4py import MPI

    culprit = size() - 1

    def made(kind: Any = gs.Adam, params: Any = None, **options: Any) -> gs.Optimizer:
        return Sharded(kind, model() if params is None else params, **options)

    def no_optimizer(params: Any) -> Any:
        return params

    used = gs.EWA(0.5)
    used.update(model())
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"lr": -1.0}, ValueError, "lr"),
        ({"nothing": 1}, TypeError, "nothing"),
        ({"reduce": "max"}, ValueError, "reduce must be"),
        ({"bucket": 0}, ValueError, "bucket"),
        ({"deterministic": "yes"}, TypeError, "deterministic"),
        ({"max_norm": -1.0}, ValueError, "max_norm"),
        ({"params": {}}, ValueError, "params"),
        ({"params": [np.ones(3, int)]}, TypeError, "int64"),
        ({"kind": no_optimizer}, TypeError, "optimizer must be a class"),
        ({"kind": "adam"}, TypeError, "optimizer must be a class of gradstep's, got 'adam'"),
        ({"kind": gs.SGD([np.ones(3)])}, TypeError, "optimizer must be a class of gradstep's, got"),
        ({"reduce": np.zeros(2)}, ValueError, "reduce must be"),
        ({"average": used}, ValueError, "average has been used"),
    ]
    for arguments, error, words in wrong:
        with refused_by_all(culprit, error, words):
            made(**(arguments if rank() == culprit else {}))
    if size() > 1:
        differing: list[tuple[dict[str, Any], str]] = [
            ({"lr": 0.5}, r"lr must be the same on all ranks: 0\.001 on rank 0, 0\.5 on rank"),
            ({"lr": gs.schedules.Constant(0.001)}, "lr must be the same .* 0.001 .*'Constant'"),
            ({"lr": lambda n: 0.001}, "lr must be the same .* 0.001 on rank 0, a callable on rank"),
            ({"kind": gs.SGD, "lr": 0.001}, "optimizer must be the same .*Adam on rank 0, SGD"),
            ({"reduce": "sum"}, "reduce must be the same .*'mean' on rank 0, 'sum'"),
            ({"bucket": 300}, "bucket must be the same"),
            ({"deterministic": True}, "deterministic must be the same"),
            ({"max_norm": 2.0}, r"max_norm must be the same .* None on rank 0, 2\.0 on rank"),
            ({"average": gs.EWA(0.5)}, "average must be the same"),
        ]
        for arguments, words in differing:
            with refused_by_all(culprit, ValueError, words):
                made(**(arguments if rank() == culprit else {}))
    with refused(TypeError, "intracommunicator"):
        Sharded(gs.Adam, model(), comm=3)
    with refused(TypeError, "COMM_NULL"):
        Sharded(gs.Adam, model(), comm=world().Split(MPI.UNDEFINED))
    made().step(gradients(model()))


@check
def several_at_once_and_other_communicators() -> None:
    from mpi4py import MPI

    halves = world().Split(rank() % 2, rank())
    first, second = Sharded(gs.Adam, model()), Sharded(gs.SGD, model(), halves, reduce="sum")
    alone = Sharded(gs.Adam, model(), MPI.COMM_SELF)
    assert (first.rank, first.size) == (rank(), size())
    assert (second.rank, second.size) == (halves.Get_rank(), halves.Get_size())
    assert (alone.rank, alone.size) == (0, 1)
    judge = gs.Adam(model())
    for t in range(2):
        first.step(gradients(model(), t, rank()))
        # Of each half a sum of its own.
        second.step(gradients(model(), t, rank()))
        alone.step(gradients(model(), t, rank()))
        judge.step(gradients(model(), t, rank()))
        first.check_synced()
        second.check_synced()
    assert_same(alone.params, judge.params)
    # Many of them: a job has only so many communicators, and one is made for each but once.
    for _ in range(effort(40, 500)):
        opt = Sharded(gs.SGD, [np.ones(3)])
    opt.step([np.ones(3)])


@check
def random_models_cut_anyhow() -> None:
    # Shapes, dtypes, orders in memory, strides, buckets and options.
    rng = np.random.default_rng(7)
    for turn in range(effort(30 // size(), 80)):
        shapes = [
            tuple(rng.integers(0 if rng.random() < 0.1 else 1, 9, rng.integers(0, 4)))
            for _ in range(rng.integers(1, 6))
        ]
        kinds = [
            (rng.choice(["f4", "f8"]), rng.permutation(len(s)), rng.integers(3)) for s in shapes
        ]

        def make(shapes: Any = shapes, kinds: Any = kinds, turn: int = turn) -> list[Array]:
            fresh = np.random.default_rng(turn)
            found = []
            for shape, (dtype, order, stride) in zip(shapes, kinds, strict=True):
                full = [n * 2 for n in shape] if stride else list(shape)
                a = np.array(fresh.normal(size=[full[i] for i in order]), dtype)
                a = a.transpose(np.argsort(order))
                if stride:
                    step = slice(None, None, (2, -2)[stride - 1])
                    cut = (..., *[step] * len(shape))
                    a = a[cut]
                found.append(a)
            return found

        sharded = {
            "reduce": str(rng.choice(["mean", "sum"])),
            "deterministic": True,
            "bucket": int(rng.choice([8, 64, 1000, 1 << 20])),
        }
        arounds: list[dict[str, Any]] = [{}, {"nonfinite": "raise"}, {"average": gs.EWA(0.5)}]
        pair = Pair(gs.AdamW, make, sharded=sharded, **arounds[rng.integers(3)])
        for t in range(2):
            trees = [gradients(pair.params, turn, t, r) for r in range(size())]
            pair.opt.step(trees[rank()])
            pair.judge.step(added(trees), 1 / size() if sharded["reduce"] == "mean" else 1.0)
        pair.compare((turn, sharded, shapes))


# --- checkpoints ------------------------------------------------------------------------------------


def shared_folder() -> Path:
    """Return a folder that all ranks know."""
    made: str = world().bcast(tempfile.mkdtemp() if rank() == 0 else None, 0)
    return Path(made)


@check
def one_file_for_all_ranks() -> None:
    folder = shared_folder()
    options: dict[str, Any] = {"reduce": None, "bucket": 300, "average": gs.EWA(0.5)}
    opt = Sharded(gs.Adam, model(), **copy.deepcopy(options))
    batches = gs.MiniBatches(np.arange(30), batch_size=7, seed=1, shard=(rank(), size()))
    judge = gs.Adam(model(), average=gs.EWA(0.5))
    for t, _ in zip(range(3), batches, strict=False):
        for each in (opt, judge):
            each.step(gradients(model(), t))
    parts: dict[str, Any] = {"params": opt.params, "opt": opt, "batches": batches}
    gs.save(folder / "a", **parts, epoch=3)
    saving = gs.save_in_background(folder / "b", **parts, epoch=3)
    opt.step(gradients(model(), 3))  # which is not in the file
    judge.step(gradients(model(), 3))
    saving.wait()
    world().Barrier()  # only rank 0 has waited for the disk
    for name in ("a", "b"):
        # Taken up by all ranks, and by one process that knows of no other.
        other = Sharded(gs.Adam, model(1), **copy.deepcopy(options))
        own = gs.MiniBatches(np.arange(30), batch_size=7, seed=2, shard=(rank(), size()))
        assert gs.load(folder / name, params=other.params, opt=other, batches=own) == {"epoch": 3}
        alone = gs.Adam(model(2), average=gs.EWA(0.5))
        assert gs.load(folder / name, params=alone.params, opt=alone) == {"epoch": 3}
        assert_same(own.state_dict(), batches.state_dict(), name)
        for each in (other, alone):
            each.step(gradients(model(), 3))
            assert_same(each.params, judge.params, name)
            assert_same(each.state_dict(), judge.state_dict(), name)


@check
def files_that_not_all_can_have() -> None:
    folder = shared_folder()
    opt = Sharded(gs.Adam, model())
    opt.step(gradients(model(), 1))
    gs.save(folder / "good", params=opt.params, opt=opt)
    good = (folder / "good").read_bytes()
    opt.step(gradients(model(), 2))
    before = everything(opt)
    with refused_by_all(0, FileNotFoundError, "No such file"):
        gs.save(folder / "none" / "x", opt=opt)
    for culprit in range(size()):
        mine = rank() == culprit
        with refused_by_all(culprit, FileNotFoundError, "No such file"):
            gs.load(folder / ("none" if mine else "good"), params=opt.params, opt=opt)
        with refused_by_all(culprit, ValueError, "good. does not fit"):
            more: Any = {"more": np.ones(3)} if mine else {}
            gs.load(folder / "good", opt=opt, **more)
    if size() > 1:
        words = "parts must be named alike on all ranks"
        with refused_by_all(size() - 1, ValueError, words):
            gs.save(folder / "good", opt=opt, **({"x": 1} if rank() == size() - 1 else {}))
    sums = gs.Accumulator(opt, every=2)
    sums.step(gradients(model(), 3))
    if size() > 1:
        with refused(ValueError, "micro-batches are added up, others on each rank"):
            gs.save(folder / "good", sums=sums, opt=opt)
    world().Barrier()
    assert everything(opt) == before
    assert (folder / "good").read_bytes() == good
    assert [path.name for path in folder.iterdir()] == ["good"]


@check
def a_file_that_is_another_on_one_rank() -> None:
    folder = Path(tempfile.mkdtemp())  # of each rank its own
    opt = Sharded(gs.Adam, model(), reduce=None)
    opt.step(gradients(model(), 1))
    for number in range(2):
        gs.save(folder / "x", params=opt.params, opt=opt, number=number)  # written by rank 0
        if rank() == 0:
            written = (folder / "x").read_bytes()
        written = world().bcast(written if rank() == 0 else None, 0)
        if number == 0 or rank() < size() - 1:
            (folder / "x").write_bytes(written)
    opt.step(gradients(model(), 2))
    before = everything(opt)
    if size() > 1:
        with refused_by_all(size() - 1, ValueError, "has to be the same file on all ranks"):
            gs.load(folder / "x", params=opt.params, opt=opt)
    assert everything(opt) == before
    (folder / "x").write_bytes(written)
    assert gs.load(folder / "x", params=opt.params, opt=opt) == {"number": 1}
    assert opt.t == 1


@check
def a_file_that_is_being_written() -> None:
    folder = shared_folder()
    opt = Sharded(gs.SGD, [np.zeros(400_000)], reduce=None)
    for t in range(4):
        saving = gs.save_in_background(folder / "x", opt=opt, params=opt.params)
        if t % 2 or size() == 1:
            saving.wait()  # on rank 0 alone, which writes
        assert gs.load(folder / "x", params=opt.params, opt=opt) == {}
        assert (opt.t, opt.params[0][0]) == (t, -0.5 * t)
        opt.lr = 0.5
        opt.step([np.ones(400_000)])


class Part:
    """An object of the user's, which one rank cannot take back."""

    def __init__(self) -> None:
        self.value = 1

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]
        if rank() == size() - 1:
            raise ValueError("no room here")


@check
def a_part_that_one_rank_cannot_load() -> None:
    folder = shared_folder()
    opt, part = Sharded(gs.Adam, model()), Part()
    gs.save(folder / "x", params=opt.params, opt=opt, part=part)
    opt.step(gradients(model(), 1))
    part.value = 2
    before = everything(opt)
    with refused_by_all(size() - 1, ValueError, "no room here"):
        gs.load(folder / "x", params=opt.params, opt=opt, part=part)
    assert everything(opt) == before
    assert part.value == 2
    opt.step(gradients(model(), 2))


@check
def what_a_save_in_the_background_has_failed_with() -> None:
    opt = Sharded(gs.Adam, model())
    missing = shared_folder() / "none" / "x"
    saving = gs.save_in_background(missing, opt=opt)
    opt.step(gradients(model(), 1))
    with contextlib.suppress(OSError):  # on rank 0, which writes; told once more to nobody
        while not saving.done:
            time.sleep(0.01)
    world().Barrier()
    with refused_by_all(0, FileNotFoundError, "No such file"):
        gs.save_in_background(missing.parent.parent / "x", opt=opt)
    opt.step(gradients(model(), 2))
    gs.save_in_background(missing.parent.parent / "x", opt=opt).wait()


@check
def parts_of_different_communicators() -> None:
    if size() == 1:
        return
    opt = Sharded(gs.Adam, model())
    other = Sharded(gs.Adam, model(), world().Split(0, -rank()))
    with refused(ValueError, "different communicators"):
        gs.save(shared_folder() / "x", opt=opt, other=other)
