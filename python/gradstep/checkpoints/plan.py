"""The plan of a load: every part is compared with the file first, then all are taken over, or none.

Reading the file is in archive.py. How objects prepare and commit is in gradstep/transaction.py.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import gradstep._core as _core
import gradstep.checkpoints.ranks as ranks
import gradstep.checkpoints.values as values
import gradstep.transaction as transaction
from gradstep._typing import Array
from gradstep.checkpoints.archive import Part
from gradstep.checkpoints.loaded import Loaded, why_not_returned, with_own_arrays
from gradstep.checkpoints.parts import KINDS, PLAIN, arrays_of, kind_of, prepares
from gradstep.transaction import Prepared


class _ArrayFill(NamedTuple):
    """An array of the caller's that will be filled from the file."""

    name: str
    target: Array
    source: Array


class LoadPlan:
    """All that a load will do, after all of it has been found to fit.

    `add` each part, `compare` them, look at `problems`, make the result with `loaded`, and `commit`.
    """

    def __init__(self, strict: bool, saved: Mapping[str, Part]) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self._strict = strict
        self._saved = saved
        self._kinds = {
            name: kind_of(part.value) if part.kind == "tree" else part.kind
            for name, part in saved.items()
        }
        self._prepared: list[Prepared] = []
        self._fills: list[_ArrayFill] = []
        self._objects: dict[int, str] = {}  # the names of objects, by their identity
        self._follows: list[tuple[str, object]] = []  # averages that an optimizer restores
        self._foreign: list[tuple[str, Any, Any]] = []  # objects that cannot prepare, and states

    @property
    def problems(self) -> list[str]:
        """All that does not fit, in words."""
        return self.missing + self.unexpected

    def add(self, name: str, part: Any) -> None:
        """Plan to load one part, and note everything in it that does not fit."""
        if name not in self._saved:
            listed = ", ".join(self._saved) or "no parts"
            self.missing.append(f"{name}: not in the file, which has {listed}")
            return
        here, there, saved = kind_of(part), self._kinds[name], self._saved[name].value
        if part is None:
            pass  # `loaded` returns it
        elif here == there == "arrays":
            self._compare_arrays(name, part, saved)
        elif here == "state" and (there == "state" or isinstance(saved, dict)):
            self._prepare_object(name, part, saved)
        elif here == "plain" and there in ("plain", "mixed"):  # `loaded` returns the file's value
            self.missing += [
                f"{name}: nothing can be loaded into an object of type {type(leaf).__name__}; "
                f"{name}=None returns what was saved"
                for leaf in values.leaves(part)
                if not isinstance(leaf, PLAIN)
            ]
        else:
            problem = f"{KINDS[there]} in the file, {KINDS[here]} here"
            if here == "mixed":
                problem = "load cannot fill a part that mixes arrays and plain values"
            advice = "" if there == "plain" else f"; {name}=None returns it as it was saved"
            self.missing.append(f"{name}: {problem}{advice}")

    def _prepare_object(self, name: str, part: Any, state: Any) -> None:
        if self._objects.setdefault(id(part), name) != name:
            first = self._objects[id(part)]
            self.missing.append(f"{name}: the same object as {first}; name it once")
        elif prepares(part):
            try:
                self._take(name, part._prepare_load(state, self._strict))
            except (TypeError, ValueError) as error:
                self.missing.append(f"{name}: {error}")
        else:
            self._foreign.append((name, part, state))

    def loaded(self, parts: Mapping[str, Any]) -> Loaded:
        """Return what `load` returns, given `parts`."""
        found: dict[str, Any] = {}
        left: dict[str, str] = {}
        taken = {*self._objects.values()}
        for name, saved in self._saved.items():
            kind, given = self._kinds[name], parts.get(name) is not None
            asked = name in parts and not given
            if asked or (kind in ("plain", "mixed") and name not in taken):
                found[name] = saved.value if kind == "plain" else with_own_arrays(saved.value)
            else:
                left[name] = why_not_returned(name, kind, given)
        loaded = Loaded(found, left)
        if not self._strict:
            loaded.missing, loaded.unexpected = self.missing, self.unexpected
            loaded.unexpected += [
                f"{name}: {KINDS[self._kinds[name]]} in the file, not asked for here"
                for name in left
                if name not in parts
            ]
        return loaded

    def compare(self) -> None:
        """Note what does not fit between the parts, after all have been added."""
        shared = _core.overlapping([fill.target for fill in self._fills])
        for late, early in sorted(shared.items()):
            problem = _tied_problem(self._fills[late], self._fills[early])
            if problem:
                self.missing.append(f"{self._fills[late].name}: {problem}")
        apart = [fill for i, fill in enumerate(self._fills) if i not in shared]
        self._prepared.append(Prepared(fills=[(fill.target, fill.source) for fill in apart]))
        restored = {id(thing) for prepared in self._prepared for thing in prepared.restores}
        self.missing += [
            f"{name}: an optimizer keeps this average, and restores it; load that optimizer with it"
            for name, thing in self._follows
            if id(thing) not in restored
        ]

    def _compare_arrays(self, name: str, part: Any, there: Any) -> None:
        targets = arrays_of(name, part)[1]
        try:
            saved = arrays_of(name, there)[1]
        except ValueError as error:  # keys of a forged file that are the same when joined
            self.missing.append(str(error))
            return
        for key, target in targets.items():
            problem = _problem(target, saved.get(key))
            if problem:
                self.missing.append(f"{name}.{key}: {problem}")
            else:
                # A plain array: a subclass may have Python code to set items.
                self._fills.append(_ArrayFill(f"{name}.{key}", np.asarray(target), saved[key]))
        self.unexpected += [
            f"{name}.{key}: {_shown(array)} in the file, not here"
            for key, array in saved.items()
            if key not in targets
        ]

    def _take(self, name: str, prepared: Prepared) -> None:
        self._prepared.append(prepared)
        self._follows += [(name, thing) for thing in prepared.follows]
        self.missing += [f"{name}: {entry}" for entry in prepared.missing]
        self.unexpected += [f"{name}: {entry}" for entry in prepared.unexpected]

    def commit(self, parts: Mapping[str, Any]) -> None:
        """Do all of it, or nothing; on all ranks, if there are several."""
        undo: list[Callable[[], object]] = []
        done = [False]
        try:
            with ranks.agreement(parts, "load"):
                for prepared in self._prepared:
                    for warning in prepared.warnings:
                        warnings.warn(warning, stacklevel=3)  # the line that calls load
                for name, part, state in self._foreign:
                    # A copy, as the object may go on with the state that it returns.
                    undo.append(partial(part.load_state_dict, copy.deepcopy(part.state_dict())))
                    try:
                        part.load_state_dict(state)
                    except (TypeError, ValueError, LookupError) as error:
                        undo[-1]()  # it may have taken half
                        undo.pop()
                        self._refuse(name, error)
                for prepared in self._prepared:
                    for bits, _ in prepared.random:
                        undo.append(partial(setattr, bits, "state", bits.state))
            with ranks.after_agreement(parts, "load"):
                transaction.commit(self._prepared, done)
        except BaseException:
            if not done[0]:
                for restore in reversed(undo):
                    restore()
            raise

    def _refuse(self, name: str, error: Exception) -> None:
        if self._strict:
            raise ValueError(f"{name} does not fit, and nothing was loaded: {error}") from error
        self.missing.append(f"{name}: {error}")


def _problem(target: Array, saved: Array | None) -> str | None:
    """Return why one array cannot be filled from another."""
    if saved is None:
        return f"not in the file, {_shown(target)} here"
    if (saved.shape, saved.dtype) != (target.shape, target.dtype):
        return f"{_shown(saved)} in the file, {_shown(target)} here"
    if not target.flags.writeable:
        return "read-only here"
    if _core.repeats_elements(target):
        return "elements of it share memory here, so it cannot hold what is in the file"
    return None


def _tied_problem(late: _ArrayFill, early: _ArrayFill) -> str | None:
    """Return why one of two targets that share memory cannot be filled after the other."""
    (_, target, saved), (name, first, first_saved) = late, early
    # With axes in the order of memory, so that W and W.T are the same.
    target, saved = _in_order(target, target, saved)
    first, first_saved = _in_order(first, first, first_saved)
    if _extent(target) != _extent(first):
        return f"shares memory with {name} here, so only one of them can be filled"
    pieces = np.nditer([saved, first_saved], ["external_loop", "buffered", "zerosize_ok"])
    if all(one.tobytes() == other.tobytes() for one, other in pieces):
        return None
    return f"the same memory as {name} here, and the file has other values for it"


def _in_order(like: Array, *arrays: Array) -> list[Array]:
    """Return arrays with their axes in the order in which those of `like` lie in memory."""
    axes = sorted(range(like.ndim), key=lambda axis: -abs(like.strides[axis]))
    return [array.transpose(axes) for array in arrays]


def _extent(array: Array) -> tuple[object, ...]:
    return array.ctypes.data, array.shape, array.strides, array.dtype


def _shown(array: Array) -> str:
    return f"{array.dtype}{array.shape}"
