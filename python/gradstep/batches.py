"""Mini-batches: shuffles the examples once an epoch and cuts them in batches.

Here live the order of the examples, the resumption in the middle of an epoch, and which way the
examples of an array are copied. The copying itself is the core's (cpp/gather.cpp), or NumPy's where
the core cannot or need not. What is done with a batch lives with the caller.
"""

from __future__ import annotations

import contextlib
import copy
import mmap
import numbers
import operator
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradstep import _core, loading
from gradstep.checks import is_whole, shown
from gradstep.loading import Prepared
from gradstep.names import FixedAttributes

__all__ = ["MiniBatches"]

# Bytes in one piece that are worth a copy of their own: NumPy copies shorter ones as fast.
_PIECE = 32
# An example is scattered where it reaches over this many times its own bytes: then nearly every
# number of it is fetched from memory with a cache line of others.
_SCATTERED = 8
# Bytes of an array that stays in the processor's caches, where scattered examples cost little.
_SMALL = 1 << 18


class _AxisNotGiven(int):
    """The default of `axis`: 0, and told apart from a 0 that the caller wrote."""


_AXIS = _AxisNotGiven(0)


class _Progress:
    """How far an epoch has come. Its iterator writes it, and MiniBatches reads it.

    The iterator of an earlier epoch goes on writing its own, which nobody reads any more.
    """

    __slots__ = ("iterator", "position")

    def __init__(self, position: int) -> None:
        # Batches handed out.
        self.position = position
        # Tells whether anybody still holds the iterator. None before there is one, and once it is
        # closed.
        self.iterator: weakref.ref[_EpochIterator] | None = None


class _Place(NamedTuple):
    """Where a run stands. Replaced as a whole: an interruption finds one place or the next."""

    # Epochs that were over when this one began.
    epoch: int = 0
    # Batches handed out of the epoch, and the random state its order was drawn from: that is enough
    # to draw the order again. Between epochs: 0 and None.
    position: int = 0
    order_from: Mapping[str, Any] | None = None
    # Where an iterator began the epoch: how far it has come by now. None between epochs, and where
    # load_state_dict brought an epoch that waits for iter() to finish it.
    progress: _Progress | None = None

    def now(self, batches: int) -> _Place:
        """Return the place without `progress`, which is looked at: what a state says."""
        if self.progress is None:
            return self
        # Held before the position is read: an iterator that hands out its last batch and is dropped
        # in between, in another thread, must not look broken off.
        reference = self.progress.iterator
        iterator = None if reference is None else reference()
        position = self.progress.position
        if position == batches:
            return _Place(self.epoch + 1)
        if iterator is None:  # broken off
            return _Place(self.epoch)
        return _Place(self.epoch, position, self.order_from)


class _EpochIterator(map):  # type: ignore[type-arg]  # not at runtime, before Python 3.11
    """The iterator of one epoch.

    Its ``next()`` is that of map, in C. The frame of a `__next__` in Python would hold this object,
    and a traceback holds its frames: while an interruption is handled, the epoch that it broke off
    would look as if it were under way.
    """

    _progress: _Progress

    def __new__(  # noqa: PYI034 - typing has Self from Python 3.11 on
        cls, take: Callable[[_Progress], Any], progress: _Progress
    ) -> _EpochIterator:
        self = super().__new__(cls, take, repeat(progress))
        self._progress = progress
        progress.iterator = weakref.ref(self)
        return self

    def close(self) -> None:
        """Break the epoch off, as dropping the last reference to this iterator does."""
        self._progress.iterator = None


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
        plain = [_as_array(i, array) for i, array in enumerate(arrays)]
        self._m = _number_of_examples(plain, self._axis)
        self._sources = [_Source(array, self._axis) for array in plain]
        self._batch_size = _integer("batch_size", batch_size, least=1)
        self._shuffle = _flag("shuffle", shuffle)
        self._drop_last = _flag("drop_last", drop_last)
        if len(self) == 0:
            raise ValueError(
                f"drop_last=True with batch_size={self._batch_size} leaves no batch of "
                f"{self._m} examples; take batch_size <= {self._m} or drop_last=False"
            )
        self._prepare = _flag("prepare", prepare)
        self._generator = _generator(seed)
        self._rank, self._ranks = _rank_and_ranks(shard)
        if self._ranks > 1 and self._shuffle and seed is None:
            raise ValueError(
                f"shard={shown(shard)} with shuffle=True needs a seed, the same on every rank: without "
                "one each rank draws an order of its own"
            )
        self._place = _Place()
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
            progress = _Progress(here.position)
            self._place = here._replace(progress=progress)
        else:
            progress = _Progress(0)
            place = _Place(here.epoch, 0, self._generator.bit_generator.state, progress)
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
        return _EpochIterator(self._taking(order), progress)

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
        loading.take_over(self._prepare_load(state, True))

    def _prepare_load(self, state: dict[str, Any], strict: bool) -> Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        if not isinstance(state, dict):
            raise TypeError(
                f"the state is {_named(state)}, expected the dict that state_dict() returned"
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

        place = _Place(epoch, position, order_from)
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
    ) -> Callable[[_Progress], NDArray[Any] | tuple[NDArray[Any], ...]]:
        """Return the function that takes an epoch's next batch."""
        sources = self._sources
        in_pieces = [source.rows for source in sources if source.in_pieces]
        simple = len(in_pieces) == len(sources) and not any(source.turned for source in sources)
        batches = len(self)
        # Reentrant, as an interruption may leave it held by the thread that then goes on.
        one_at_a_time = threading.RLock()

        def take(progress: _Progress) -> NDArray[Any] | tuple[NDArray[Any], ...]:
            with one_at_a_time:
                index = progress.position
                if index == batches or progress.iterator is None:
                    raise StopIteration
                start, stop = self._cut(index)
                batch: tuple[NDArray[Any], ...]
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
            _require_integers(state)
            return self._generator_at(state).bit_generator.state
        except (LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name} is not a state of {kind} ({error!r}); the state is damaged"
            ) from error


def _require_integers(state: object) -> None:
    """Raise TypeError where a number of a random state is none: NumPy would make one of it."""
    if isinstance(state, dict):
        for value in state.values():
            _require_integers(value)
        return
    is_number = isinstance(state, (np.generic, numbers.Number)) and not isinstance(state, str)
    if is_number and not is_whole(state) and not isinstance(state, bool):
        raise TypeError(f"{shown(state)} is no integer")


class _Source:
    """The examples of one array, and the way to copy some of them.

    They are counted by axis 0 of `rows`, and its other axes stand in the order of memory, so that
    what lies together is copied together.
    """

    def __init__(self, array: NDArray[Any], axis: int) -> None:
        axis %= array.ndim
        order = sorted(range(array.ndim), key=lambda a: (a != axis, -abs(array.strides[a])))
        self.rows = array.transpose(order)
        self._back = sorted(range(array.ndim), key=order.__getitem__)
        self.turned = order != list(range(array.ndim))
        self._mapped = _is_mapped(array)
        self.in_pieces = self._lies_in_pieces()

    def _lies_in_pieces(self) -> bool:
        """Whether the core's way of copying an example, piece by piece, is the fast one."""
        piece = _core.bytes_in_one_piece(self.rows)
        return piece >= _PIECE or 0 < piece == self.rows.nbytes // len(self.rows)

    def prepare(self) -> None:
        """Lay the examples in rows where they are scattered over the memory."""
        rows = self.rows
        if self.in_pieces or self._mapped or rows.nbytes < _SMALL:
            return
        reach = [(n - 1) * abs(stride) for n, stride in zip(rows.shape, rows.strides, strict=True)]
        # Of a view that shows the same memory many times, a copy could be larger than the machine.
        repeats = rows.nbytes > sum(reach) + rows.itemsize
        scattered = sum(reach[1:]) > _SCATTERED * (rows.nbytes // len(rows))
        if scattered and not repeats and _core.bytes_in_one_piece(rows) > 0:
            self.rows = _core.copy_in_rows(rows)
        self.in_pieces = self._lies_in_pieces()  # also where this was interrupted the last time

    def copied(self, cut: slice) -> NDArray[Any]:
        """Return a copy of neighbouring examples, in the axes of the array."""
        return self.restored(self.rows[cut].copy(order="K"))

    def indexed(self, chosen: NDArray[np.int64]) -> NDArray[Any]:
        """Return a copy of the chosen examples, in the axes of the array, made by NumPy."""
        # Indexing rather than ndarray.take, which first copies all of an array that is not
        # C-contiguous: 150 ms instead of 0.03 ms for a batch of 64 out of 60000 × 784 in columns.
        return self.restored(self.rows[chosen])

    def restored(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Return a batch that was taken from `rows` in the axes of the array."""
        return batch.transpose(self._back) if self.turned else batch


def _is_mapped(array: NDArray[Any]) -> bool:
    """Whether the memory is a file's, as far as the chain of views tells."""
    owner: Any = array
    while owner is not None and not isinstance(owner, (np.memmap, mmap.mmap)):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner is not None


def _as_array(position: int, given: Any) -> NDArray[Any]:
    """Return `given` as a plain ndarray over the same memory, or say what it is instead."""
    problem = f"array {position} is {_named(given)}, expected a NumPy array"
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{problem} without a mask; fill it with .filled(value) first")
    protocols = ("__array_interface__", "__array_struct__", "__array__")
    # A NumPy scalar and bytes export memory too, but nobody means them as examples.
    scalar = isinstance(given, (bytes, np.generic))
    try:
        if not scalar and (any(hasattr(given, name) for name in protocols) or _has_buffer(given)):
            return np.asarray(given)
        if hasattr(given, "__dlpack__"):
            return np.from_dlpack(given)
    except Exception as error:  # another framework's own, of any kind
        raise TypeError(f"{problem}; reading its memory failed: {error}") from error
    if is_whole(given):
        mend = f"the batch size is a keyword, batch_size={shown(int(given))}"
    elif hasattr(given, "toarray"):
        mend = "make it dense with .toarray()"
    else:
        mend = "pass numpy.asarray(...) of it if it holds examples"
    raise TypeError(f"{problem} or an object that exports its memory as one; {mend}")


def _has_buffer(given: Any) -> bool:
    try:
        memoryview(given)
    except TypeError:
        return False
    return True


def _number_of_examples(arrays: list[NDArray[Any]], axis: int) -> int:
    """Return the m that all arrays share along `axis`."""
    for i, array in enumerate(arrays):
        if not -array.ndim <= axis < array.ndim:
            needed = shown(axis + 1 if axis >= 0 else -axis)
            wanted = f"(1, {array.size})" if axis == 1 else f"{needed}-D"
            mend = f"reshape it to {wanted}{_other_axis(arrays, axis)}"
            if array.ndim == 0:
                mend = "pass an array of examples"
            raise ValueError(
                f"array {i} has shape {array.shape}, which has no axis {shown(axis)}; {mend}"
            )
        m, first = array.shape[axis], arrays[0].shape[axis]
        if m != first:
            raise ValueError(
                f"array {i} has {m} examples along axis {axis} (shape {array.shape}), array 0 has "
                f"{first} (shape {arrays[0].shape}); give all the same number"
                f"{_other_axis(arrays, axis)}"
            )
        if m == 0:
            raise ValueError(
                f"array {i} has shape {array.shape}: no examples along axis {axis}, expected at "
                "least one; check how the data was loaded or sliced"
            )
    shared: int = arrays[0].shape[axis]
    return shared


def _other_axis(arrays: list[NDArray[Any]], axis: int) -> str:
    """Return the advice to take another axis, where there is one that all arrays agree on."""
    deep = min(array.ndim for array in arrays)
    agreed = [
        (lengths.pop(), other)
        for other in (*range(deep), *range(-deep, 0))
        if other != axis and len(lengths := {array.shape[other] for array in arrays}) == 1
    ]
    # Of several the longest: there are more examples than features, as a rule.
    m, other = max(agreed, default=(0, 0), key=operator.itemgetter(0))
    return f", or pass axis={other} if the examples are the {m} along that axis" if m > 1 else ""


def _looks_transposed(arrays: list[NDArray[Any]], batch_size: int) -> bool:
    """Whether examples in columns, m = 300 say, were most likely taken for a few in rows."""
    shapes = {array.shape[:2] if array.ndim == 2 else None for array in arrays}
    shape = shapes.pop()
    return not shapes and shape is not None and shape[0] <= batch_size and shape[0] < shape[1]


def _integer(name: str, value: Any, least: int | None = None) -> int:
    number = operator.index(value) if is_whole(value) else None
    if number is None or (least is not None and number < least):
        bound = "" if least is None else f" >= {least}"
        raise ValueError(f"{name} is {shown(value)}, expected an integer{bound}")
    return number


def _flag(name: str, value: Any) -> bool:
    # The truth of "False" is True: what is not a bool is more likely a mistake than a wish.
    boolean = isinstance(value, (bool, np.bool_))
    if not boolean:
        raise ValueError(f"{name} is {shown(value)}, expected True or False")
    return bool(value)


def _rank_and_ranks(shard: Any) -> tuple[int, int]:
    if shard is None:
        return 0, 1
    if isinstance(shard, (tuple, list)) and len(shard) == 2:
        rank, ranks = (_integer(f"shard[{i}]", part, least=i) for i, part in enumerate(shard))
        if rank < ranks:
            return rank, ranks
    raise ValueError(f"shard is {shown(shard)}, expected (rank, size) with 0 <= rank < size")


# Whatever else there is NumPy would walk through, and it crashes in a list that holds itself.
_SEEDS = (
    np.random.Generator,
    np.random.BitGenerator,
    np.random.RandomState,
    np.random.bit_generator.ISeedSequence,
)


def _is_seed(given: Any) -> bool:
    if isinstance(given, (list, tuple)):
        return all(map(is_whole, given))
    if isinstance(given, np.ndarray):
        return given.dtype.kind in "iu"
    return given is None or is_whole(given) or isinstance(given, _SEEDS)


def _generator(seed: Any) -> np.random.Generator:
    if _is_seed(seed):
        with contextlib.suppress(TypeError, ValueError):  # a negative one, for instance
            return np.random.default_rng(seed)
    raise ValueError(
        f"seed is {shown(seed)}, expected None, an integer >= 0, a list of such, a "
        "numpy.random.SeedSequence or a numpy.random.Generator"
    )


def _named(given: Any) -> str:
    return "None" if given is None else f"of type {type(given).__name__}"
