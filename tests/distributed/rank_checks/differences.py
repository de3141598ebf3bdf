"""Ranks that call different methods, or give the same one different values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pairs import Sharded, assert_same, copy_tree, gradients, model, shared_folder
from ranks import check, rank, refused, refused_by_all, size

import gradstep as gs
from support.whole import everything


@check
def ranks_that_call_different_methods() -> None:
    if size() == 1:
        return
    opt = Sharded(gs.Adam, model(), average=gs.EWA(0.5))
    opt.step(gradients(model()))
    before = everything(opt)
    calls: dict[str, Callable[[], object]] = {
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
    names = list(calls)
    for i, name in enumerate(names):
        other = names[i - 1]
        mine, elsewhere = (other, name) if rank() == size() - 1 else (name, other)
        with refused(RuntimeError, f"got {mine} here and {elsewhere} elsewhere"):
            calls[mine]()
    assert everything(opt) == before
    opt.step(gradients(model()))
    opt.check_synced()


@check
def optimizers_in_another_order() -> None:
    if size() == 1:
        return
    first = Sharded(gs.SGD, [np.ones(3)])
    if rank() == 0:
        with refused(RuntimeError, "all ranks must make the same call"):
            Sharded(gs.SGD, [np.ones(3)])
    else:
        with refused(RuntimeError, "all ranks must make the same call"):
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
def ranks_that_have_taken_different_numbers_of_steps() -> None:
    if size() == 1:
        return
    opt = Sharded(gs.Adam, model(), reduce=None)
    opt.step(gradients(model()))
    good = opt.state_dict()
    if rank() == 0:
        # Around the ranks, as no user should.
        opt._local.step({name: np.zeros_like(w) for name, w in opt._local.params.items()})
    before = copy_tree(opt.params)
    with refused(RuntimeError, rf"t must be the same on all ranks: got {1 + (rank() == 0)} here;"):
        opt.step(gradients(model()))
    assert_same(opt.params, before)
    with refused(RuntimeError, "t must be the same on all ranks"):
        opt.state_dict()
    opt.load_state_dict(good)
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
def an_assignment_on_one_rank_only() -> None:
    opt = Sharded(gs.Adam, model(), reduce=None)
    opt.step(gradients(model()))
    if size() == 1:
        return
    assigned: list[tuple[str, Any, Any]] = [
        ("lr", 0.5, 0.001),
        ("max_norm", 2.0, None),
        ("clip_value", 0.5, None),
        ("nonfinite", "skip", "propagate"),
    ]
    for name, other, usual in assigned:
        if rank() == size() - 1:
            setattr(opt, name, other)
        before = everything(opt)
        with refused(RuntimeError, f"options of a step must be the same .*{name}.* on rank 0, "):
            opt.step(gradients(model()))
        assert everything(opt) == before
        setattr(opt, name, usual)
    opt.step(gradients(model()))
    opt.check_synced()


@check
def schedules_that_return_different_values() -> None:
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
    words = rf"lr of group 1 is 0\.25 on rank 0, 0\.125 on rank {size() - 1};"
    with refused(RuntimeError, words):
        opt.step(grads)
    rates["lr"] = 0.25
    assert everything(opt) == before
    opt.step(grads)
    opt.check_synced()
