"""Gradients that are not finite."""

from __future__ import annotations

import re

import numpy as np
from pairs import Pair, Sharded, assert_same, copy_tree, gradients, sum_trees
from ranks import check, rank, refused, size

import gradstep as gs


@check
def a_gradient_of_one_rank_is_not_finite() -> None:
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
        pair.reference.step(sum_trees(trees), 1 / size())

    step(0)
    before = copy_tree(pair.params), pair.opt.state_dict(), pair.opt.average
    grads = copy_tree(gradients(pair.params, 9, rank()))
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
    assert pair.opt.last_nonfinite == words
    assert pair.opt.skipped == 1
    assert pair.opt.t == 1
    for counted in (before[1], state):
        counted.pop("skipped", None)
        counted.get("options", {}).pop("skipped", None)
    assert_same((copy_tree(pair.params), state, pair.opt.average), before)
    step(1)
    assert pair.opt.t == 2
    assert_same(pair.params, pair.expected)


@check
def a_gradient_that_is_not_finite_propagates_by_default() -> None:
    opt = Sharded(gs.SGD, {"w": np.zeros(5 * size())}, lr=1.0)
    grads = np.ones(5 * size())
    grads[rank()] = np.nan
    opt.step({"w": grads})
    assert np.isnan(opt.params["w"][: size()]).all()
    assert np.isfinite(opt.params["w"][size() :]).all()


@check
def sums_of_infinities() -> None:
    opt = Sharded(gs.SGD, [np.zeros(40)], nonfinite="skip", deterministic=True)
    with np.errstate(all="raise"):
        opt.step([np.full(40, np.inf if rank() == 0 else -np.inf)])
    assert (opt.t, opt.skipped) == (0, 1)
