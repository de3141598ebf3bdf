"""Gradients of several micro-batches, added up in place before one step.

Adding is a step of the core like any other, so the core checks it and shares it among threads. The step
by the mean is the optimizer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import gradstep._core as _core
import gradstep.checks as checks
import gradstep.transaction as transaction
from gradstep.names import FixedAttributes
from gradstep.optimizers.base import Optimizer
from gradstep.optimizers.layout import expected

# s := s + g, as ascent with a rate of 1.
_ADDING = [("lr", "lr", 1.0), ("maximize", "maximize", True)]


class Accumulator(FixedAttributes):
    """One step of an optimizer by the mean gradient of several micro-batches.

    Parameters
    ----------
    optimizer : Optimizer
        Steps with every `every`-th call of `step`, and with `flush`.
    every : int
        How many micro-batches make a batch, at least 1.

    Raises
    ------
    TypeError, ValueError
        If `optimizer` is not an optimizer of this package, or `every` is not such a number.

    Notes
    -----
    Sums have the dtypes of the parameters, take as much memory, and are added to in place. If one
    gradient is not finite, neither is the mean, and the optimizer's ``nonfinite`` decides.

    Over `distributed.Sharded`, `step` takes no ``count``: if the ranks' parts of a micro-batch
    differ in length, weight them by `scale`, which may differ between ranks here.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.zeros(1)
    >>> steps = gs.Accumulator(gs.SGD(w, lr=1.0), every=2)
    >>> steps.step(np.array([1.0])); w
    array([0.])
    >>> steps.step(np.array([3.0])); w
    array([-2.])

    If `every` does not divide the micro-batches of an epoch, `flush` steps by the rest:

    >>> batches = gs.MiniBatches(np.ones((10, 1)), batch_size=2, seed=0)  # 5 in an epoch
    >>> for epoch in range(2):
    ...     for xb in batches:
    ...         steps.step(xb.mean(axis=0))
    ...     stepped = steps.flush()
    >>> steps.t, w
    (7, array([-8.]))
    """

    def __init__(self, optimizer: Optimizer, every: int) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"optimizer must be an optimizer of this package, got {type(optimizer).__name__}"
            )
        self._optimizer = optimizer
        self._every = checks.count("every", every, least=1)
        layout = optimizer._layout
        flat = [
            leaf
            for structure, tree in zip(layout.structures, layout.trees(), strict=True)
            for leaf in structure.flatten(tree)
        ]
        self._names = tuple(name for structure in layout.structures for name in structure.names)
        self._sums = [
            np.zeros_like(_core.as_array(w, f"parameter {name!r}"), subok=False)
            for name, w in zip(self._names, flat, strict=True)
        ]
        sums = iter(self._sums)
        trees = [structure.unflatten(sums) for structure in layout.structures]
        self._gradients = trees if layout.listed else trees[0]
        self._layout = layout
        # Holds the count and, during the step of a complete batch, how many steps the optimizer had
        # taken or skipped before.
        self._adder = _core.new_stepper()
        addition = self._adder.prepare_addition(
            [("", "sgd", _ADDING, None)], [(0, self._names, self._sums)]
        )
        self._adder.add(addition, *expected(layout), None)

    @property
    def every(self) -> int:
        """How many micro-batches make a batch."""
        return self._every

    @property
    def count(self) -> int:
        """How many gradients have been added up since the last step."""
        return self._adder.t

    @property
    def t(self) -> int:
        """The number of steps that the optimizer has taken."""
        return self._optimizer.t

    @property
    def skipped(self) -> int:
        """The number of steps that the optimizer has skipped."""
        return self._optimizer.skipped

    @property
    def nonfinite(self) -> str:
        """What the optimizer does if gradients are not finite."""
        return self._optimizer.nonfinite

    def _done(self) -> int:
        return self._optimizer.t + self._optimizer.skipped

    def step(self, grads: Any, scale: float = 1.0) -> None:
        """Add the gradients of a micro-batch, times `scale`; take a step if the batch is complete.

        Parameters
        ----------
        grads
            As in the optimizer's step.
        scale : float, default 1.0
            Multiplies these gradients, for example by one over the loss scale.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in the optimizer's step; nothing has been added.
        FloatingPointError
            By the step, with the optimizer's ``nonfinite="raise"``; the batch is left out.
        """
        self._finish()  # if an interruption came between adding and stepping
        self._require_layout()
        if self._adder.t == self._every - 1:
            # Raises now whatever would raise in the step, before the last gradients are added.
            self._optimizer._stepper.require_ready()
        self._adder.step(grads, scale)
        self._finish()

    def flush(self) -> bool:
        """Take a step by the mean of the micro-batches so far, fewer than `every`.

        Returns
        -------
        bool
            Whether a step was taken: False if there were no micro-batches, and if the optimizer
            skipped the step with ``nonfinite="skip"`` and the batch is left out.

        Raises
        ------
        ValueError, RuntimeError
            As in the optimizer's step; the sums stay.
        FloatingPointError
            By the step, with ``nonfinite="raise"``; the batch is left out.

        Notes
        -----
        Collective, if the optimizer is spread over ranks. A `LossScaler` around this accumulator does
        not see the step, and moves its scale with the next one.
        """
        t = self._optimizer.t
        self._finish()
        if self._adder.t:
            self._require_layout()
            self._finish(complete=True)
        return self._optimizer.t > t

    def _require_layout(self) -> None:
        if self._optimizer._layout is not self._layout:
            raise ValueError(
                "the optimizer must have its groups from before, got others; make a new Accumulator "
                "over it"
            )

    def _finish(self, complete: bool = False) -> None:
        """Take the step of a complete batch, unless it has been taken or skipped, and begin anew.

        A batch is complete with `every` micro-batches, or if the caller says so. If the optimizer
        raises and has not stepped, the batch stays as it was.
        """
        count = self._adder.t
        if self._adder.given(0) is None:
            if not (complete or count == self._every):
                return
            _core.commit([self._replacement(count, self._done(), None)])
        try:
            if self._adder.given(0) == self._done():
                self._optimizer.step(self._gradients, 1.0 / count)
        finally:
            if self._adder.given(0) != self._done():  # taken or skipped
                zeros = [np.broadcast_to(np.zeros((), s.dtype), s.shape) for s in self._sums]
                _core.commit([self._replacement(0, None, zeros)])
            else:
                _core.commit([self._replacement(count, None, None)])

    def _replacement(
        self, count: int, done: int | None, sums: list[Any] | None
    ) -> _core.PreparedUpdate:
        given = self._adder.given(0)
        change: _core.Change = (0, "sgd", _ADDING, given, done, 0, {})
        return self._adder.prepare_change([change], count, None, None, None, sums)

    def __repr__(self) -> str:
        return f"Accumulator({self._optimizer!r}, every={self._every})"

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot of the count and the sums, without the optimizer, which has its own.

        Raises
        ------
        ValueError
            Between two steps of an optimizer that is spread over ranks, as their sums differ.
        """
        self._finish()
        if self.count and self._optimizer._communicator is not None:
            raise ValueError(
                f"count must be 0 to save over ranks, got {self.count} of {self._every}: "
                "micro-batches are added up, others on each rank; save after the step"
            )
        return {
            "every": self._every,
            "count": self.count,
            "sums": {
                name: array.copy(order="K")
                for name, array in zip(self._names, self._sums, strict=True)
            },
        }

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. All or nothing.

        Raises
        ------
        TypeError, ValueError
            If it is not the state of an accumulator over such parameters; nothing has changed.
        """
        transaction.take_over(self._prepare_load(d, True))

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> transaction.Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        keys, fix = ("every", "count", "sums"), "load what Accumulator.state_dict() returned"
        d = checks.record("the state", state, keys, fix)
        if checks.count("every", d["every"], least=1) != self._every:
            raise ValueError(
                f"every of the state must be {self._every}, as here, got {d['every']}; make this "
                "accumulator with every of the saved one"
            )
        count = checks.count("count", d["count"], below=self._every)
        saved = checks.record("sums of the state", d["sums"], self._names)
        sums = [_core.as_array(saved[name], f"the sum of {name!r}") for name in self._names]
        return transaction.Prepared([self._replacement(count, None, sums)])
