"""`state_dict` and `load_state_dict`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from pairs import Sharded, assert_same, copy_tree, gradients, leaves, model
from ranks import check, rank, refused, refused_by_all, size, world

import gradstep as gs
from support.whole import everything


def parts_of_the_job() -> list[Any]:
    """Return communicators of the first 1, 2, ... ranks; None on a rank outside."""
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

    reference = gs.NAdam(groups(model()), **copy.deepcopy(options))
    for t in range(3):
        reference.step(gradients(model(), t))
    parameters, state = copy_tree(reference.params), reference.state_dict()
    for t in range(3, 5):
        reference.step(gradients(model(), t))
    for comm in parts_of_the_job():
        if comm is None:
            continue
        opt = made(comm)
        for t in range(3):
            opt.step(gradients(model(), t))
        saved = opt.state_dict()
        assert_same(saved, state, opt)
        # The state is a copy: another step does not change it.
        opt.step(gradients(model(), 3))
        assert_same(saved, state, opt)

        other = made(comm)
        other.step(gradients(model(), 99))
        for w, v in zip(leaves(other.params), leaves(parameters), strict=True):
            w[...] = v
        other.load_state_dict(saved)
        for t in range(3, 5):
            other.step(gradients(model(), t))
        assert_same(other.params, reference.params, other)
        assert_same(other.state_dict(), reference.state_dict(), other)
        assert_same(other.average, reference.average, other)
    one = gs.NAdam(groups(copy_tree(parameters)), **copy.deepcopy(options))
    through_all = made(None)
    through_all.load_state_dict(state)
    one.load_state_dict(through_all.state_dict())
    for t in range(3, 5):
        one.step(gradients(model(), t))
    assert_same(one.params, reference.params)


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
