"""`MiniBatches`: shuffles the examples once an epoch and cuts them in batches."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep._core as _core
import gradstep.transaction as transaction
from gradstep._typing import Array
from gradstep.batches.epoch import EpochIterator, EpochPosition, Progress
from gradstep.batches.plain import _flag, _integer
from gradstep.batches.randomness import make_generator, require_integers
from gradstep.batches.sources import Source, as_array, named, number_of_examples
from gradstep.checks import shown
from gradstep.names import FixedAttributes
from gradstep.transaction import Prepared


class _AxisNotGiven(int):
    """The default of `axis`: 0, and told apart from a 0 that the caller wrote."""


_AXIS = _AxisNotGiven(0)


class MiniBatches(FixedAttributes):
    """Hand out the examples of one or more arrays in mini-batches, shuffled anew every epoch.

    Iterating runs one epoch: ``m / batch_size`` steps, rounded up; the last batch may be smaller.
    Batch size 1 is stochastic gradient descent, batch size m is batch gradient descent.

    Parameters
    ----------
    *arrays : array, each with m examples along `axis`
        NumPy arrays (memory maps too), or objects that export their memory as one (``__array__``
        and its kin, the buffer protocol, DLPack on the CPU). Example i of one array belongs to
        example i of the others. Subclasses of ndarray are read as the plain array they hold.
    batch_size : int, default 64
        Examples a batch, at least 1; usual are 64 to 512. More than m gives one batch of all m.
    shuffle : bool, default True
        Draw a new order at the beginning of every epoch. False keeps the order of the arrays.
    drop_last : bool, default False
        Leave out the last batch of an epoch where it would be smaller than the others.
    axis : int, default 0
        The axis that counts the examples: 1 where they stand in columns. May be negative.
    seed : None, int or several, SeedSequence or Generator, default None
        Goes to `numpy.random.default_rng`. A Generator is used as it is: every shuffled epoch
        advances it, and `load_state_dict` sets it. None gives other orders in every run.
    shard : (rank, size), default None
        Hand out only part `rank` of `size` of every batch: a run of its examples, equally long on
        all ranks or one shorter, empty where a batch has fewer than `size`. Side by side the parts
        are the batch of one process, given the same arrays and `seed` on every rank.
    prepare : bool, default True
        Where a shuffled epoch would gather examples that are scattered over the memory of an array,
        as those in columns are, gather them from a copy in which each lies in one piece (see
        Notes). False copies nothing and is several times slower there.

    Attributes
    ----------
    epoch : int
        Epochs whose last batch was handed out. One that was broken off does not count.
    batch_size, shuffle, drop_last, axis
        The arguments. Like the others they are fixed: make a new object to change one.

    Yields
    ------
    tuple of ndarray, or ndarray where one array was given
        Copies of the same dtype: changing a batch changes neither the arrays nor other batches.

    Raises
    ------
    TypeError
        No array was given, or something that is not an array: a list, say, or a masked array.
    ValueError
        The arrays differ in m, have no examples or no such axis; another argument cannot be; or
        `drop_last` would leave no batch at all.

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

    An epoch is under way from ``iter()`` until its last batch is handed out, or until it is broken
    off: the loop ends early, and nobody holds its iterator any more, or the iterator is closed
    (``iterator.close()``). A run that breaks an epoch off goes on with the next one, and so does a
    run that resumes from a state taken after that. Take the state in the body of the loop, before
    ``break``, to resume in the middle of the epoch.

    An iterator of an earlier epoch goes on handing out its own batches but no longer moves this
    object's `epoch` and state. An exception in ``next()``, an interruption say, does not end an
    iterator that is still held. Threads may share one: each batch is handed out once.

    A batch is copied row by row, by all threads of `gradstep.set_num_threads` where that pays. That
    needs examples that lie together, as in a C-ordered array with ``axis=0``. In a C-ordered array
    with ``axis=1`` every number of an example lies in another place, and fetching them takes
    several times as long. Such an array is prepared: the first shuffled epoch makes a copy with the
    examples in rows, which pays within an epoch or two. It needs as many bytes again as the array,
    for as long as this object lives, and later changes to a prepared array do not show in later
    batches. With ``prepare=False``, in epochs that are not shuffled, and for other arrays they do:
    what has its examples in rows, is small, memory-mapped or of Python objects is neither copied
    nor loaded as a whole. (An object whose ``__array__`` makes a copy is an exception.)

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
            raise TypeError("MiniBatches needs at least one array: MiniBatches(X, y, ...)")
        self._axis = _integer("axis", axis)
        plain = [as_array(i, array) for i, array in enumerate(arrays)]
        self._m = number_of_examples(plain, self._axis)
        self._sources = [Source(array, self._axis) for array in plain]
        self._batch_size = _integer("batch_size", batch_size, least=1)
        self._shuffle = _flag("shuffle", shuffle)
        self._drop_last = _flag("drop_last", drop_last)
        if len(self) == 0:
            raise ValueError(
                f"drop_last=True with batch_size={self._batch_size} leaves no batch of "
                f"{self._m} examples; take batch_size <= {self._m} or drop_last=False"
            )
        self._prepare = _flag("prepare", prepare)
        self._generator = make_generator(seed)
        self._rank, self._ranks = _rank_and_ranks(shard)
        if self._ranks > 1 and self._shuffle and seed is None:
            raise ValueError(
                f"shard={shown(shard)} with shuffle=True needs a seed, the same on every rank: without "
                "one each rank draws an order of its own"
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
        """Copy and pickle the place as a state has it: the iterator stays where it is."""
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
        shown = {**self._settings(), "axis": self._axis, "epoch": self.epoch}
        if self._ranks > 1:
            shown["shard"] = (self._rank, self._ranks)
        shown["prepare"] = self._prepare
        count = f"{len(self._sources)} array{'s' if len(self._sources) > 1 else ''}"
        return f"MiniBatches({count}, {', '.join(f'{k}={v}' for k, v in shown.items())})"

    def __iter__(self) -> Iterator[Any]:
        """Begin an epoch, or finish the one that `load_state_dict` brought."""
        # Not itself a generator function: one would begin the epoch only at the first next().
        if self._shuffle and self._prepare:
            for source in self._sources:
                source.prepare()
        before = self._place
        here = before.now(len(self))
        order: NDArray[np.int64] | None = None  # that of the arrays
        if before.progress is None and here.order_from is not None:
            # The object's own generator already stands where the saved run had left it.
            if self._shuffle:
                order = self._generator_at(here.order_from).permutation(self._m)
            progress = Progress(here.position)
            self._place = here._replace(progress=progress)
        else:
            progress = Progress(0)
            place = EpochPosition(here.epoch, 0, self._generator.bit_generator.state, progress)
            if self._shuffle:
                # Drawn and noted in one call of C code, in which no signal's handler runs and
                # nothing is allocated between the two.
                drawn = map(self._generator.permutation, (self._m,))
                noted = map(object.__setattr__, (self,), ("_place",), (place,))
                order, _ = next(zip(drawn, noted, strict=False))
            else:
                self._place = place
        if order is not None:
            order = order.astype(np.int64, copy=False)
        # Held by no name, so that an interruption here drops it.
        return EpochIterator(self._taking(order), progress)

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot of the position in the epoch under way and of the random state.

        Taken in the body of the loop, it counts the batch in hand as consumed; taken in the body of
        the last batch, or after the epoch was broken off, it stands between two epochs.

        Returns
        -------
        dict
            Plain values only, and the arrays in the state of some bit generators. The order of the
            epoch is not stored: it is drawn again from ``"order_from"``.
        """
        place = self._place.now(len(self))
        return {
            **self._settings(),
            "epoch": place.epoch,
            "position": place.position,
            "order_from": copy.deepcopy(place.order_from),
            # Kept beside order_from because whoever shares the generator may have drawn since.
            "random": self._generator.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state of `state_dict`; the next ``iter()`` finishes the saved epoch.

        Over the same arrays that gives exactly the batches that were left, then the same epochs as
        the run that never stopped, whatever the shard of either. (NumPy may change what its
        generators draw between versions.) Loop ``while batches.epoch < epochs:``, as in the notes
        on the class: `epoch` is the saved one, and the epoch that is finished counts.

        Parameters
        ----------
        state : dict
            What `state_dict` returned, from an object with the same m, batch_size, shuffle,
            drop_last and kind of bit generator.

        Raises
        ------
        TypeError
            `state` is not a dict.
        ValueError
            It does not fit this object or is damaged. Nothing has changed then.
        """
        transaction.take_over(self._prepare_load(state, True))

    def _prepare_load(self, state: dict[str, Any], strict: bool) -> Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        if not isinstance(state, dict):
            raise TypeError(
                f"the state is {named(state)}, expected the dict that state_dict() returned"
            )
        state = dict(state)  # read once: another look at a subclass might find something else
        expected = self.state_dict().keys()
        if state.keys() != expected:
            raise ValueError(
                f"the state has the keys {shown(list(state))}, expected {list(expected)}; "
                "load what MiniBatches.state_dict() returned"
            )
        own = self._settings()
        # The type first: what stands in a damaged state may not compare.
        differing = [
            name
            for name in own
            if type(state[name]) is not type(own[name]) or state[name] != own[name]
        ]
        if differing:
            theirs = ", ".join(f"{name}={shown(state[name])}" for name in differing)
            here = ", ".join(f"{name}={own[name]!r}" for name in differing)
            raise ValueError(
                f"the state was saved with {theirs}, this object has {here}; build it with the "
                "arrays and arguments of the saved one"
            )
        epoch = _integer("epoch of the state", state["epoch"])
        position = _integer("position of the state", state["position"])
        if not (epoch >= 0 and 0 <= position < len(self)):
            raise ValueError(
                f"the state was saved at epoch={shown(epoch)}, position={shown(position)}, expected epoch >= 0 "
                f"and 0 <= position < {len(self)}, the batches per epoch; the state is damaged"
            )
        if position > 0 and state["order_from"] is None:
            raise ValueError(
                f"the state was saved at position={position} with order_from=None, expected a "
                "random state in the middle of an epoch; the state is damaged"
            )
        random = self._checked("random", state["random"])
        order_from = state["order_from"]
        if order_from is not None:
            order_from = self._checked("order_from", order_from)

        place = EpochPosition(epoch, position, order_from)
        return Prepared(
            swaps=[(self, "_place", place)], random=[(self._generator.bit_generator, random)]
        )

    def _settings(self) -> dict[str, Any]:
        """Return what a saved state must agree on."""
        return {
            "m": self._m,
            "batch_size": self._batch_size,
            "shuffle": self._shuffle,
            "drop_last": self._drop_last,
        }

    def _taking(
        self, order: NDArray[np.int64] | None
    ) -> Callable[[Progress], Array | tuple[Array, ...]]:
        """Return the function that takes an epoch's next batch."""
        sources = self._sources
        in_pieces = [source.rows for source in sources if source.in_pieces]
        simple = len(in_pieces) == len(sources) and not any(source.turned for source in sources)
        batches = len(self)
        # Reentrant, as an interruption may leave it held by the thread that then goes on.
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
                    # All at once, so that threads are called only once.
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
                # Last: whatever fails before it leaves the batch to be taken again. And before the
                # batch is out, so that a state saved in the loop's body counts it.
                progress.position = index + 1
            return batch if len(batch) > 1 else batch[0]

        return take

    def _cut(self, index: int) -> tuple[int, int]:
        """Return the places in the epoch's order that this shard of batch `index` takes."""
        start = index * self._batch_size
        size = min(self._batch_size, self._m - start)
        rank, ranks = self._rank, self._ranks
        return start + size * rank // ranks, start + size * (rank + 1) // ranks

    def _generator_at(self, state: Mapping[str, Any]) -> np.random.Generator:
        """Make another generator of this object's kind that stands at `state`."""
        bits = type(self._generator.bit_generator)()
        bits.state = state
        return np.random.Generator(bits)

    def _checked(self, name: str, state: Any) -> Any:
        """Return a copy of a saved random state, tried on another generator first."""
        kind = self._generator.bit_generator.state["bit_generator"]
        saved = state.get("bit_generator") if isinstance(state, dict) else state
        if not isinstance(saved, str) or saved != kind:
            raise ValueError(
                f"{name} was saved from the bit generator {shown(saved)}, this object draws from "
                f"{kind!r}; pass a Generator of the saved kind as seed"
            )
        try:
            require_integers(state)
            return self._generator_at(state).bit_generator.state
        except (LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name} is not a state of {kind} ({error!r}); the state is damaged"
            ) from error


def _looks_transposed(arrays: list[Array], batch_size: int) -> bool:
    """Whether examples in columns, m = 300 say, were most likely taken for a few in rows."""
    shapes = {array.shape[:2] if array.ndim == 2 else None for array in arrays}
    shape = shapes.pop()
    return not shapes and shape is not None and shape[0] <= batch_size and shape[0] < shape[1]


def _rank_and_ranks(shard: Any) -> tuple[int, int]:
    if shard is None:
        return 0, 1
    if isinstance(shard, (tuple, list)) and len(shard) == 2:
        rank, ranks = (_integer(f"shard[{i}]", part, least=i) for i, part in enumerate(shard))
        if rank < ranks:
            return rank, ranks
    raise ValueError(f"shard is {shown(shard)}, expected (rank, size) with 0 <= rank < size")
