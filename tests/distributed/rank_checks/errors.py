"""An error of one rank is an error of all, and nothing has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from pairs import Pair, Sharded, UserError, assert_same, copy_tree, gradients, model
from ranks import check, rank, refused_by_all, size

import gradstep as gs
from support.whole import everything


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
    grads = copy_tree(params)
    opt = Sharded(gs.Adam, params, average=gs.EWA(0.5))
    opt.step(grads)
    before, mine = everything(opt), params["W"]
    culprit = size() - 1
    if rank() == culprit:
        params["W"] = mine.copy()
    calls: list[Callable[[], Any]] = [
        lambda: opt.step(grads),
        opt.state_dict,
        lambda: opt.averaged().__enter__(),
    ]
    for call in calls:
        with refused_by_all(culprit, ValueError, r"params\['W'\] was replaced by another array"):
            call()
    params["W"] = mine
    assert everything(opt) == before
    opt.step(grads)
    opt.check_synced()


@check
def the_schedule_of_one_rank_raises() -> None:
    culprit = size() - 1

    def schedule(n: int) -> float:
        if rank() == culprit and n == 1 and raising:
            raise UserError("of mine")
        return 0.1

    raising = True
    for around in ({}, {"max_norm": 1.0}):
        opt = Sharded(gs.Adam, model(), lr=schedule, **around)
        raising = True
        opt.step(gradients(model(), 0))
        before = copy_tree(opt.params), opt.t
        with refused_by_all(culprit, UserError, "of mine"):
            opt.step(gradients(model(), 1))
        assert_same((opt.params, opt.t), before)
        raising = False
        opt.step(gradients(model(), 1))
        assert opt.t == 2
        opt.check_synced()


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
    before = copy_tree(opt.params)
    interrupted[:] = [False, rank() == 0]
    with refused_by_all(0, KeyboardInterrupt, ""):
        opt.step(gradients(model()))
    assert_same(opt.params, before)
    opt.step(gradients(model()))


@check
def a_forked_process_is_not_a_rank() -> None:
    opt = Sharded(gs.SGD, [np.ones(3)], reduce=None)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            opt.step([np.ones(3)])
        except RuntimeError as error:
            if "a forked process is not a rank" in str(error):
                code = 0
        finally:
            os._exit(0 if size() == 1 and opt.t == 1 else code)
    _, status = os.waitpid(child, 0)
    assert status == 0
    opt.step([np.ones(3)])
    assert opt.t == 1
