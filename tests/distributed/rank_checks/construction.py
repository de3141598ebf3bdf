"""Making a `Sharded`: models, arguments and communicators."""

from __future__ import annotations

from typing import Any

import numpy as np
from pairs import Sharded, assert_same, gradients, model
from ranks import check, rank, refused, refused_by_all, size, world

import gradstep as gs
from support.effort import effort


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
        ({**base, "more": np.ones(2)}, f"more: missing on rank 0, .* on rank {last}"),
        ({key: w for key, w in base.items() if key != "b"}, f"b: .*, missing on rank {last}"),
        (dict(reversed(base.items())), "order"),
        ([{"params": base}, {"params": [np.ones(2)]}], f"missing on rank 0.* rank {last}"),
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

    def not_an_optimizer(params: Any) -> Any:
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
        ({"kind": not_an_optimizer}, TypeError, "optimizer must be an optimizer class"),
        ({"kind": "adam"}, TypeError, "must be an optimizer class of gradstep, got 'adam'"),
        ({"kind": gs.SGD([np.ones(3)])}, TypeError, "must be an optimizer class of gradstep, got"),
        ({"reduce": np.zeros(2)}, ValueError, "reduce must be"),
        ({"average": used}, ValueError, "average must not have been used"),
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
def a_parameter_named_like_a_part() -> None:
    if size() == 1:
        return
    params = {"w": np.zeros(2 * size())}
    params |= {f"w[{2 * i}:{2 * i + 2}]": np.zeros(1) for i in range(size())}
    with refused(ValueError, "would name two things"):
        Sharded(gs.SGD, params, bucket=16 * size())


@check
def several_optimizers_and_communicators() -> None:
    from mpi4py import MPI

    halves = world().Split(rank() % 2, rank())
    first, second = Sharded(gs.Adam, model()), Sharded(gs.SGD, model(), halves, reduce="sum")
    alone = Sharded(gs.Adam, model(), MPI.COMM_SELF)
    assert (first.rank, first.size) == (rank(), size())
    assert (second.rank, second.size) == (halves.Get_rank(), halves.Get_size())
    assert (alone.rank, alone.size) == (0, 1)
    reference = gs.Adam(model())
    for t in range(2):
        first.step(gradients(model(), t, rank()))
        second.step(gradients(model(), t, rank()))
        alone.step(gradients(model(), t, rank()))
        reference.step(gradients(model(), t, rank()))
        first.check_synced()
        second.check_synced()
    assert_same(alone.params, reference.params)
    # Many of them: MPI allows only so many communicators, and all of these share one duplicate.
    for _ in range(effort(40, 500)):
        opt = Sharded(gs.SGD, [np.ones(3)])
    opt.step([np.ones(3)])
