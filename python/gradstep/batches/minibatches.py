"""`MiniBatches`: shuffles the examples once an epoch, cuts the order in batches, and saves its place.

The arrays are in sources.py, the random generator in randomness.py, the iterator in epoch.py.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep._core as _core
import gradstep.checks as checks
import gradstep.transaction as transaction
from gradstep._typing import Array
from gradstep.batches.epoch import EpochIterator, EpochPosition, Progress
from gradstep.batches.randomness import checked_state, generator_at, make_generator
from gradstep.batches.sources import Source, as_array, number_of_examples
from gradstep.names import FixedAttributes
from gradstep.transaction import Prepared


class _AxisNotGiven(int):
    """The type of the default of `axis`: a 0 that differs from one that the caller wrote."""


_AXIS = _AxisNotGiven(0)


class MiniBatches(FixedAttributes):
    """Hand out the examples of one or more arrays in mini-batches, shuffled anew every epoch.

    Iterating runs one epoch: ``m / batch_size`` steps, rounded up; the last batch may be smaller.
    Batch size 1 is stochastic gradient descent, batch size m is batch gradient descent.

    Parameters
    ----------
    *arrays : array, each with m examples along `axis`
        NumPy arrays (memory maps too), or objects that export their memory as one (``__array__``
        and the like, the buffer protocol, DLPack on the CPU). Example i of one array belongs to
        example i of the others. Subclasses of ndarray are read as the plain array they hold.
    batch_size : int, default 64
        Examples a batch, at least 1; 64 to 512 are usual. More than m gives one batch of all m.
    shuffle : bool, default True
        Draw a new order at the beginning of every epoch. False keeps the order of the arrays.
    drop_last : bool, default False
        Leave out the last batch of an epoch if it would be smaller than the others.
    axis : int, default 0
        The axis that counts the examples: 1 if they stand in columns. May be negative.
    seed : None, int or several, SeedSequence or Generator, default None
        Passed to `numpy.random.default_rng`. A Generator is used as it is: every shuffled epoch
        advances it, and `load_state_dict` sets it. None gives other orders in every run.
    shard : (rank, size), default None
        Hand out only part `rank` of `size` of every batch: a run of its examples, equally long on
        all ranks or one shorter, empty where a batch has fewer than `size`. Side by side the parts
        are the batch of one process, given the same arrays and `seed` on every rank.
    prepare : bool, default True
        Copy an array of which the examples are scattered over the memory, as those in columns are,
        and let shuffled epochs gather from the copy, in which each example lies in one piece (see
        Notes). False copies nothing and is several times slower with such an array.

    Attributes
    ----------
    epoch : int
        Epochs whose last batch was handed out. One that was broken off does not count.
    batch_size, shuffle, drop_last, axis
        The arguments. All arguments are fixed: make a new object to change one.

    Yields
    ------
    tuple of ndarray, or ndarray if one array was given
        Copies of the same dtype: changing a batch changes neither the arrays nor other batches.

    Raises
    ------
    TypeError
        No array was given, or an object that is not an array (such as a list or a masked array), or
        another argument has a wrong type.
    ValueError
        The arrays differ in m, have no examples or no such axis; another argument has a wrong value;
        or `drop_last` would leave no batch at all.

    Warns
    -----
    UserWarning
        `axis` was not given, and the arrays look as if their examples stood in columns: all are
        2-D, agree along axis 1 too, are wider than long, and an epoch would be a single batch.
        Pass ``axis=1`` if they do, and ``axis=0`` if they do not.

    Notes
    -----
    ``iter()`` begins a new epoch and draws its order, except the first after `load_state_dict`,
    which finishes the saved epoch. A run that is saved with `state_dict` in the body of the loop
    resumes at the next batch of that epoch with this loop, which serves a new run as well::

        while batches.epoch < epochs:
            for xb, yb in batches:
                ...

    An epoch begins with ``iter()``. It ends when its last batch is handed out, or it is broken off:
    the loop ends early and its iterator is not held any more, or the iterator is closed
    (``iterator.close()``). A run that breaks an epoch off goes on with the next one, and so does a
    run that resumes from a state taken after that. Take the state in the body of the loop, before
    ``break``, to resume in the middle of the epoch.

    An iterator of an earlier epoch goes on handing out its own batches but no longer moves this
    object's `epoch` and state. An exception in ``next()``, such as an interruption, does not end an
    iterator that is still held. Threads may share one: each batch is handed out once.

    A batch is copied row by row, by all threads of `gradstep.set_num_threads` if that is faster.
    This needs examples that lie together, as in a C-ordered array with ``axis=0``. In a C-ordered
    array with ``axis=1`` every number of an example lies in another place, and fetching them takes
    several times as long. Such an array is prepared: the first shuffled epoch makes a copy with the
    examples in rows, which pays within an epoch or two. The copy needs as many bytes as the array,
    for as long as this object lives, and later changes to a prepared array do not show in later
    batches.

    Changes show with ``prepare=False``, in epochs that are not shuffled, and for other arrays: those
    with their examples in rows, and small, memory-mapped and object arrays, are neither copied nor
    loaded as a whole. (An object whose ``__array__`` makes a copy is an exception.)

    A shuffled epoch needs 8 m bytes for its order; a batch needs its own bytes.

    Examples
    --------
    >>> import numpy as np
    >>> import gradstep as gs
    >>> X, y = np.arange(10).reshape(5, 2), np.arange(5)
    >>> batches = gs.MiniBatches(X, y, batch_size=2, shuffle=False)
    >>> for xb, yb in batches:
    ...     print(xb.tolist(), yb.tolist())
    [[0, 1], [2, 3]] [0, 1]
    [[4, 5], [6, 7]] [2, 3]
    [[8, 9]] [4]
    >>> len(batches), batches.epoch
    (3, 1)

    Shuffled, every example still comes once an epoch:

    >>> batches = gs.MiniBatches(y, batch_size=2, seed=0)
    >>> sorted(np.concatenate(list(batches)).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        *arrays: Any,
        batch_size: int = 64,
        shuffle: bool = True,
        drop_last: bool = False,
        axis: int = _AXIS,
        seed: int
        | Sequence[int]
        | NDArray[np.integer[Any]]
        | np.random.SeedSequence
        | np.random.BitGenerator
        | np.random.Generator
        | None = None,
        shard: tuple[int, int] | None = None,
        prepare: bool = True,
    ) -> None:
        if not arrays:
            raise TypeError("arrays must be at least one, got none; write MiniBatches(X, y, ...)")
        self._axis = checks.integer("axis", axis)
        plain = [as_array(i, array) for i, array in enumerate(arrays)]
        self._m = number_of_examples(plain, self._axis)
        self._sources = [Source(array, self._axis) for array in plain]
        self._batch_size = checks.integer("batch_size", batch_size, least=1)
        self._shuffle = checks.flag("shuffle", shuffle)
        self._drop_last = checks.flag("drop_last", drop_last)
        if len(self) == 0:
            raise ValueError(
                f"batch_size must be <= {self._m}, the number of examples, with drop_last=True, got "
                f"{self._batch_size}; take fewer, or drop_last=False"
            )
        self._prepare = checks.flag("prepare", prepare)
        self._generator = make_generator(seed)
        self._rank, self._ranks = _rank_and_ranks(shard)
        if self._ranks > 1 and self._shuffle and seed is None:
            raise ValueError(
                f"seed must be the same on every rank with shard={checks.shown(shard)}, got None, "
                "from which each rank draws an order of its own; pass a seed, or shuffle=False"
            )
        self._place = EpochPosition()
        if axis is _AXIS and _looks_transposed(plain, self._batch_size):
            warnings.warn(
                f"an epoch is one batch of {self._m} examples, as axis is 0 by default and array 0 "
                f"has shape {plain[0].shape}; pass axis=1 if the examples are its "
                f"{plain[0].shape[1]} columns, and axis=0 if they are its rows",
                stacklevel=2,
            )

    def _instead_of_setting(self, name: str) -> str:
        if name == "epoch":
            return "; it counts what was handed out, and load_state_dict brings back an earlier one"
        return super()._instead_of_setting(name)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: the place as a state has it, without the iterator."""
        return {**self.__dict__, "_place": self._place.now(len(self))}

    @property
    def batch_size(self) -> int:
        """Examples a batch."""
        return self._batch_size

    @property
    def shuffle(self) -> bool:
        """Whether every epoch has an order of its own."""
        return self._shuffle

    @property
    def drop_last(self) -> bool:
        """Whether a smaller last batch is left out."""
        return self._drop_last

    @property
    def axis(self) -> int:
        """The axis that counts the examples."""
        return self._axis

    @property
    def epoch(self) -> int:
        """Epochs whose last batch was handed out."""
        return self._place.now(len(self)).epoch

    def __len__(self) -> int:
        """Batches per epoch."""
        full, rest = divmod(self._m, self._batch_size)
        return full + (rest > 0 and not self._drop_last)

    def __repr__(self) -> str:
        """Show the settings and the epoch, not the data."""
        settings = {**self._settings(), "axis": self._axis, "epoch": self.epoch}
        if self._ranks > 1:
            settings["shard"] = (self._rank, self._ranks)
        settings["prepare"] = self._prepare
        count = f"{len(self._sources)} array{'s' if len(self._sources) > 1 else ''}"
        return f"MiniBatches({count}, {', '.join(f'{k}={v}' for k, v in settings.items())})"

    def __iter__(self) -> Iterator[Any]:
        """Begin an epoch, or finish the one that `load_state_dict` brought."""
        # Not a generator function, which would begin the epoch only at the first next().
        if self._shuffle and self._prepare:
            for source in self._sources:
                source.prepare()
        before = self._place
        here = before.now(len(self))
        order: NDArray[np.int64] | None = None  # None: the order of the arrays
        if before.progress is None and here.order_from is not None:
            # This object's generator already stands where the saved run had left its own.
            if self._shuffle:
                order = generator_at(self._generator, here.order_from).permutation(self._m)
            progress = Progress(here.position)
            self._place = here._replace(progress=progress)
        else:
            progress = Progress(0)
            place = EpochPosition(here.epoch, 0, self._generator.bit_generator.state, progress)
            if self._shuffle:
                # One call of C code draws and notes: no signal handler runs between the two, and
                # nothing is allocated.
                drawn = map(self._generator.permutation, (self._m,))
                noted = map(object.__setattr__, (self,), ("_place",), (place,))
                order, _ = next(zip(drawn, noted, strict=False))
            else:
                self._place = place
        if order is not None:
            order = order.astype(np.int64, copy=False)
        # Without a name for it, so that an interruption here drops it.
        return EpochIterator(self._taker(order), progress)

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot of the position in the present epoch and of the random state.

        In the body of the loop, the batch in hand counts as consumed. In the body of the last
        batch, or after the epoch was broken off, the position is between two epochs.

        Returns
        -------
        dict
            Plain values, and the arrays in the state of some bit generators. The order of the epoch
            is not stored: it is drawn again from ``"order_from"``.
        """
        place = self._place.now(len(self))
        return {
            **self._settings(),
            "epoch": place.epoch,
            "position": place.position,
            "order_from": copy.deepcopy(place.order_from),
            # Beside order_from, because others that share the generator may have drawn since.
            "random": self._generator.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state of `state_dict`; the next ``iter()`` finishes the saved epoch.

        Over the same arrays, that gives exactly the batches that were left, then the same epochs as
        the run that never stopped. The shard of either may differ. (Generators of another version
        of NumPy may draw other numbers.) Loop ``while batches.epoch < epochs:``, as in the notes on
        the class: `epoch` is the saved one, and the epoch that is finished counts.

        Parameters
        ----------
        state : mapping
            From `state_dict` of an object with the same m, batch_size, shuffle, drop_last and kind
            of bit generator.

        Raises
        ------
        TypeError
            `state` is not a mapping, or a number in it is not an integer.
        ValueError
            It does not fit this object or is damaged. Nothing has changed then.
        """
        transaction.take_over(self._prepare_load(state, True))

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        saved = checks.record(
            "the state", state, self.state_dict(), "load what MiniBatches.state_dict() returned"
        )
        self._require_settings(saved)
        epoch = checks.integer("epoch of the state", saved["epoch"], least=0)
        position = checks.integer("position of the state", saved["position"], 0, len(self))
        order_from = saved["order_from"]
        if position > 0 and order_from is None:
            raise ValueError(
                f"order_from of the state must be a random state at position {position}, got None; "
                "the state is damaged"
            )
        random = checked_state("random of the state", saved["random"], self._generator)
        if order_from is not None:
            order_from = checked_state("order_from of the state", order_from, self._generator)

        place = EpochPosition(epoch, position, order_from)
        return Prepared(
            swaps=[(self, "_place", place)], random=[(self._generator.bit_generator, random)]
        )

    def _settings(self) -> dict[str, Any]:
        """Return the settings that a saved state must have, too."""
        return {
            "m": self._m,
            "batch_size": self._batch_size,
            "shuffle": self._shuffle,
            "drop_last": self._drop_last,
        }

    def _require_settings(self, saved: Mapping[str, Any]) -> None:
        """Raise ValueError if a state was saved with other settings."""
        here = self._settings()
        # The type first: the values of a damaged state may not compare.
        differing = [
            name
            for name in here
            if type(saved[name]) is not type(here[name]) or saved[name] != here[name]
        ]
        if differing:
            expected = ", ".join(f"{name}={here[name]!r}" for name in differing)
            given = ", ".join(f"{name}={checks.shown(saved[name])}" for name in differing)
            raise ValueError(
                f"the state must be of {expected}, got {given}; make this object with the arrays "
                "and arguments of the saved one"
            )

    def _taker(
        self, order: NDArray[np.int64] | None
    ) -> Callable[[Progress], Array | tuple[Array, ...]]:
        """Return the function that takes an epoch's next batch."""
        sources = self._sources
        in_pieces = [source.rows for source in sources if source.in_pieces]
        simple = len(in_pieces) == len(sources) and not any(source.turned for source in sources)
        batches = len(self)
        # Reentrant, as a thread that is interrupted may go on while it holds this.
        one_at_a_time = threading.RLock()

        def take(progress: Progress) -> Array | tuple[Array, ...]:
            with one_at_a_time:
                index = progress.position
                if index == batches or progress.iterator is None:
                    raise StopIteration
                start, stop = self._cut(index)
                batch: tuple[Array, ...]
                if order is None:
                    batch = tuple(source.copied(slice(start, stop)) for source in sources)
                else:
                    # All sources at once, so that threads are woken only once.
                    gathered = _core.gather(in_pieces, order, start, stop)
                    if simple:
                        batch = tuple(gathered)
                    else:
                        pieces, chosen = iter(gathered), order[start:stop]
                        batch = tuple(
                            source.restored(next(pieces))
                            if source.in_pieces
                            else source.indexed(chosen)
                            for source in sources
                        )
                # Last, as a failure before it leaves the batch to be taken again; and before the
                # batch is handed out, so that a state saved in the loop's body counts it.
                progress.position = index + 1
            return batch if len(batch) > 1 else batch[0]

        return take

    def _cut(self, index: int) -> tuple[int, int]:
        """Return begin and end, in the epoch's order, of this shard's part of batch `index`."""
        start = index * self._batch_size
        size = min(self._batch_size, self._m - start)
        rank, ranks = self._rank, self._ranks
        return start + size * rank // ranks, start + size * (rank + 1) // ranks


def _looks_transposed(arrays: list[Array], batch_size: int) -> bool:
    """Whether the arrays most likely have their examples in columns, and axis 0 counts few rows."""
    shapes = {array.shape[:2] if array.ndim == 2 else None for array in arrays}
    shape = shapes.pop()
    return not shapes and shape is not None and shape[0] <= batch_size and shape[0] < shape[1]


def _rank_and_ranks(shard: Any) -> tuple[int, int]:
    if shard is None:
        return 0, 1
    parts = enumerate(checks.sequence("shard", shard, length=2))
    rank, ranks = (checks.integer(f"shard[{i}]", part, least=i) for i, part in parts)
    if rank < ranks:
        return rank, ranks
    raise ValueError(f"shard must be (rank, size) with 0 <= rank < size, got {checks.shown(shard)}")
