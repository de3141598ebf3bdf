"""`Sharded`: an optimizer of which every rank keeps and steps its share.

What is a rank's share is in shares.py, what ranks agree on in ranks.py, how buckets travel in
exchange.py. The step itself is that of any optimizer, over windows on the parameters.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

import gradstep._core as _core
import gradstep.checks as checks
import gradstep.transaction as transaction
from gradstep._typing import Array
from gradstep.averaging import EWA
from gradstep.distributed.agreement import Agreement, Ranks, Summed
from gradstep.distributed.collectives import Exchange, Pending
from gradstep.distributed.model import Whole, unmasked, with_overrides
from gradstep.distributed.ravel import Flat, Weighted, index_of
from gradstep.distributed.shard import Share
from gradstep.distributed.state_dict import LocalTarget, empty
from gradstep.optimizers.base import Optimizer, expected
from gradstep.optimizers.selection import ByName, Masked
from gradstep.optimizers.state_dict import Loader, plain_state
from gradstep.values import plain_values

_NO_EXAMPLES = "count must be at least 1 on some rank, got 0 on all; leave out the step"
_NO_CLASS = "optimizer must be a class of gradstep's, got {}"
# Elements from which on a step takes so long that messages are worth being moved on meanwhile.
_WORTH_A_THREAD = 1 << 16
_SLOTS = 2  # buckets under way at a time, each way


class Sharded(Optimizer):
    r"""An optimizer spread over the ranks of an MPI job: each keeps and steps its share.

    Every rank holds all parameters and calls `step` with gradients of its own. These are reduced,
    each rank steps its share of the elements, and all gather what the others have stepped. So
    the state takes one part of the memory on each of so many ranks (ZeRO, stage 1). All methods and
    properties marked as collective are called by all ranks, in the same order.

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
        What becomes of the gradients of the ranks. None: they are the same on all ranks already.
    deterministic : bool, default False
        Add gradients in the order of the ranks: the same bits in every run, however MPI would add.
    bucket : int, default 4194304
        Bytes of parameters that travel at a time.
    **hyperparameters
        As for `optimizer`, options of a step included. `max_norm` and `nonfinite` act on the
        reduced gradients of the whole model, and alike on all ranks. An `average` gives its
        settings only: read it by `average`, it is saved and loaded with the optimizer.

    Raises
    ------
    ImportError
        Without mpi4py.
    TypeError, ValueError
        As `optimizer` does, or where the parameters of a rank differ from those of rank 0. Where
        one rank raises, the others raise RuntimeError.

    Notes
    -----
    Given equal gradients, parameters and state have the bits that one process gives them. With
    `max_norm` they agree to rounding, as the norm is added up from the ranks' shares.

    Besides the state, a few buckets of memory are needed, and with `max_norm` or `nonfinite` the
    reduced gradients of this rank's share, as no element may be stepped before all are measured.

    Whatever ends one rank ends all, with a message that names it: an exception that nobody catches
    ends the job through ``sys.excepthook``, and so does a rank that ends while others wait for it.

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
        self._ranks = ranks = Ranks.of(comm)
        act = "making a Sharded"
        with ranks.act(act):
            with ranks.agreed(act):
                _require_class(optimizer)
                self._reduce = _reduction(reduce)
                self._bucket = checks.count("bucket", bucket, least=8)
                average = hyperparameters.get("average")
                if isinstance(average, EWA):
                    if average.t:
                        raise ValueError(
                            "average has been used, and cannot be spread over ranks; load its "
                            "state with the optimizer's"
                        )
                    # Of shares, which are nothing to the caller: `average` gathers them.
                    hyperparameters["average"] = EWA(
                        average.beta, bias_correction=average.bias_correction
                    )
                deterministic = checks.flag("deterministic", deterministic)
                params, hyperparameters = unmasked(params, hyperparameters)
                whole = Whole(params)
            self._align(whole, act)
            # The same number on all ranks, also where some have tried to make others before.
            self._number = ranks.made = ranks.told(ranks.made + 1, 0)
            with ranks.agreed(act):
                self._whole = whole
                self._share = share = Share(ranks, self._bucket)
                # Of each bucket, this rank's part of the gradients, where all are measured first.
                self._measured_gradients: list[Array] = []
                self._summed: Any = None  # what the checksum is of
                self._sum = 0
                local = with_overrides(params, share.extend(whole))
                made: object = optimizer(local, **hyperparameters)
                if not isinstance(made, Optimizer) or isinstance(made, Sharded):
                    raise TypeError(_NO_CLASS.format(checks.shown(optimizer)))
                self._local = made
                self._rate = self._local._rate  # type: ignore[misc]
                slots = min(_SLOTS, len(share.buckets))
                self._exchange = Exchange(ranks, share.largest, slots, deterministic)
                self._all_layout = self._new_layout(params)
            self._compare(self._described(), act)

    def _compare(self, described: Mapping[str, str], act: str) -> None:
        """Make sure that all ranks were given the same."""
        ranks = self._ranks
        first = ranks.told(dict(described), 0)
        with ranks.agreed(act):
            for name in {**first, **described}:
                there, here = first.get(name, "none"), described.get(name, "none")
                if here != there:
                    raise ValueError(
                        f"{name} must be the same on all ranks: {there} on rank 0, {here} on rank "
                        f"{ranks.rank}"
                    )

    def _described(self) -> dict[str, str]:
        """Return what all ranks have to be given alike; of callables of the user's, only which are."""
        return {
            "optimizer": type(self._local).__name__,
            "reduce": repr(self._reduce),
            "deterministic": repr(self._exchange.deterministic),
            "bucket": repr(self._bucket),
            **_by_name(self.groups, self._of_group),
            **_by_name([self._options], lambda i: ""),
            "average": repr(self._local._average),
        }

    def _of_group(self, i: int) -> str:
        """Return what stands behind a name of the i-th group: nothing where there is but one."""
        return f" of group {i}" if self._local._layout.listed else ""

    # --- what is whose ----------------------------------------------------------------------------

    def _align(self, whole: Whole, act: str) -> None:
        """Make sure that all ranks have the same parameters, and agree on their order in memory."""
        ranks = self._ranks
        first, orders = ranks.told((whole.described(), whole.orders), 0)
        with ranks.agreed(act):
            difference = whole.difference(first, ranks)
            if difference:
                raise ValueError(f"parameters differ from those of rank 0: {difference}")
        # Where one rank has another order, all walk in the order of indices.
        for others in ranks.told_by_all(whole.orders):
            for i, (one, other) in enumerate(zip(orders, others, strict=True)):
                if one != other:
                    orders[i] = tuple(range(len(one)))
        whole.orders = orders

    def _new_layout(self, params: Any) -> Any:
        """Return the layout of the whole, with the hyperparameters and the state that are here."""
        layout = self._whole.optimizer._layout
        return layout._replace(
            params=layout.params if isinstance(params, ByName | Masked) else params,
            groups=tuple(self._local.groups),
            state=self._local.state,
        )

    # --- what an optimizer has --------------------------------------------------------------------

    @property
    def _stepper(self) -> _core.Stepper:  # type: ignore[override]
        return self._local._stepper

    @property
    def _spread_over(self) -> Ranks | None:
        return self._ranks if self._ranks.size > 1 else None

    @property
    def _layout(self) -> Any:
        return self._all_layout

    def _require_bound(self) -> None:
        """Raise ValueError where a parameter has been replaced in the container that it came in."""
        self._whole.optimizer._stepper.require_bound()

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self._ranks.rank

    @property
    def size(self) -> int:
        """The number of ranks."""
        return self._ranks.size

    @property
    def state(self) -> Mapping[str, Mapping[str, Array]]:
        """The share of the state that is here: ``state["W1[0:512]"]["m"]`` for a part of ``W1``."""
        return self._local.state

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with hyperparameters of their own, on all ranks; see `Optimizer.add_group`.

        Collective.
        """
        ranks = self._ranks
        with ranks.act("add_group"):
            with self._agreed("add_group"):
                entry, layout = self._with_group(group)
                whole = Whole(layout.params)
                values = self._try_group(entry, whole.arrays[len(self._share.flats) :])
            self._align(whole, "add_group")
            self._compare(_by_name([values], lambda i: ""), "add_group")
            share = self._share
            whole.orders[: len(share.flats)] = self._whole.orders
            self._whole = whole
            self._local.add_group({**entry, "params": share.extend(whole)[-1]})
            slots = min(_SLOTS, len(share.buckets))
            self._exchange = self._exchange.enlarged(share.largest, slots)
            self._all_layout = self._new_layout(layout.params)._replace(listed=True)

    def _try_group(self, entry: Mapping[str, Any], arrays: Sequence[Array]) -> dict[str, Any]:
        """Raise what adding a group would, with one element of each dtype in the place of arrays.

        Returns the hyperparameters that it would have.
        """
        local = self._local
        overrides = {name: value for name, value in entry.items() if name != "params"}
        index = len(local.groups)
        plan = local._planned(f"group {index}: " if self._layout.listed else "", overrides)
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
            As in `Optimizer.step`: this rank's gradients, of the whole model, and a scale that is
            the same on all ranks.
        count : int, optional
            How many examples this rank's gradients are the mean of, on all ranks or on none. The
            mean over ranks is weighted by it, which makes it the gradient of the whole batch. With
            0, `grads` may be anything, None and NaN too: it is not looked at. Needs
            ``reduce="mean"``.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `Optimizer.step`, on the rank that has met it; RuntimeError on all others.
            ValueError on all ranks where each has a `count` of 0.
        FloatingPointError
            On all ranks, with ``nonfinite="raise"``.

        Notes
        -----
        A step happens on all ranks or on none. A fault in the midst of it, where parameters would
        be of two different steps, ends the job.

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
        ranks = self._ranks
        if ranks.size == 1:
            if self._counted(count) == 0:
                raise ValueError(_NO_EXAMPLES)
            self._require_bound()
            flatten, _, _ = expected(self._layout)
            flat = flatten(grads)
            own = [flat[piece.parameter] for piece in self._share.placed]
            self._local.step(self._local_tree(own), scale)
            return
        with ranks.act("step"), contextlib.ExitStack() as stack:
            here = int(count is not None)
            counted = Summed(here, lambda: {"count": ("not given", "given")[here]})
            with self._agreed("step", scale=scale, counted=counted) as agreement:
                agreement.count = self._counted(count)
                if agreement.count == 0:
                    grads = self._zeros()
                whole = self._whole.optimizer._stepper.step_in_parts(grads, scale)
                stack.callback(whole.close)
                gradients = [
                    Flat(array, order)
                    for array, order in zip(whole.gradients, self._whole.orders, strict=True)
                ]
                measures = self._measures()
                outs = None if self._reduce is None else self._outs(measures)
                self._share.refresh()
                parts = self._stepper.step_in_parts(
                    self._local_tree(self._share.windows(gradients, outs)),
                    scale / ranks.size if self._reduce == "mean" else scale,
                )
                stack.callback(parts.close)
                agreement.alike["hyperparameters"] = self._all_of(parts.hyperparameters)
            if agreement.total == 0:
                raise ranks.marked(ValueError(_NO_EXAMPLES))  # as all do
            weight = agreement.count * ranks.size / agreement.total
            weighted = gradients if weight == 1.0 else [Weighted(g, weight) for g in gradients]
            norm, not_finite = None, None
            if measures and outs is not None:
                self._reduce_all(weighted, outs)
            if measures:
                norm, not_finite = self._measured(parts, gradients)
            try:
                if not parts.begin(norm, not_finite):
                    return
            except FloatingPointError as error:
                raise ranks.marked(error) from None  # as all do
            self._run_all(parts, weighted, None if measures else outs)
            parts.finish()

    def _counted(self, count: object) -> int:
        """Return the weight of this rank's gradients in their mean: 1 where no count is given."""
        if count is None:
            return 1
        if self._reduce != "mean":
            raise ValueError(
                f"count must be left out with reduce={self._reduce!r}, got {checks.shown(count)}; "
                "it gives weights to the mean that reduce='mean' takes"
            )
        return checks.count("count", count)

    def _zeros(self) -> Any:
        """Return gradients of zero, which take no memory."""
        return self._in_structure(
            np.broadcast_to(w.dtype.type(0), w.shape) for w in self._whole.arrays
        )

    def _in_structure(self, arrays: Iterable[Any]) -> Any:
        """Put one array for each parameter into the structure of the whole."""
        each, layout = iter(arrays), self._layout
        trees = [structure.unflatten(each) for structure in layout.structures]
        return trees if layout.listed else trees[0]

    def _agreed(self, act: str, **alike: float | Summed) -> AbstractContextManager[Agreement]:
        """Agree on an act of this optimizer, by as many steps on all ranks."""
        return self._ranks.agreed(act, optimizer=self._number, t=self.t, **alike)

    def _all_of(self, values: Sequence[Mapping[str, Any]]) -> Summed:
        """Return a number for what a step is taken with, and the values by name."""
        if values != self._summed:
            self._summed, self._sum = values, zlib.crc32(repr(values).encode())

        def named() -> dict[str, Any]:
            *groups, options = values
            found = dict(options)
            for i, group in enumerate(groups):
                average = i == len(self.groups)
                behind = " of the average" if average else self._of_group(i)
                found |= {f"{name}{behind}": value for name, value in group.items()}
            return found

        return Summed(self._sum, named)

    def _measures(self) -> bool:
        options = self._options
        return options["max_norm"] is not None or options["nonfinite"] != "propagate"

    def _outs(self, measures: bool) -> list[Array]:
        """Return where this rank's part of each bucket is reduced to."""
        if not measures:  # one bucket after another in the same few places
            slots = self._exchange.slots
            return [self._exchange.reduced(i % slots, b) for i, b in enumerate(self._share.buckets)]
        rank, kept = self._ranks.rank, self._measured_gradients
        for bucket in self._share.buckets[len(kept) :]:
            kept.append(np.empty(bucket.counts[rank], bucket.dtype))
        return kept

    def _local_tree(self, arrays: Sequence[Array]) -> Any:
        """Put one array for each of this rank's parameters into their structure."""
        layout = self._local._layout
        each = iter(arrays)
        trees = [
            {label: next(each) for label in structure.names} for structure in layout.structures
        ]
        return trees if layout.listed else trees[0]

    def _reduce_all(self, gradients: Sequence[Flat | Weighted], outs: Sequence[Array]) -> None:
        under_way: list[Pending] = []
        slots = self._exchange.slots
        for i, (bucket, out) in enumerate(zip(self._share.buckets, outs, strict=True)):
            if i >= slots:
                self._finish(under_way[i - slots])
            under_way.append(self._exchange.reduce(i % slots, bucket, gradients, out))
        for pending in under_way[-slots:]:
            self._finish(pending)

    def _finish(self, pending: Pending) -> None:
        self._ranks.wait(pending.request)
        pending.finish()

    def _measured(self, parts: _core.Parts, gradients: Sequence[Flat]) -> tuple[float, str | None]:
        """Return the norm of the gradients of all ranks, and what to say of one that is not finite."""
        ranks, whole = self._ranks, self._whole
        norm, bad = parts.measure()
        if bad is not None:
            i, offset, what = bad
            number, start, _ = self._share.placed[i]
            place = index_of(start + offset, whole.arrays[number].shape, whole.orders[number])
            norms, places = self._told_of(norm, (number, place, what, start + offset))
        else:
            norms, places = self._told_of(norm, None)
        norm = math.nan if any(map(math.isnan, norms)) else math.hypot(*norms)
        if not places:
            return norm, None
        number, place, what, at = min(places)
        here = not np.isfinite(gradients[number].read(at, at + 1)[0])
        whose = [rank for rank, bad_there in enumerate(ranks.told_by_all(here)) if bad_there]
        text = f"gradient of {whole.names[number]!r} {what}"
        if place:
            text += f", at [{', '.join(map(str, place))}]"
        if whose:
            return norm, f"{text}, on rank {', '.join(map(str, whose))}"
        return norm, f"{text}, where all ranks are reduced, and on none of them"

    def _told_of(self, norm: float, place: Any) -> tuple[list[float], list[Any]]:
        said = self._ranks.told_by_all((norm, place))
        return [one for one, _ in said], [place for _, place in said if place is not None]

    def _run_all(
        self,
        parts: _core.Parts,
        gradients: Sequence[Flat | Weighted],
        outs: Sequence[Array] | None,
    ) -> None:
        """Step one bucket after another; the next is reduced meanwhile, the last ones gathered."""
        exchange, slots, count = self._exchange, self._exchange.slots, len(self._share.buckets)
        reducing: list[Pending] = []
        gathering: list[Pending] = []
        for i, bucket in enumerate(self._share.buckets):
            if outs is not None:
                for k in range(len(reducing), min(i + slots, count)):
                    reducing.append(
                        exchange.reduce(k % slots, self._share.buckets[k], gradients, outs[k])
                    )
                self._finish(reducing[i])
            under_way = [*reducing[i + 1 :], *gathering[-slots:]]
            self._run(parts, i, [pending.request for pending in under_way])
            if i >= slots:
                self._finish(gathering[i - slots])
            first, last = self._share.spans[i]
            own = self._share.arrays[first:last]
            gathering.append(exchange.gather(i % slots, bucket, own, self._share.flats))
        for pending in gathering[-slots:]:
            self._finish(pending)

    def _run(self, parts: _core.Parts, i: int, under_way: Sequence[Any]) -> None:
        """Step this rank's part of a bucket, while messages travel."""
        first, last = self._share.spans[i]
        if not under_way or self._share.buckets[i].counts[self._ranks.rank] < _WORTH_A_THREAD:
            parts.run(first, last)
            self._ranks.test(under_way)
            return
        stepped = _helper().submit(parts.run, first, last)
        try:
            self._ranks.keep_moving(under_way, stepped.done)
        finally:  # an interruption, too, comes behind it
            wait([stepped])
        stepped.result()

    # --- everybody's parameters -------------------------------------------------------------------

    def sync(self) -> None:
        """Give all ranks the parameters of rank 0. Collective.

        The state is not looked at: it is of no rank in particular.
        """
        ranks = self._ranks
        with ranks.act("sync"):
            with self._agreed("sync"):
                self._whole.optimizer._stepper.require_ready()
            if ranks.size == 1:
                return
            for bucket in self._share.buckets:
                for _, (parameter, start, stop) in bucket.placed():
                    flat = self._share.flats[parameter]
                    values = flat.read(start, stop)
                    ranks.wait(ranks.comm.Ibcast(values, 0))
                    if flat.dense is None:
                        flat.write(start, stop, values)

    def check_synced(self) -> None:
        """Raise where parameters are not the same on all ranks, bit by bit. Collective.

        Raises
        ------
        ValueError
            On all ranks; it names the arrays and the ranks that differ from rank 0.
        """
        ranks = self._ranks
        with ranks.act("check_synced"):
            with self._agreed("check_synced"):
                mine = [self._digest(i) for i in range(len(self._share.flats))]
            said = ranks.told_by_all(mine)
        problems = []
        for i, name in enumerate(self._whole.names):
            others = [rank for rank, digests in enumerate(said) if digests[i] != said[0][i]]
            if others:
                problems.append(f"{name} on rank {', '.join(map(str, others))}")
        if problems:
            raise ValueError(
                f"parameters differ from those of rank 0: {'; '.join(problems)}; sync() gives all "
                "ranks those of rank 0"
            )

    def _digest(self, i: int) -> bytes:
        digest = hashlib.sha256()
        room = max(self._bucket // self._whole.arrays[i].itemsize, 1)
        for start in range(0, self._whole.arrays[i].size, room):
            digest.update(np.ascontiguousarray(self._share.flats[i].read(start, start + room)).data)
        return digest.digest()

    def _gather_parameters(self) -> None:
        if self._ranks.size == 1:
            return
        for bucket, (first, last) in zip(self._share.buckets, self._share.spans, strict=True):
            self._finish(
                self._exchange.gather(0, bucket, self._share.arrays[first:last], self._share.flats)
            )

    # --- averages ---------------------------------------------------------------------------------

    @property
    def average(self) -> Any:
        """The (corrected) average of the parameters, in their structure: new arrays. Collective."""
        with self._ranks.act("average"):
            with self._agreed("average"):
                local = self._local.average
                targets = [] if local is None else empty(self._whole)
            if local is None:
                return None
            trees = local if self._local._layout.listed else [local]
            self._gather_all([array for tree in trees for array in tree.values()], targets)
        return self._in_structure(targets)

    def averaged(self) -> AbstractContextManager[Any]:
        """Put the averages in the place of the parameters on all ranks; see `Optimizer.averaged`.

        Collective, on entering and on leaving.
        """
        return self._averaged()

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[Any]:
        ranks = self._ranks
        with contextlib.ExitStack() as stack:
            with ranks.act("averaged"):
                with self._agreed("averaged"):
                    self._require_bound()
                    block = self._local.averaged()
                    self._share.refresh()
                    stack.enter_context(block)
                self._gather_parameters()
            try:
                yield self.params
            finally:
                # One that does not come here would keep the averages in the place of its share.
                with ranks.act("averaged", must_end=True):
                    ranks.agree("averaged", optimizer=self._number, t=self.t)
                    stack.close()
                    self._gather_parameters()

    # --- saving and loading -----------------------------------------------------------------------

    def _gather_all(
        self,
        own: Sequence[Array | None],
        targets: Sequence[Array | None],
        having: Sequence[bool] | None = None,
        root: int | None = None,
    ) -> None:
        """Fill `targets` from `own` of all ranks, one for each local parameter."""
        flats = [
            None if target is None else Flat(target, order)
            for target, order in zip(targets, self._whole.orders, strict=True)
        ]
        groups = self._whole.groups
        if self._ranks.size == 1:
            for array, piece in zip(own, self._share.placed, strict=True):
                target = targets[piece.parameter]
                if array is not None and target is not None:
                    target[...] = array
            return
        for bucket, (first, last) in zip(self._share.buckets, self._share.spans, strict=True):
            if having is None or having[groups[bucket.pieces[0].parameter]]:
                share = [array for array in own[first:last] if array is not None]
                self._finish(self._exchange.gather(0, bucket, share, flats, root))

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot of the whole state, as `optimizer` itself would. Collective.

        It loads on any number of ranks, and into an optimizer of one process.
        """
        return self._state_at(None)

    def _state_at(self, root: int | None) -> dict[str, Any]:
        """Return the whole state, on all ranks or at `root`; others get its plain values."""
        ranks, whole = self._ranks, self._whole
        with ranks.act("state_dict"):
            with self._agreed("state_dict"):
                self._require_bound()
                state = plain_state(type(self._local).__name__, self._stepper.snapshot())
                for group, names in zip(state["groups"], self._layout.members, strict=True):
                    group["params"] = list(names)
                own = [state["state"][label] for label in self._share.labels]
                kept = self._state_names()
                fills = root is None or root == ranks.rank
                none: list[Array | None] = [None] * len(whole.names)
                arrays: dict[str, Sequence[Array | None]] = {
                    kind: empty(whole, [kind in names for names in kept]) if fills else none
                    for kind in {kind: None for names in kept for kind in names}
                }
                average = state["average"]
                averages = empty(self._whole) if fills and average else none
            for kind, targets in arrays.items():
                having = [kind in names for names in kept]
                self._gather_all([one.get(kind) for one in own], targets, having, root)
            if average is not None:
                shares = [average["arrays"][label] for label in self._share.labels]
                self._gather_all(shares, averages, root=root)
        state["state"] = {
            name: {kind: arrays[kind][i] for kind in kept[whole.groups[i]]}
            for i, name in enumerate(whole.names)
        }
        if average is not None:
            average["arrays"] = dict(zip(whole.names, averages, strict=True))
        return state

    def _state_names(self) -> list[list[str]]:
        """Return what state the parameters of each group have."""
        return [_core.state_names(group.rule) for group in self._local.groups]

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over this rank's share of what `state_dict` returned. Collective; all ranks or none."""
        with self._ranks.act("load"):
            with self._ranks.agreed("load", optimizer=self._number):
                prepared = self._prepare_load(d, True)
            transaction.take_over(prepared)

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> transaction.Prepared:
        return Loader(
            type(self._local).__name__,
            self._stepper,
            self._local._averages,
            self.groups,
            strict,
            LocalTarget(self._whole, self._share, self._state_names(), self._local.state),
        ).prepare(state)

    def __repr__(self) -> str:
        return f"Sharded({self._local!r}, rank {self._ranks.rank} of {self._ranks.size})"


def _require_class(optimizer: object) -> None:
    if not callable(optimizer) or isinstance(optimizer, Optimizer):
        raise TypeError(_NO_CLASS.format(checks.shown(optimizer)))


def _reduction(reduce: object) -> str | None:
    if reduce is None or (isinstance(reduce, str) and reduce in ("mean", "sum")):
        return reduce
    raise ValueError(f"reduce must be 'mean', 'sum' or None, got {checks.shown(reduce)}")


def _by_name(groups: Sequence[Mapping[str, Any]], behind: Callable[[int], str]) -> dict[str, str]:
    """Return the values of groups as texts by name; of callables of the user's, only that they are."""
    found: dict[str, str] = {}
    for i, group in enumerate(groups):
        values, callables = plain_values(group)
        texts = dict.fromkeys(callables, "a callable")
        texts |= {name: repr(value) for name, value in values.items()}
        found |= {f"{name}{behind(i)}": text for name, text in texts.items()}
    return found


@functools.lru_cache(maxsize=1)
def _helper() -> ThreadPoolExecutor:
    """Return the thread that steps while this one moves messages."""
    return ThreadPoolExecutor(1, "gradstep")
