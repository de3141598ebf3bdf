"""Gradients that differ between the ranks: their sums, and means weighted by counts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from pairs import Pair, Sharded, assert_close, cast, gradients, leaves, map_tree, model, sum_trees
from ranks import check, rank, refused, refused_by_all, size

import gradstep as gs
from support.whole import everything


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
                    pair.reference.step(sum_trees(trees), 0.5 / share)
                pair.compare(sharded)


@check
def sums_by_mpi() -> None:
    rows: list[tuple[Any, dict[str, Any]]] = [(gs.SGD, {}), (gs.Momentum, {"max_norm": 3.0})]
    for reduce in ("mean", "sum"):
        for kind, around in rows:
            pair = Pair(kind, sharded={"reduce": reduce, "bucket": 300}, lr=0.1, **around)
            for t in range(3):
                trees = [gradients(pair.params, t, r) for r in range(size())]
                share = size() if reduce == "mean" else 1
                pair.opt.step(trees[rank()])
                pair.reference.step(sum_trees(trees), 1.0 / share)
            assert_close(pair.params, pair.expected, 2e-6)
            pair.opt.check_synced()


def counts_of_ranks() -> list[list[int]]:
    """Return several lists of the number of examples on each rank."""
    none = [0] * (size() - 1)
    return [[r + 1 for r in range(size())], [3, *none], [*none, 2], [5] * size()]


def without_examples(params: Any) -> list[Any]:
    """Return what a rank may pass as gradients if its part of the batch is empty."""
    return [map_tree(lambda w: np.full_like(w, np.nan), params), None, "nothing", {"W": np.ones(3)}]


@check
def means_are_weighted_by_counts() -> None:
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"bucket": 300}, {"max_norm": 1e9}),  # the norm is measured, but nothing is clipped
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
                map_tree(functools.partial(np.multiply, weight, dtype=np.float64), tree)
                for weight, tree in zip(weights, trees, strict=True)
            ]
            dtypes = map_tree(lambda w: w.dtype, pair.params)
            pair.reference.step(cast(sum_trees(shares), dtypes), 0.5)
            for w, expected in zip(leaves(pair.params), leaves(pair.expected), strict=True):
                within = 32 * np.finfo(w.dtype).eps
                np.testing.assert_allclose(w, expected, rtol=within, atol=within)
            pair.opt.check_synced()


@check
def equal_counts_change_no_bit() -> None:
    for around in ({}, {"max_norm": 3.0}):
        counted, plainly = (Sharded(gs.Adam, model(), deterministic=True, **around) for _ in "ab")
        for t in range(3):
            counted.step(gradients(model(), t, rank()), count=7)
            plainly.step(gradients(model(), t, rank()))
        assert everything(counted) == everything(plainly)


@check
def gradients_of_no_examples_are_ignored() -> None:
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
        words = f"on all ranks or on none: count is given on rank 0, not given on rank {last};"
        with refused(RuntimeError, words):
            opts["mean"].step(gradients(model()), count=None if rank() == last else 4)
    assert [everything(opt) for opt in opts.values()] == before
    opts["mean"].step(gradients(model()), count=rank() + 1)
    opts["mean"].check_synced()
