"""`Sharded`: an optimizer of which each rank holds and steps a shard.

step_loop.py has the loop of a step, partition.py the cut into shards, agreement.py what the ranks
agree on. The update itself is that of any optimizer, over views of the parameters.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

import gradstep._core as _core
import gradstep.checks as checks
import gradstep.transaction as transaction
from gradstep._typing import Array
from gradstep.averaging import EWA
from gradstep.distributed.agreement import Communicator
from gradstep.distributed.model import Model, group_by_mask, with_hyperparameters
from gradstep.distributed.shard import Shard
from gradstep.distributed.state_dict import LocalTarget, empty_arrays, gather_arrays
from gradstep.distributed.step_loop import StepLoop, of_group
from gradstep.optimizers.base import Optimizer
from gradstep.optimizers.selection import ByName, Masked
from gradstep.optimizers.state_dict import Loader, plain_state
from gradstep.values import plain_values

_NOT_A_CLASS = "optimizer must be an optimizer class of gradstep, got {}"


class Sharded(Optimizer):
    r"""An optimizer spread over the ranks of an MPI job: each holds and steps a shard of the state.

    Every rank holds all parameters and calls `step` with its own gradients. A step reduces the
    gradients over the ranks, steps one shard of the elements on each rank, and gathers the
    parameters. So each of N ranks needs 1/N of the memory of the state (ZeRO, stage 1). All ranks
    must call the methods and properties marked as collective, in the same order.

    Parameters
    ----------
    optimizer : type
        A class of this package, such as ``gs.Adam`` or ``gs.compat.torch.Adam``.
    params
        As for `optimizer`: the same structure, shapes and dtypes on all ranks. Values are not
        compared; see `sync` and `check_synced`.
    comm : mpi4py.MPI.Intracomm, optional
        The ranks; all of the job by default.
    reduce : {"mean", "sum", None}, default "mean"
        How a step combines the gradients of the ranks. None: they are the same on all ranks
        already.
    deterministic : bool, default False
        Add gradients in the order of the ranks: every run has the same bits, whatever MPI does.
    bucket : int, default 4194304
        Bytes of parameters that are sent at a time.
    **hyperparameters
        As for `optimizer`, options of a step included. `max_norm` and `nonfinite` act on the
        reduced gradients of the whole model, in the same way on all ranks. Of an `average` only
        the settings are used: read the average by `average`; it is saved and loaded with the
        optimizer.

    Raises
    ------
    ImportError
        Without mpi4py.
    TypeError, ValueError
        As `optimizer` does, or if the parameters of a rank differ from those of rank 0. If one rank
        raises, the others raise RuntimeError.

    Notes
    -----
    For equal gradients, parameters and state have the bits of one process. With `max_norm` they
    agree to rounding, as the norm is added up from the ranks' shards.

    Besides the state, a step needs a few buckets of memory. With `max_norm` or `nonfinite` it also
    needs the reduced gradients of this rank's shard, as no element may be stepped before all are
    measured.

    If a rank fails, the whole job stops with a message that names it. This holds for an uncaught
    exception, through ``sys.excepthook``, and for a rank that exits while others wait for it.

    References
    ----------
    Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter models",
    2020, section 5.1 (optimizer state partitioning).

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.zeros(3)
    >>> opt = gs.distributed.Sharded(gs.SGD, {"w": w}, lr=0.5)  # doctest: +SKIP
    >>> opt.step({"w": np.ones(3)})  # doctest: +SKIP
    >>> w  # doctest: +SKIP
    array([-0.5, -0.5, -0.5])
    """

    def __init__(
        self,
        optimizer: Callable[..., Optimizer],
        params: Any,
        comm: Any = None,
        *,
        reduce: str | None = "mean",
        deterministic: bool = False,
        bucket: int = 4 << 20,
        **hyperparameters: Any,
    ) -> None:
        self._comm = comm = Communicator.of(comm)
        call = "making a Sharded"
        with comm.collective(call):
            with comm.agreement(call):
                _require_class(optimizer)
                reduce = _checked_reduction(reduce)
                self._bucket = checks.count("bucket", bucket, least=8)
                average = hyperparameters.get("average")
                if isinstance(average, EWA):
                    hyperparameters["average"] = _unused_copy(average)
                deterministic = checks.flag("deterministic", deterministic)
                params, hyperparameters = group_by_mask(params, hyperparameters)
                model = Model(params)
            model.align(comm, call)
            # The same number on all ranks, even if a construction has failed on some of them.
            number = comm.optimizers = comm.broadcast(comm.optimizers + 1, 0)
            with comm.agreement(call):
                self._shard = Shard(comm, self._bucket)
                local = with_hyperparameters(params, self._shard.extend(model))
                made: object = optimizer(local, **hyperparameters)
                if not isinstance(made, Optimizer) or isinstance(made, Sharded):
                    raise TypeError(_NOT_A_CLASS.format(checks.shown(optimizer)))
                self._local = made
                self._spec = self._local._spec  # type: ignore[misc]
                self._loop = StepLoop(comm, number, model, self._shard, made, reduce, deterministic)
                self._whole_layout = self._new_layout(params)
            comm.require_equal(call, self._description())

    def _description(self) -> dict[str, str]:
        """Return the arguments that must be the same on all ranks, as texts by name."""
        return {
            "optimizer": type(self._local).__name__,
            "reduce": repr(self._loop.reduce),
            "deterministic": repr(self._loop.collectives.deterministic),
            "bucket": repr(self._bucket),
            **_texts(self.groups, lambda i: of_group(self._local, i)),
            **_texts([self._options], lambda i: ""),
            "average": repr(self._local._average),
        }

    def _new_layout(self, params: Any) -> Any:
        """Return the layout of the whole model, with the hyperparameters and state of this rank."""
        layout = self._loop.model.layout
        return layout._replace(
            params=layout.params if isinstance(params, ByName | Masked) else params,
            groups=tuple(self._local.groups),
            state=self._local.state,
        )

    # --- properties -------------------------------------------------------------------------------

    @property
    def _stepper(self) -> _core.Stepper:  # type: ignore[override]
        return self._local._stepper

    @property
    def _communicator(self) -> Communicator | None:
        return self._comm if self._comm.size > 1 else None

    @property
    def _layout(self) -> Any:
        return self._whole_layout

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self._comm.rank

    @property
    def size(self) -> int:
        """The number of ranks."""
        return self._comm.size

    @property
    def state(self) -> Mapping[str, Mapping[str, Array]]:
        """The state of this rank's shard: ``state["W1[0:512]"]["m"]`` for a part of ``W1``."""
        return self._local.state

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with hyperparameters of their own. Collective.

        See `Optimizer.add_group`.
        """
        with self._comm.collective("add_group"):
            with self._loop.agreement("add_group"):
                entry, layout = self._with_group(group)
                model = Model(layout.params)
                first = len(self._shard.parameters)
                values = self._try_group(entry, model.arrays[first:])
            model.align(self._comm, "add_group")
            self._comm.require_equal("add_group", _texts([values], lambda i: ""))
            model.orders[:first] = self._loop.model.orders
            self._local.add_group({**entry, "params": self._shard.extend(model)[-1]})
            self._loop.extend(model)
            self._whole_layout = self._new_layout(layout.params)

    def _try_group(self, entry: Mapping[str, Any], arrays: Sequence[Array]) -> dict[str, Any]:
        """Return the hyperparameters of a group; raise what adding it would.

        One element of each dtype stands for the arrays.
        """
        local = self._local
        overrides = {name: value for name, value in entry.items() if name != "params"}
        index = len(local.groups)
        plan = local._group_spec(f"group {index}: " if self._layout.listed else "", overrides)
        dtypes = list({array.dtype: None for array in arrays})
        names = [str(dtype) for dtype in dtypes]
        stand_ins = [np.zeros(1, dtype) for dtype in dtypes]
        addition = local._stepper.prepare_addition([plan], [(index, names, stand_ins)])
        for name, state in zip(names, addition.states, strict=True):
            plan.start(name, dict(zip(_core.state_names(plan.rule), state, strict=True)))
        return plan.values

    # --- a step -----------------------------------------------------------------------------------

    def step(self, grads: Any, scale: float = 1.0, *, count: int | None = None) -> None:
        """Take one step with the reduced gradients of all ranks. Collective.

        Parameters
        ----------
        grads, scale
            As in `Optimizer.step`: this rank's gradients of the whole model, and a scale that is
            the same on all ranks.
        count : int, optional
            The number of examples that this rank's gradients are the mean of; on all ranks or on
            none. It weights the mean over the ranks, which is then the gradient of the whole batch.
            With a count of 0, `grads` is ignored and may be anything, even None or NaN. Needs
            ``reduce="mean"``.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `Optimizer.step`, on the rank with the error; RuntimeError on all others.
            ValueError on all ranks if each has a `count` of 0.
        FloatingPointError
            On all ranks, with ``nonfinite="raise"``.

        Notes
        -----
        All ranks step or none does. A failure in the middle of a step would leave parameters of two
        different steps, so it stops the job.

        Equal counts change no bit, and send nothing more. Otherwise each rank multiplies its
        gradients by ``size * count`` over the sum of the counts before they are added up.

        Examples
        --------
        >>> import numpy as np, gradstep as gs
        >>> w, batch = np.zeros(1), np.array([[1.0], [3.0]])
        >>> opt = gs.distributed.Sharded(gs.SGD, w, lr=0.5)  # doctest: +SKIP
        >>> opt.step(batch.mean(axis=0), count=len(batch))  # doctest: +SKIP
        >>> w  # doctest: +SKIP
        array([-1.])
        """
        self._loop.step(grads, scale, count)

    # --- parameters of all ranks ------------------------------------------------------------------

    def sync(self) -> None:
        """Give all ranks the parameters of rank 0. Collective.

        The state stays as it is, as no two ranks hold the same part of it.
        """
        with self._comm.collective("sync"):
            with self._loop.agreement("sync"):
                self._loop.model.stepper.require_ready()
            for bucket in self._shard.buckets:
                for _, (parameter, start, stop) in bucket.all_pieces():
                    raveled = self._shard.parameters[parameter]
                    values = raveled.read(start, stop)
                    self._comm.wait(self._comm.mpi_comm.Ibcast(values, 0))
                    if raveled.dense is None:
                        raveled.write(start, stop, values)

    def check_synced(self) -> None:
        """Raise if parameters are not the same on all ranks, bit by bit. Collective.

        Raises
        ------
        ValueError
            On all ranks; it names the arrays and the ranks that differ from rank 0.
        """
        with self._comm.collective("check_synced"):
            with self._loop.agreement("check_synced"):
                mine = [self._digest(i) for i in range(len(self._shard.parameters))]
            by_rank = self._comm.allgather(mine)
        problems = []
        for i, name in enumerate(self._loop.model.names):
            ranks = [r for r, digests in enumerate(by_rank) if digests[i] != by_rank[0][i]]
            if ranks:
                problems.append(f"{name} on rank {', '.join(map(str, ranks))}")
        if problems:
            raise ValueError(
                f"parameters differ from those of rank 0: {'; '.join(problems)}; sync() gives all "
                "ranks those of rank 0"
            )

    def _digest(self, i: int) -> bytes:
        digest = hashlib.sha256()
        array, raveled = self._loop.model.arrays[i], self._shard.parameters[i]
        room = max(self._bucket // array.itemsize, 1)
        for start in range(0, array.size, room):
            digest.update(np.ascontiguousarray(raveled.read(start, start + room)).data)
        return digest.digest()

    # --- averages ---------------------------------------------------------------------------------

    @property
    def average(self) -> Any:
        """The (corrected) average of the parameters, in their structure: new arrays. Collective."""
        model = self._loop.model
        with self._comm.collective("average"):
            with self._loop.agreement("average"):
                local = self._local.average
                targets = [] if local is None else empty_arrays(model)
            if local is None:
                return None
            trees = local if self._local._layout.listed else [local]
            own = [array for tree in trees for array in tree.values()]
            gather_arrays(self._loop.collectives, model, self._shard, own, targets)
        return model.unflatten(targets)

    def averaged(self) -> AbstractContextManager[Any]:
        """Put the averages in the place of the parameters on all ranks; see `Optimizer.averaged`.

        Collective, on entering and on leaving.
        """
        return self._averaged()

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[Any]:
        comm, loop = self._comm, self._loop
        with contextlib.ExitStack() as stack:
            with comm.collective("averaged"):
                with loop.agreement("averaged"):
                    loop.model.stepper.require_bound()
                    block = self._local.averaged()
                    self._shard.refresh()
                    stack.enter_context(block)
                loop.gather_parameters()
            try:
                yield self.params
            finally:
                # A rank that failed here would keep the averages in the place of its shard.
                with comm.collective("averaged", must_succeed=True):
                    comm.agree("averaged", optimizer=loop.number, t=self.t)
                    stack.close()
                    loop.gather_parameters()

    # --- saving and loading -----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot of the whole state, as `optimizer` itself would. Collective.

        It loads on any number of ranks, and into an optimizer of one process.
        """
        return self._gather_state(None)

    def _gather_state(self, root: int | None) -> dict[str, Any]:
        """Return the whole state, on all ranks or at `root`; others then get its plain values."""
        loop, model, shard = self._loop, self._loop.model, self._shard
        with self._comm.collective("state_dict"):
            with loop.agreement("state_dict"):
                model.stepper.require_bound()
                state = plain_state(type(self._local).__name__, self._stepper.snapshot())
                for group, names in zip(state["groups"], self._layout.members, strict=True):
                    group["params"] = list(names)
                own = [state["state"][label] for label in shard.labels]
                by_group = self._state_names()
                having = {
                    kind: [kind in names for names in by_group]
                    for kind in {kind: None for names in by_group for kind in names}
                }
                receives = root is None or root == self._comm.rank
                none: list[Array | None] = [None] * len(model.names)
                arrays: dict[str, Sequence[Array | None]] = {
                    kind: empty_arrays(model, groups) if receives else none
                    for kind, groups in having.items()
                }
                average = state["average"]
                averages = empty_arrays(model) if receives and average else none
            for kind, targets in arrays.items():
                of_kind = [one.get(kind) for one in own]
                gather_arrays(loop.collectives, model, shard, of_kind, targets, having[kind], root)
            if average is not None:
                own_averages = [average["arrays"][label] for label in shard.labels]
                gather_arrays(loop.collectives, model, shard, own_averages, averages, root=root)
        state["state"] = {
            name: {kind: arrays[kind][i] for kind in by_group[model.groups[i]]}
            for i, name in enumerate(model.names)
        }
        if average is not None:
            average["arrays"] = dict(zip(model.names, averages, strict=True))
        return state

    def _state_names(self) -> list[list[str]]:
        """Return the names of the state of each group."""
        return [_core.state_names(group.rule) for group in self._local.groups]

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over this rank's shard of what `state_dict` returned. Collective.

        All ranks load it or none does.
        """
        with self._comm.collective("load"):
            with self._comm.agreement("load", optimizer=self._loop.number):
                prepared = self._prepare_load(d, True)
            transaction.take_over(prepared)

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> transaction.Prepared:
        return Loader(
            type(self._local).__name__,
            self._stepper,
            self._local._averages,
            self.groups,
            strict,
            LocalTarget(self._loop.model, self._shard, self._state_names(), self._local.state),
        ).prepare(state)

    def __repr__(self) -> str:
        return f"Sharded({self._local!r}, rank {self.rank} of {self.size})"


def _require_class(optimizer: object) -> None:
    if not callable(optimizer) or isinstance(optimizer, Optimizer):
        raise TypeError(_NOT_A_CLASS.format(checks.shown(optimizer)))


def _checked_reduction(reduce: object) -> str | None:
    if reduce is None or (isinstance(reduce, str) and reduce in ("mean", "sum")):
        return reduce
    raise ValueError(f"reduce must be 'mean', 'sum' or None, got {checks.shown(reduce)}")


def _unused_copy(average: EWA) -> EWA:
    """Return an average with the same settings, for shards: the caller's own stays unused."""
    if average.t:
        raise ValueError(
            f"average must not have been used, got {checks.shown(average)}; load its state with "
            "the optimizer's"
        )
    return EWA(average.beta, bias_correction=average.bias_correction)


def _texts(groups: Sequence[Mapping[str, Any]], owner: Callable[[int], str]) -> dict[str, str]:
    """Return the values of groups as texts by name; a callable of the user's has no other text."""
    found: dict[str, str] = {}
    for i, group in enumerate(groups):
        values, callables = plain_values(group)
        texts = dict.fromkeys(callables, "a callable")
        texts |= {name: repr(value) for name, value in values.items()}
        found |= {f"{name}{owner(i)}": text for name, text in texts.items()}
    return found
