"""Groups: by masks, added later, and with fewer elements than ranks."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
from pairs import Array, Pair, Sharded, assert_same, gradients, map_tree, model, sum_trees
from ranks import check, rank, refused, refused_by_all, size, world

import gradstep as gs
from support.whole import everything


def is_matrix(params: Any) -> Any:
    return map_tree(lambda w: w.ndim > 1, params)


@check
def masks_of_optax() -> None:
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
def groups_that_are_added_later() -> None:
    # The first is larger than the model, so that buckets need more room; the others are tiny.
    for average in (None, gs.EWA(0.5)):
        sharded = {"deterministic": True, "bucket": 1 << 12}
        pair = Pair(gs.Adam, sharded=sharded, average=average, lr=gs.schedules.Cosine(0.1, steps=9))
        trees = [[gradients(pair.params, r)] for r in range(size())]
        pair.step(trees[rank()][0], sum_trees(trees)[0], 1 / size())
        pair.compare()
        shapes: list[tuple[int, ...]] = [(90, 2), (1,), (0,)]
        for i, shape in enumerate(shapes):
            late = {f"a{i}": np.ones(shape), f"b{i}": np.ones((*shape, 4))[..., ::2]}
            entry = {"params": late, "lr": 0.5}
            pair.opt.add_group(entry)
            pair.reference.add_group(copy.deepcopy(entry))
            for r, tree in enumerate(trees):
                tree.append(gradients(late, i, r))
            pair.step(trees[rank()], sum_trees(trees), 1 / size())
            assert_same(pair.opt.params[-1], pair.reference.params[-1])
            pair.compare(shape)
        assert len(pair.opt.groups) == 4
        with refused(ValueError, "params"):
            pair.opt.add_group({})
        pair.step(trees[rank()], sum_trees(trees), 1 / size())
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
            for opt in (pair.opt, pair.reference):
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
        counts = world().allgather(sum(w.size for w in opt._shard.arrays))
        assert sum(counts) == 20
        assert max(counts) - min(counts) <= 1, counts


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
def a_group_that_is_wrong_on_one_rank() -> None:
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
