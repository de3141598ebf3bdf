"""Faults of one rank that must stop the whole job, and jobs that end normally.

`python rank_faults.py NAME` runs one. In most of them, all ranks train until the last one fails. A
rank that ends normally prints "through".
"""

from __future__ import annotations

import atexit
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ranks import rank, size, world

import gradstep as gs

FAULTS: dict[str, Callable[[], object]] = {}


def fault(run: Callable[[], object]) -> Callable[[], object]:
    FAULTS[run.__name__.replace("_", " ")] = run
    return run


def trained(steps: int = 2, **options: Any) -> gs.distributed.Sharded:
    opt = gs.distributed.Sharded(gs.Adam, {"w": np.zeros((40, 30)), "b": np.zeros(7)}, **options)
    for _ in range(steps):
        opt.step(GRADS)
    return opt


GRADS = {"w": np.ones((40, 30)), "b": np.ones(7)}


def is_last() -> bool:
    return rank() == size() - 1


@fault
def an_uncaught_exception() -> None:
    opt = trained()
    if is_last():
        raise KeyError("mine")
    opt.step(GRADS)


@fault
def an_exception_before_the_first_step() -> None:
    opt = trained(0)
    if is_last():
        raise KeyError("mine")
    opt.step(GRADS)


@fault
def an_exception_while_the_others_are_busy() -> None:
    trained()
    if is_last():
        raise KeyError("mine")
    time.sleep(600)


@fault
def an_exception_before_ranks_meet() -> None:
    if is_last():
        raise KeyError("mine")
    trained()


@fault
def an_exit_before_ranks_meet() -> None:
    if is_last():
        time.sleep(1)
        sys.exit("no data here")
    trained()


@fault
def a_rank_that_never_comes() -> None:
    if not is_last():
        trained()


@fault
def a_rank_of_a_part_that_never_comes() -> None:
    # After a rank of another part, which exits before and gives notice as well.
    part = world().Split(int(rank() == 0 and size() > 2), rank())
    if is_last():
        time.sleep(0.5)
    else:
        trained(comm=part)


@fault
def an_interruption_while_another_thread_steps() -> None:
    # So large that the other thread takes milliseconds.
    elements = 6_000_000
    opt = gs.distributed.Sharded(gs.Adam, np.zeros(elements), bucket=24_000_000)
    if is_last():

        def interrupted(*arguments: Any) -> None:
            raise KeyboardInterrupt

        opt._comm.poll_until = interrupted  # type: ignore[method-assign, assignment]
    opt.step(np.ones(elements))


@fault
def an_interruption_of_an_agreement() -> None:
    opt = trained()
    if is_last():

        def interrupted(*requests: Any) -> None:
            raise KeyboardInterrupt

        opt._comm.wait = interrupted  # type: ignore[method-assign]
    try:
        opt.step(GRADS)
    except KeyboardInterrupt:
        opt.state_dict()


@fault
def averaged_that_one_rank_leaves_by_an_error() -> None:
    opt = trained(average=gs.EWA(0.5))
    try:
        with opt.averaged():
            if is_last():
                raise KeyError("mine")
            opt.check_synced()
    except (KeyError, RuntimeError):
        opt.step(GRADS)


@fault
def an_early_exit() -> None:
    opt = trained()
    if is_last():
        sys.exit(0)
    opt.step(GRADS)


@fault
def one_step_fewer() -> None:
    opt = trained()
    if not is_last():
        opt.step(GRADS)


@fault
def one_step_fewer_on_the_first() -> None:
    opt = trained()
    if rank():
        opt.step(GRADS)


@fault
def one_step_fewer_of_the_second_optimizer() -> None:
    trained()
    # Over the last two ranks only.
    pair = world().Split(int(rank() < size() - 2), rank())
    opt = trained(comm=pair)
    if not is_last():
        opt.step(GRADS)


@fault
def an_exit_while_others_wait_in_MPI() -> None:
    trained()
    if is_last():
        sys.exit(3)
    world().allreduce(1)


@fault
def an_exit_without_notice() -> None:
    opt = trained()
    if is_last():
        os._exit(3)
    opt.step(GRADS)


@fault
def a_rank_that_is_killed() -> None:
    opt = trained()
    if is_last():
        os.kill(os.getpid(), signal.SIGKILL)
    opt.step(GRADS)


@fault
def a_rank_that_is_killed_while_the_others_are_busy() -> None:
    trained()
    if is_last():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


@fault
def a_fault_in_the_middle_of_a_step() -> None:
    opt = trained()
    if is_last():

        def broken(*arguments: Any) -> None:
            raise MemoryError("none left")

        opt._loop.collectives.gather = broken  # type: ignore[method-assign, assignment]
    opt.step(GRADS)


@fault
def a_run_in_parts() -> None:
    """Train for eight steps, saving after every second one; or be killed after the fifth."""
    path, dies = Path(sys.argv[2]), sys.argv[3:] == ["killed"]
    params = {"w": np.zeros((40, 30)), "b": np.zeros(7)}
    opt = gs.distributed.Sharded(gs.Adam, params, reduce=None)
    batches = gs.MiniBatches(np.arange(30.0), batch_size=7, seed=1, shard=(rank(), size()))
    if path.exists():
        gs.load(path, params=params, opt=opt, batches=batches)
        print("resumed at", opt.t, flush=True)
    while opt.t < 8:
        for part in batches:
            # The sum over the whole batch, the same on all ranks.
            total = float(np.float64(world().allreduce(part.sum())))
            opt.step({"w": np.full((40, 30), total), "b": np.full(7, -total)})
            if opt.t % 2 == 0:
                gs.save(path, params=params, opt=opt, batches=batches)
            if dies and opt.t == 5 and is_last():
                os.kill(os.getpid(), signal.SIGKILL)
            if opt.t == 8:
                break
    digest = hashlib.sha256(params["w"].tobytes() + params["b"].tobytes()).hexdigest()
    print("ended with", digest, flush=True)


@fault
def MPI_finalized_by_hand() -> None:
    from mpi4py import MPI

    trained()
    MPI.Finalize()


@fault
def nothing_at_all() -> None:
    trained().check_synced()


@fault
def exits_one_after_another() -> None:
    trained()
    time.sleep(rank())


@fault
def ranks_without_a_collective_call() -> None:
    from mpi4py import MPI

    for comm in (MPI.COMM_WORLD, MPI.COMM_SELF):
        comm.Set_errhandler(MPI.ERRORS_ARE_FATAL)


@fault
def caught_exceptions() -> None:
    opt = trained()
    try:
        opt.step(None if is_last() else GRADS)
    except (TypeError, RuntimeError):
        opt.step(GRADS)


if __name__ == "__main__":
    atexit.register(lambda: print("through", flush=True))
    print(f"begun at {time.time()}", flush=True)
    FAULTS[sys.argv[1]]()
