"""One step over the ranks: agree, reduce the gradients, step bucket by bucket, and gather.

While one bucket is stepped, the gradients of the next are reduced and the parameters of the last
are gathered. If the step needs the norm of all gradients, or looks for what is not finite, all
buckets are reduced first.
"""

from __future__ import annotations

import contextlib
import functools
import math
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

import gradstep._core as _core
import gradstep.checks as checks
from gradstep._typing import Array
from gradstep.distributed.agreement import Agreement, Checksum, Communicator
from gradstep.distributed.collectives import Collectives, Transfer
from gradstep.distributed.model import Model
from gradstep.distributed.ravel import RaveledArray, WeightedArray, unravel
from gradstep.distributed.shard import Shard
from gradstep.optimizers.base import Optimizer

_NO_EXAMPLES = "count must be at least 1 on some rank, got 0 on all; leave out the step"
# From this many elements on, a thread steps a part while this one moves messages on.
_THREAD_THRESHOLD = 1 << 16
_SLOTS = 2  # buckets under way at a time, each way


class _Step(NamedTuple):
    """A step that all ranks have agreed on."""

    parts: _core.StagedStep
    gradients: list[RaveledArray]  # of this rank, for the whole model
    weighted: Sequence[RaveledArray | WeightedArray]
    outputs: list[Array] | None  # of each bucket, this rank's part; None without a reduction
    measures: bool


class StepLoop:
    """Takes the steps of one `Sharded`.

    Parameters
    ----------
    comm : Communicator
        The ranks.
    number : int
        The number of the optimizer, the same on all ranks.
    model : Model
        All parameters.
    shard : Shard
        This rank's part of them.
    local : Optimizer
        The optimizer that steps this part.
    reduce : {"mean", "sum", None}
        What a step makes of the gradients of the ranks.
    deterministic : bool
        Whether they are added in the order of the ranks.
    """

    def __init__(
        self,
        comm: Communicator,
        number: int,
        model: Model,
        shard: Shard,
        local: Optimizer,
        reduce: str | None,
        deterministic: bool,
    ) -> None:
        self._comm = comm
        self.number = number
        self.model = model
        self._shard = shard
        self._local = local
        self.reduce = reduce
        slots = min(_SLOTS, len(shard.buckets))
        self.collectives = Collectives(comm, shard.largest_bucket, slots, deterministic)
        # This rank's part of each bucket, where all gradients are measured before any is used.
        self._measured: list[Array] = []
        self._compared: Any = None  # the values of the last checksum
        self._checksum = 0

    def extend(self, model: Model) -> None:
        """Take in a group that the shard and the local optimizer already have."""
        self.model = model
        slots = min(_SLOTS, len(self._shard.buckets))
        self.collectives = self.collectives.grown(self._shard.largest_bucket, slots)

    def agreement(self, call: str, **equal: float | Checksum) -> AbstractContextManager[Agreement]:
        """Agree on a call of this optimizer, after the same number of steps on all ranks."""
        return self._comm.agreement(call, optimizer=self.number, t=self._local.t, **equal)

    def step(self, grads: Any, scale: float, count: int | None) -> None:
        """Take one step; see `Sharded.step`."""
        if self._shard.is_whole:
            self._step_alone(grads, scale, count)
            return
        with self._comm.collective("step"), contextlib.ExitStack() as stack:
            step = self._agree(grads, scale, count, stack)
            if self._begin(step):
                self.run(step.parts, step.weighted, None if step.measures else step.outputs)
                step.parts.finish()

    def _step_alone(self, grads: Any, scale: float, count: int | None) -> None:
        if self._checked_count(count) == 0:
            raise ValueError(_NO_EXAMPLES)
        self.model.stepper.require_bound()
        flat = self.model.flatten_gradients(grads)
        own = [flat[piece.parameter] for piece in self._shard.pieces]
        self._local.step(self.local_tree(own), scale)

    def _agree(
        self, grads: Any, scale: float, count: int | None, stack: contextlib.ExitStack
    ) -> _Step:
        """Check and prepare all that may fail, and agree that it has failed on no rank."""
        comm = self._comm
        given = int(count is not None)
        has_count = Checksum(given, lambda: {"count": ("not given", "given")[given]})
        with self.agreement("step", scale=scale, has_count=has_count) as agreement:
            agreement.count = self._checked_count(count)
            if agreement.count == 0:
                grads = self.model.zeros()
            whole = self.model.stepper.staged_step(grads, scale)
            stack.callback(whole.close)
            gradients = [
                RaveledArray(array, order)
                for array, order in zip(whole.gradients, self.model.orders, strict=True)
            ]
            measures = self._measures()
            outputs = None if self.reduce is None else self.outputs(measures)
            self._shard.refresh()
            parts = self._local._stepper.staged_step(
                self.local_tree(self._shard.gradients(gradients, outputs)),
                scale / comm.size if self.reduce == "mean" else scale,
            )
            stack.callback(parts.close)
            agreement.equal["hyperparameters"] = self._hyperparameters(parts)
        if agreement.total == 0:  # which all ranks find
            raise comm.mark_agreed(ValueError(_NO_EXAMPLES))
        weight = agreement.count * comm.size / agreement.total
        weighted = gradients if weight == 1.0 else [WeightedArray(g, weight) for g in gradients]
        return _Step(parts, gradients, weighted, outputs, measures)

    def _begin(self, step: _Step) -> bool:
        """Measure the gradients if the step needs it; return whether it goes on."""
        norm, not_finite = None, None
        if step.measures:
            if step.outputs is not None:
                self._reduce_all(step.weighted, step.outputs)
            norm, not_finite = self._measure(step.parts, step.gradients)
        try:
            return step.parts.begin(norm, not_finite)
        except FloatingPointError as error:  # on all ranks
            raise self._comm.mark_agreed(error) from None

    def _checked_count(self, count: object) -> int:
        """Return the weight of this rank's gradients in their mean: 1 if no count is given."""
        if count is None:
            return 1
        if self.reduce != "mean":
            raise ValueError(
                f"count must be left out with reduce={self.reduce!r}, got {checks.shown(count)}; "
                "it weights the mean of reduce='mean'"
            )
        return checks.count("count", count)

    def _hyperparameters(self, parts: _core.StagedStep) -> Checksum:
        """Return a checksum of the values that a step uses, and these by name."""
        values = parts.hyperparameters
        if values != self._compared:
            self._compared, self._checksum = values, zlib.crc32(repr(values).encode())

        def named() -> dict[str, Any]:
            *groups, options = values
            found: dict[str, Any] = dict(options)
            for i, group in enumerate(groups):
                is_average = i == len(self._local.groups)
                owner = " of the average" if is_average else of_group(self._local, i)
                found |= {f"{name}{owner}": value for name, value in group.items()}
            return found

        return Checksum(self._checksum, named)

    def _measures(self) -> bool:
        """Whether all gradients are measured before any element is stepped."""
        options = self._local._options
        return options["max_norm"] is not None or options["nonfinite"] != "propagate"

    def outputs(self, measures: bool) -> list[Array]:
        """Return arrays for this rank's part of each bucket."""
        buckets = self._shard.buckets
        if not measures:  # one bucket after another in the same few buffers
            slots = self.collectives.slots
            return [self.collectives.output(i % slots, bucket) for i, bucket in enumerate(buckets)]
        for bucket in buckets[len(self._measured) :]:
            self._measured.append(np.empty(bucket.counts[self._comm.rank], bucket.dtype))
        return self._measured

    def local_tree(self, arrays: Sequence[Array]) -> Any:
        """Put one array for each of this rank's parameters into their structure."""
        layout = self._local._layout
        each = iter(arrays)
        trees = [
            {label: next(each) for label in structure.names} for structure in layout.structures
        ]
        return trees if layout.listed else trees[0]

    def _reduce_all(
        self, gradients: Sequence[RaveledArray | WeightedArray], outputs: Sequence[Array]
    ) -> None:
        collectives, slots = self.collectives, self.collectives.slots
        under_way: list[Transfer] = []
        for i, (bucket, out) in enumerate(zip(self._shard.buckets, outputs, strict=True)):
            if i >= slots:
                collectives.finish(under_way[i - slots])
            under_way.append(collectives.reduce_scatter(i % slots, bucket, gradients, out))
        for transfer in under_way[-slots:]:
            collectives.finish(transfer)

    def _measure(
        self, parts: _core.StagedStep, gradients: Sequence[RaveledArray]
    ) -> tuple[float, str | None]:
        """Return the norm over all ranks, and a text about a gradient that is not finite."""
        comm, model = self._comm, self.model
        norm, bad = parts.measure()
        found = None
        if bad is not None:
            i, offset, value = bad
            number, start, _ = self._shard.pieces[i]
            index = unravel(start + offset, model.arrays[number].shape, model.orders[number])
            found = number, index, value, start + offset
        measured = comm.allgather((norm, found))
        norms = [one for one, _ in measured]
        places = [place for _, place in measured if place is not None]
        norm = math.nan if any(map(math.isnan, norms)) else math.hypot(*norms)
        if not places:
            return norm, None
        number, index, value, at = min(places)
        here = not np.isfinite(gradients[number].read(at, at + 1)[0])
        ranks = [rank for rank, bad_there in enumerate(comm.allgather(here)) if bad_there]
        text = f"gradient of {model.names[number]!r} {value}"
        if index:
            text += f", at [{', '.join(map(str, index))}]"
        if ranks:
            return norm, f"{text}, on rank {', '.join(map(str, ranks))}"
        return norm, f"{text}, after the reduction, but on no rank before it"

    def run(
        self,
        parts: _core.StagedStep,
        gradients: Sequence[RaveledArray | WeightedArray],
        outputs: Sequence[Array] | None,
    ) -> None:
        """Step all buckets; with `outputs`, reduce each first. Gather the parameters of each."""
        collectives, shard = self.collectives, self._shard
        slots, count = collectives.slots, len(shard.buckets)
        reducing: list[Transfer] = []
        gathering: list[Transfer] = []
        for i in range(count):
            if outputs is not None:
                for k in range(len(reducing), min(i + slots, count)):
                    reducing.append(
                        collectives.reduce_scatter(
                            k % slots, shard.buckets[k], gradients, outputs[k]
                        )
                    )
                collectives.finish(reducing[i])
            under_way = [*reducing[i + 1 :], *gathering[-slots:]]
            self._run_bucket(parts, i, [transfer.request for transfer in under_way])
            if i >= slots:
                collectives.finish(gathering[i - slots])
            gathering.append(self._gather(i, i % slots))
        for transfer in gathering[-slots:]:
            collectives.finish(transfer)

    def _run_bucket(self, parts: _core.StagedStep, i: int, under_way: Sequence[Any]) -> None:
        """Step this rank's part of a bucket, while messages travel."""
        first, last = self._shard.spans[i]
        if not under_way or self._shard.buckets[i].counts[self._comm.rank] < _THREAD_THRESHOLD:
            parts.run(first, last)
            self._comm.poll(under_way)
            return
        stepped = _thread().submit(parts.run, first, last)
        try:
            self._comm.poll_until(under_way, stepped.done)
        finally:  # an interruption also waits for the thread
            wait([stepped])
        stepped.result()

    def _gather(self, i: int, slot: int) -> Transfer:
        """Begin to give all ranks the parameters of a bucket."""
        first, last = self._shard.spans[i]
        own = self._shard.arrays[first:last]
        return self.collectives.gather(slot, self._shard.buckets[i], own, self._shard.parameters)

    def gather_parameters(self) -> None:
        """Give all ranks the parameters of every shard."""
        for i in range(len(self._shard.buckets)):
            self.collectives.finish(self._gather(i, 0))


def of_group(local: Optimizer, i: int) -> str:
    """Return what follows the name of a hyperparameter in a message, if there are groups."""
    return f" of group {i}" if local._layout.listed else ""


@functools.lru_cache(maxsize=1)
def _thread() -> ThreadPoolExecutor:
    """Return the thread that steps while this one moves messages on."""
    return ThreadPoolExecutor(1, "gradstep")
