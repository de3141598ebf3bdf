"""How far an epoch has come, and the iterator that hands out its batches.

Which examples a batch has, and what of the position is saved, is in minibatches.py.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any, NamedTuple


class Progress:
    """How far an epoch has come. Its iterator writes this, and MiniBatches reads it.

    The iterator of an earlier epoch goes on writing its own `Progress`, which is not read any more.
    """

    __slots__ = ("iterator", "position")

    def __init__(self, position: int) -> None:
        # Batches handed out.
        self.position = position
        # Tells whether the iterator is still held. None before there is one, and after it is closed.
        self.iterator: weakref.ref[EpochIterator] | None = None


class EpochPosition(NamedTuple):
    """Where a run is. Replaced as a whole: an interruption finds one position or the next."""

    # Epochs that were over when this one began.
    epoch: int = 0
    # Batches of the epoch that were handed out, and the random state that its order was drawn from,
    # which is enough to draw the order again. Between epochs: 0 and None.
    position: int = 0
    order_from: Mapping[str, Any] | None = None
    # How far the iterator of the epoch has come. None between epochs, and after load_state_dict
    # brought an epoch that the next iter() finishes.
    progress: Progress | None = None

    def now(self, batches: int) -> EpochPosition:
        """Return the position at this moment, without `progress`: as a state has it."""
        if self.progress is None:
            return self
        # The iterator is held before the position is read. Otherwise one that hands out its last
        # batch in another thread and is dropped in between would look broken off.
        reference = self.progress.iterator
        iterator = None if reference is None else reference()
        position = self.progress.position
        if position == batches:
            return EpochPosition(self.epoch + 1)
        if iterator is None:  # broken off
            return EpochPosition(self.epoch)
        return EpochPosition(self.epoch, position, self.order_from)


class EpochIterator(map):  # type: ignore[type-arg]  # not at runtime, before Python 3.11
    """The iterator of one epoch.

    Its ``next()`` is that of map, in C. The frame of a `__next__` in Python would hold this object,
    and a traceback holds its frames: while an interruption is handled, the epoch that it broke off
    would look as if it went on.
    """

    _progress: Progress

    def __new__(  # noqa: PYI034 - typing has Self from Python 3.11 on
        cls, take: Callable[[Progress], Any], progress: Progress
    ) -> EpochIterator:
        """Take an epoch's batches one by one, from where `progress` stands."""
        self = super().__new__(cls, take, repeat(progress))
        self._progress = progress
        progress.iterator = weakref.ref(self)
        return self

    def close(self) -> None:
        """Break the epoch off, as dropping the last reference to this iterator does."""
        self._progress.iterator = None
