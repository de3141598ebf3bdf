"""Trains the network of `train_mlp.py` on several ranks of MPI, beside NumPy on one.

mpirun -n 2 python examples/train_mpi.py

Every rank takes its part of each batch, and steps its share of the parameters with
`gs.distributed.Sharded`. The first rank also trains with the update in NumPy, on whole batches.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from needs import needs

with needs('".[examples,mpi]"', (ImportError, RuntimeError)):  # the latter where there is no MPI
    import numpy as np
    from mpi4py import MPI

    import gradstep as gs
    from train_mlp import (
        Array,
        Arrays,
        Batches,
        Method,
        Run,
        conclude,
        introduce,
        loss_and_gradients,
        numpy_update,
        parse,
        train_all,
    )


class OnFirst(Run):
    """A run on the first rank, for which the others wait."""

    def epoch(self) -> None:
        """See every example once."""
        comm = MPI.COMM_WORLD
        if comm.rank == 0:
            super().epoch()
        # Asleep: a barrier that waits takes the core that the first rank may need.
        reached = comm.Ibarrier()
        while not reached.Test():
            time.sleep(1e-3)


class OnAll(Run):
    """A run of which each rank sees its part of every batch."""

    examples = 0  # in the part that was seen last

    def differentiated(self, x: Array, y: Array) -> tuple[float, Arrays]:
        """Return the loss of the whole batch, and the gradients of this rank's part."""
        self.examples = len(y)
        # The last batch may have fewer examples than there are ranks, and some of these none.
        loss, grads = loss_and_gradients(self.params, x, y) if len(y) else (0.0, {})
        total, count = MPI.COMM_WORLD.allreduce(np.array([loss * len(y), len(y)]))
        return total / count, grads


def start_on_first(method: Method, params: Arrays, batches: Batches) -> Run:
    """Begin a run with the update in NumPy, on the first rank."""
    return OnFirst(params, batches(), numpy_update(method, params))


def start_on_all(method: Method, params: Arrays, batches: Batches) -> Run:
    """Begin a run whose optimizer is spread over all ranks."""
    comm = MPI.COMM_WORLD
    opt = gs.distributed.Sharded(method.gradstep, params, lr=method.lr, **method.options)
    # Parts may differ in length by one example; with their counts, the mean over ranks is that of the
    # whole batch.
    run = OnAll(
        params,
        batches(shard=(comm.rank, comm.size)),
        lambda grads: opt.step(grads, count=run.examples),
    )
    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; return 0 on all ranks where all curves agree."""
    comm = MPI.COMM_WORLD
    args, data = parse(argv, "gradstep on all ranks of an MPI job", "train_mpi.png")
    # The ranks of a machine share its cores.
    here = comm.Split_type(MPI.COMM_TYPE_SHARED).size
    gs.set_num_threads(max(1, gs.get_num_threads() // here))
    if comm.rank == 0:
        print(f"ranks      {comm.size}, of which {here} on this machine")
        introduce(args, data)
    starts = (start_on_first, start_on_all)
    results = train_all(args, data, quiet=comm.rank > 0, starts=starts)
    agree = conclude(args, data, results) if comm.rank == 0 else None
    return 0 if comm.bcast(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
