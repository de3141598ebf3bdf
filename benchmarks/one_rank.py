"""One rank of distributed.py: it takes steps when it is told to, and says how long they took.

Whoever steps is here; what is asked for, and what becomes of the answers, is in distributed.py. The
two talk over a socket, because a rank that waits there takes no processor from those that step.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import numpy as np

import packages
from cases import Arrays, Case
from distributed_cases import CASES
from judge import BETA1, BETA2, EPS, LR, Convention

BLOCK = 2**20  # elements that are judged at a time


@dataclass(frozen=True)
class Rank:
    """A started rank: what it can be asked to do, by name."""

    acts: dict[str, Callable[[], object]]
    barrier: Callable[[], object]
    facts: dict[str, Any]  # state and bytes, known after the first step


def gradients(case: Case, rank: int, ranks: int) -> Arrays:
    """Return gradients of a rank's own, of which those of `case` are the mean."""
    share = np.float32(2 * (rank + 1) / (ranks + 1))
    return {name: g * share for name, g in case.grads().items()}


def refuse_wrong(who: str, case: Case, given: Arrays, epsilon: Convention) -> None:
    """Raise where a first step was not Adam's by the mean of all ranks' gradients."""
    params, grads = case.params(), case.grads()
    for name, w in params.items():
        flat, g_flat, given_flat = (
            w.reshape(-1),
            grads[f"d{name}"].reshape(-1),
            given[name].reshape(-1),
        )
        for i in range(0, w.size, BLOCK):
            g = g_flat[i : i + BLOCK].astype(float)
            # In the first step the corrected moments are g and g².
            root = np.sqrt(g * g + EPS) if epsilon == "inside" else np.abs(g) + EPS
            right = flat[i : i + BLOCK] - LR * g / root
            wrong = float(np.max(np.abs(given_flat[i : i + BLOCK] - right)))
            if not wrong <= 2e-3 * LR + 1e-7 * np.max(np.abs(right)):
                raise RuntimeError(f"{name} of {who} is off its step by {wrong:.2g}")


class Idle:
    """In the place of a step in parts: no part is stepped, so that only messages take time."""

    def run(self, first: int, last: int) -> None:
        """Do nothing."""


def gradstep(case: Case, threads: int, buckets: Sequence[int]) -> Rank:
    """Start gradstep, with an optimizer for each size of bucket; the first is looked into."""
    mpi: Any = packages.load("mpi4py.MPI")
    gs: Any = packages.load("gradstep")
    ravel: Any = packages.load("gradstep.distributed.ravel")
    gs.set_num_threads(threads)
    comm = mpi.COMM_WORLD
    params, grads = case.params(), gradients(case, comm.rank, comm.size)
    start = {name: w.copy() for name, w in params.items()}
    acts: dict[str, Callable[[], object]] = {}
    optimizers = []
    for bucket in buckets:
        for name, w in params.items():
            w[...] = start[name]
        opt = gs.distributed.Sharded(
            gs.Adam, params, lr=LR, betas=(BETA1, BETA2), eps_root=EPS, bucket=bucket
        )
        opt.step(grads)
        refuse_wrong(f"gradstep, buckets of {bucket}", case, params, "inside")
        optimizers.append(opt)
        acts[step_with(bucket)] = lambda opt=opt: opt.step(grads)  # type: ignore[misc]
    opt, loop = optimizers[0], optimizers[0]._loop
    arrays = [
        ravel.RaveledArray(grads[f"d{name}"], order)
        for name, order in zip(loop.model.names, loop.model.orders, strict=True)
    ]
    alone = comm.size == 1  # all of each gradient, and nothing travels
    own = loop.local_tree(list(grads.values()) if alone else opt._shard.gradients(arrays, None))

    def communicate() -> None:
        """Send and receive what a step does, by the same code, and step nothing."""
        opt._comm.agree("step", t=opt.t)
        outputs = None if alone else loop.outputs(False)
        loop.run(Idle(), arrays, outputs)

    acts["messages"] = communicate
    acts["stepping"] = lambda: opt._local.step(own)
    kept = [array for state in opt.state.values() for array in state.values()]
    sent, received = bytes_of(opt._shard.buckets, comm.rank, comm.size)
    facts = {
        "rank": comm.rank,
        "state": sum(array.nbytes for array in kept),
        "sent": sent,
        "received": received,
        "library": mpi.Get_library_version().split("\n")[0].strip(),
        "buckets": {
            str(b): len(o._shard.buckets) for b, o in zip(buckets, optimizers, strict=True)
        },
    }
    return Rank(acts, comm.Barrier, facts)


def step_with(bucket: int) -> str:
    """Return the name of a step with buckets of so many bytes."""
    return f"step, {bucket} B"


def bytes_of(buckets: Sequence[Any], rank: int, ranks: int) -> tuple[int, int]:
    """Return what a rank sends and receives in a step, at the least: computed from the buckets.

    To be reduced, every element leaves a rank but those it steps itself; to be gathered, its own go
    to each other rank, or on along a ring, and those of others arrive. The agreement of all ranks
    is not counted.
    """
    sent = received = 0
    for bucket in buckets:
        own = bucket.counts[rank]
        others = bucket.size - own
        each_way = own * (ranks - 1) + others
        sent += each_way * bucket.dtype.itemsize
        received += each_way * bucket.dtype.itemsize
    return sent, received


def torch(case: Case, threads: int, store: Path) -> Rank:
    """Start PyTorch: gradients are reduced over gloo, and its ZeroRedundancyOptimizer steps."""
    torch: Any = packages.load("torch")
    dist: Any = packages.load("torch.distributed")
    optim: Any = packages.load("torch.distributed.optim")
    torch.set_num_threads(threads)
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    tensors = [torch.from_numpy(w).clone().requires_grad_() for w in case.params().values()]
    # The mean of what is a mean already stays it: gradients may be reduced in place again and again.
    for tensor, g in zip(tensors, gradients(case, rank, ranks).values(), strict=True):
        tensor.grad = torch.from_numpy(g)
    optimizer = optim.ZeroRedundancyOptimizer(
        tensors,
        torch.optim.Adam,
        parameters_as_bucket_view=True,
        lr=LR,
        betas=(BETA1, BETA2),
        eps=EPS,
        fused=True,
    )
    grads = [tensor.grad for tensor in tensors]

    def step() -> None:
        if ranks > 1:
            for work in [dist.all_reduce(g, async_op=True) for g in grads]:
                work.wait()
            torch._foreach_div_(grads, ranks)
        optimizer.step()

    step()
    after = {f"W{i}": tensor.detach().numpy() for i, tensor in enumerate(tensors)}
    refuse_wrong("torch", case, after, "outside")
    kept = [
        value
        for state in optimizer.optim.state.values()
        for value in state.values()
        if value.numel() > 1
    ]
    facts = {"rank": rank, "state": sum(value.nbytes for value in kept)}
    return Rank({"step": step}, dist.barrier, facts)


def serve(rank: Rank, connection: Any) -> None:
    """Do what is asked for until the other side has enough."""
    connection.send(rank.facts)
    while (asked := connection.recv()) is not None:
        act, count = asked
        function = rank.acts[act]
        rank.barrier()
        begin = time.perf_counter()
        for _ in range(count):
            function()
        connection.send(time.perf_counter() - begin)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=["gradstep", "torch"])
    parser.add_argument("--address", required=True, help="the socket of distributed.py")
    parser.add_argument("--case", required=True, choices=list(CASES))
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--buckets", type=int, nargs="+", default=[4 << 20])
    args = parser.parse_args(arguments)
    case = CASES[args.case]
    with Client(args.address) as connection:
        if args.who == "gradstep":
            rank = gradstep(case, args.threads, args.buckets)
        else:
            rank = torch(case, args.threads, Path(args.address + ".store"))
        serve(rank, connection)


if __name__ == "__main__":
    main()
