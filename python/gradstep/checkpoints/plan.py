"""What a load will do: every part is compared first, then all are taken over at once, or none."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np

import gradstep._core as _core
import gradstep.checkpoints.values as tree
import gradstep.transaction as transaction
from gradstep._typing import Array
from gradstep.checkpoints.archive import Part
from gradstep.checkpoints.loaded import Loaded
from gradstep.checkpoints.parts import (
    KINDS,
    PLAIN,
    arrays_of,
    kind_of,
    prepares,
    ranks_of,
    together,
)
from gradstep.transaction import Prepared

# The name of an array, the array, and what the file has for it.
_Fill: TypeAlias = tuple[str, Array, Array]


class LoadPlan:
    """All that a load will do, once all of it is known to fit."""

    def __init__(self, strict: bool, saved: Mapping[str, Part]) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self._strict = strict
        self._saved = saved
        self._kinds = {
            name: kind_of(part.tree) if part.kind == "tree" else part.kind
            for name, part in saved.items()
        }
        self._prepared: list[Prepared] = []
        self._fills: list[_Fill] = []
        self._objects: dict[int, str] = {}
        self._follows: list[tuple[str, object]] = []
        self._foreign: list[tuple[str, Any, Any]] = []

    @property
    def problems(self) -> list[str]:
        """All that does not fit, in words."""
        return self.missing + self.unexpected

    def add(self, name: str, part: Any) -> None:
        """Plan to load one part, and note what of it does not fit."""
        if name not in self._saved:
            listed = ", ".join(self._saved) or "no parts"
            self.missing.append(f"{name}: not in the file, which has {listed}")
            return
        here, there, saved = kind_of(part), self._kinds[name], self._saved[name].tree
        if part is None:
            pass  # it is returned
        elif here == there == "arrays":
            self._compare_arrays(name, part, saved)
        elif here == "state" and (there == "state" or isinstance(saved, dict)):
            self._prepare_object(name, part, saved)
        elif here == "plain" and there in ("plain", "mixed"):  # it stands for what is returned
            self.missing += [
                f"{name}: nothing can be loaded into an object of type {type(leaf).__name__}; "
                f"{name}=None returns what was saved"
                for leaf in tree.leaves(part)
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
                found[name] = saved.tree if kind == "plain" else _with_own_arrays(saved.tree)
            else:
                left[name] = _why_not_returned(name, kind, given)
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
        """Note what does not fit between the parts, once there are all."""
        shared = _core.overlapping([target for _, target, _ in self._fills])
        for late, early in sorted(shared.items()):
            problem = _tied_problem(self._fills[late], self._fills[early])
            if problem:
                self.missing.append(f"{self._fills[late][0]}: {problem}")
        kept = [fill for i, (_, *fill) in enumerate(self._fills) if i not in shared]
        self._prepared.append(Prepared(fills=[(target, source) for target, source in kept]))
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
        except ValueError as error:  # a forged file's keys are one when joined
            self.missing.append(str(error))
            return
        for key, target in targets.items():
            problem = _problem(target, saved.get(key))
            if problem:
                self.missing.append(f"{name}.{key}: {problem}")
            else:
                # A plain array: a subclass may have Python code to set items.
                self._fills.append((f"{name}.{key}", np.asarray(target), saved[key]))
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
        """Do it all, or nothing; on all ranks, where there are several."""
        undo: list[Callable[[], object]] = []
        done = [False]
        try:
            with together(parts, "load"):
                for prepared in self._prepared:
                    for warning in prepared.warnings:
                        warnings.warn(warning, stacklevel=3)  # whoever calls load
                for name, part, state in self._foreign:
                    # A copy, as it may be what the object itself goes on with.
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
            ranks = ranks_of(parts)
            # Others have done it, or will.
            alone = contextlib.nullcontext()
            with alone if ranks is None else ranks.collective("load", must_succeed=True):
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


def _tied_problem(late: _Fill, early: _Fill) -> str | None:
    """Return why one of two targets that share memory cannot be filled after the other."""
    (_, target, saved), (name, first, first_saved) = late, early
    # In the order of memory, so that W and W.T are the same.
    target, saved = _in_order(target, target, saved)
    first, first_saved = _in_order(first, first, first_saved)
    if _place(target) != _place(first):
        return f"shares memory with {name} here, so only one of them can be filled"
    pieces = np.nditer([saved, first_saved], ["external_loop", "buffered", "zerosize_ok"])
    if all(one.tobytes() == other.tobytes() for one, other in pieces):
        return None
    return f"the same memory as {name} here, and the file has other values for it"


def _in_order(like: Array, *arrays: Array) -> list[Array]:
    """Return arrays with their axes in the order in which those of `like` lie in memory."""
    axes = sorted(range(like.ndim), key=lambda axis: -abs(like.strides[axis]))
    return [array.transpose(axes) for array in arrays]


def _place(array: Array) -> tuple[object, ...]:
    return array.ctypes.data, array.shape, array.strides, array.dtype


def _with_own_arrays(value: Any) -> Any:
    """Return a tree with copies of its arrays; its lists and dicts are changed."""
    if isinstance(value, np.ndarray):
        return value.copy(order="K")
    if isinstance(value, tuple):
        return tuple(map(_with_own_arrays, value))
    places = enumerate(value) if isinstance(value, list) else ()
    for key, child in value.items() if isinstance(value, dict) else places:
        value[key] = _with_own_arrays(child)
    return value


def _why_not_returned(name: str, kind: str, given: bool) -> str:
    """Return why `load` did not return a part, and how to get it."""
    if given:
        return (
            f"load was given what {name} goes into; gs.load(path, {name}=None) returns it instead"
        )
    if kind == "arrays":
        return (
            f"{name} holds arrays, which load fills in place: gs.load(path, {name}={name}), or "
            f"gs.load(path, {name}=None) to get new arrays"
        )
    return (
        f"{name} is the state of an object, which load takes over: gs.load(path, {name}={name}), or "
        f"gs.load(path, {name}=None) to get the state itself"
    )


def _shown(array: Array) -> str:
    return f"{array.dtype}{array.shape}"
