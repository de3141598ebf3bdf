"""Save and load a whole run: parameters, optimizers, batches, averages and plain values in one file.

Here lives what a part is, and that a load happens whole or not at all. The format is in archive.py,
the way to the disk in files.py, the thread that writes behind a training in background.py.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradstep import _core, archive, files, loading, tree
from gradstep.archive import Part
from gradstep.loading import Prepared
from gradstep.names import FixedAttributes
from gradstep.optimizer import Optimizer
from gradstep.structure import Structure

Array = NDArray[Any]

_PLAIN = (type(None), bool, int, float, str, np.generic)
# What `_kind` returns, in words.
_KINDS = {
    "arrays": "arrays",
    "mixed": "arrays and plain values",
    "plain": "a plain value",
    "state": "a state",
}


class Loaded(FixedAttributes, dict[str, Any]):
    """Parts of a checkpoint by name: those that needed nothing to load them into.

    These are plain values and trees that mix them with arrays, whether they were asked for or not,
    and what was asked for with None. Any other name is a KeyError that says how to get it.

    Attributes
    ----------
    missing : list of str
        With ``strict=False``, what was asked for and is not in the file or did not fit.
    unexpected : list of str
        With ``strict=False``, what the file has and nothing took.

    Examples
    --------
    >>> import os, tempfile
    >>> import gradstep as gs
    >>> path = os.path.join(tempfile.mkdtemp(), "run.ckpt")
    >>> gs.save(path, epoch=3)
    >>> loaded = gs.load(path)
    >>> isinstance(loaded, gs.Loaded), loaded["epoch"], loaded.missing
    (True, 3, [])
    """

    __slots__ = ("_left", "missing", "unexpected")

    def __init__(
        self, parts: Mapping[str, Any] | None = None, left: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(parts or {})
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self._left = dict(left or {})  # why other parts of the file are not here

    def __missing__(self, name: object) -> NoReturn:
        listed = ", ".join([*self, *self._left]) or "no parts"
        why = self._left.get(name) if isinstance(name, str) else None
        raise KeyError(why or f"the file has no part {name!r}; it has {listed}")


def save(path: files.StrPath, /, **parts: Any) -> None:
    """Save a run to one file, whole or not at all.

    Parameters
    ----------
    path : str, bytes or path
        The file, exactly there. What was there before is replaced when all is on the disk.
    **parts
        By names of your choice: objects with ``state_dict`` and ``load_state_dict``, such as
        optimizers, `MiniBatches` and `EWA`; arrays, alone or nested in lists, tuples and dicts,
        such as the parameters; plain values (None, bool, int, float, str, NumPy scalars, and lists,
        tuples and dicts of these), such as the number of the epoch; trees that mix arrays and plain
        values, such as ``opt.state_dict()`` or ``np.random.get_state()``.

    Raises
    ------
    TypeError, ValueError
        If there is no part, or one that cannot be kept; its place is named.
    OSError
        If the system refuses: a full disk, a folder that may not be written to, a path to what is
        no regular file, another save to the same path that is under way (BlockingIOError). The old
        file is as it was, and no other is left. One exception says so: the folder could not be
        flushed, and the new file is in place. Or what `save_in_background` to the same path has
        failed with, if nobody waited for it; this save has not been begun then.

    See Also
    --------
    load, inspect, save_in_background

    Notes
    -----
    The file is an .npz of NumPy's with a checksum; docs/checkpoints.md describes it. A save waits
    until one that this process has in the background to the same path is done.

    With a `gradstep.distributed.Sharded` among the parts, all of its ranks call this with the same
    names. Rank 0 writes its parts and the whole state; where it fails, all raise.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, gradstep as gs
    >>> params = {"W": np.ones((2, 3)), "b": np.zeros(3)}
    >>> opt = gs.Adam(params)
    >>> path = os.path.join(tempfile.mkdtemp(), "run.ckpt")
    >>> gs.save(path, params=params, opt=opt, epoch=3)
    >>> params["W"][:] = 7
    >>> gs.load(path, params=params, opt=opt)["epoch"]
    3
    >>> params["W"]
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """
    with together(parts, "save"):  # what one rank may meet alone, before anything is sent
        require_names(parts)
        files.settle(path)  # first, so that there are no two copies in memory
    require_names_alike(parts)
    with together(parts, "save"):
        packed = pack(parts)
        if packed is not None:
            files.write_whole(path, partial(archive.write, packed))


def load(path: files.StrPath, /, *, strict: bool = True, **parts: Any) -> Loaded:
    """Take over what `save` wrote: all of what is asked for, or nothing.

    Parameters
    ----------
    path : str, bytes or path
        The file.
    strict : bool, default True
        Raise unless every part that is asked for fits exactly. False loads what fits.
    **parts
        By the names that they were saved under: objects, whose ``load_state_dict`` is called or its
        like; arrays, which are filled in place and have the names, shapes and dtypes of the saved
        ones; or None for a part that is to be returned as it was saved, arrays and all. Any plain
        value may stand for one of the file, which is returned. Fewer than the file has is fine.

    Returns
    -------
    Loaded
        By name, the parts that were asked for with None, and every other part that needs nothing to
        load it into: plain values, and trees that mix them with arrays. With ``strict=False`` also
        what did not fit on either side.

    Raises
    ------
    ValueError
        If the file is damaged, is none of `save` or needs a newer version; or, in one error that
        lists them all, where parts do not fit. Nothing has changed.
    OSError
        If the system refuses to read the file.

    Notes
    -----
    The file is read as a whole and its checksum compared first. Reading takes as much memory as the
    file is large, and as much again as the arrays that are returned. Plain values take more than
    they do in the file: numbers in lists 3 to 9 times as much, small dicts 5 to 30 times. Whoever
    wrote the file, reading it takes at most 64 times its size.

    The arrays that are returned are new ones of the caller's own. A ``load_state_dict`` of your own
    gets windows on the file's bytes, which keep all of them alive; copy what you keep.

    Arrays that share one memory (tied weights) are filled where the file has equal values for them.

    With ``strict=False`` an optimizer takes over its `t` and hyperparameters also where the state
    of a parameter was not: bias correction then counts steps which that parameter has not seen.

    An `EWA` that an optimizer keeps is restored by it: load both, or the optimizer alone.

    With a `gradstep.distributed.Sharded` among the parts, all of its ranks call this and read the
    file, written by any number of ranks or by one process: all load it, or none. It has to be the
    same file for all, and a save of theirs to the same path in the background is waited for.

    Objects of your own are loaded first, one after another; should a later one raise, those before
    it get back what their ``state_dict`` returned. They must not step or change optimizers that are
    loaded with them: that is a RuntimeError.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, gradstep as gs
    >>> path = os.path.join(tempfile.mkdtemp(), "run.ckpt")
    >>> gs.save(path, params={"W": np.ones(3), "b": np.ones(1)}, epoch=3)
    >>> params = {"W": np.zeros(3), "b": np.zeros(2)}
    >>> loaded = gs.load(path, strict=False, params=params)
    >>> loaded, loaded.missing
    ({'epoch': 3}, ['params.b: float64(1,) in the file, float64(2,) here'])
    >>> params
    {'W': array([1., 1., 1.]), 'b': array([0., 0.])}
    """
    with together(parts, "load") as ranks:
        if ranks is not None:
            files.settle(path)  # on the rank that writes it, before any other looks what is there
    with together(parts, "load"):
        contents = archive.parse(files.read_whole(path), repr(files.text(path)))
    with together(parts, "load") as ranks:
        if ranks is not None and (first := ranks.told(contents.sha256, 0)) != contents.sha256:
            raise ValueError(
                f"{files.text(path)!r} has to be the same file on all ranks: its checksum is "
                f"{first[:16]}… on rank 0, {contents.sha256[:16]}… on rank {ranks.rank}"
            )
        plan = _Plan(strict, contents.parts)
        for name, part in parts.items():
            plan.add(name, part)
        plan.compare()
        if strict and plan.problems:
            listed = "".join(f"\n  {problem}" for problem in plan.problems)
            raise ValueError(f"{files.text(path)!r} does not fit, and nothing was loaded:{listed}")
        loaded = plan.loaded(parts)
    plan.commit(parts)  # last, as whatever fails after it would come too late
    return loaded


@contextlib.contextmanager
def together(parts: Mapping[str, Any], act: str) -> Iterator[Any]:
    """Inside, a rank may fail alone; at the end all raise where one does, if there are several.

    Those are yielded, or None where there are none.
    """
    ranks = _ranks_of(parts)
    if ranks is None:
        yield None
        return
    with ranks.act(act), ranks.agreed(act):
        yield ranks


def _ranks_of(parts: Mapping[str, Any]) -> Any:
    """Return who has the parts between them, if they are spread over ranks."""
    spread = [part._spread_over for part in parts.values() if isinstance(part, Optimizer)]
    found = list({id(ranks): ranks for ranks in spread if ranks is not None}.values())
    if len(found) > 1:
        raise ValueError(
            "parts are spread over different communicators; save and load those of each by themselves"
        )
    return found[0] if found else None


def require_names(parts: Mapping[str, Any]) -> None:
    """Raise ValueError where there are no parts, or one has a name that `load` could not ask for."""
    if not parts:
        raise ValueError("there is nothing to save; name parts: save(path, params=params, opt=opt)")
    for name in parts:
        if name == "strict" or not name.isidentifier():
            raise ValueError(f"a part cannot be called {name!r}, as load could not ask for it")


def require_names_alike(parts: Mapping[str, Any]) -> None:
    """Raise ValueError where parts that are spread over ranks have other names on another rank."""
    with together(parts, "save") as ranks:
        if ranks is not None and (named := ranks.told([*parts], 0)) != [*parts]:
            raise ValueError(
                f"parts must be named alike on all ranks: {named} on rank 0, {[*parts]} here"
            )


def pack(parts: Mapping[str, Any], copied: bool = False) -> archive.Packed | None:
    """Get parts ready to be written; None where another rank writes them.

    With `copied`, nothing of the caller's is looked at later.
    """
    from gradstep import __version__

    ranks = _ranks_of(parts)
    packed = {name: _part(name, part) for name, part in parts.items()}
    if ranks is not None and ranks.rank > 0:
        return None
    live = [name for name, part in parts.items() if not _prepares(part)]
    return archive.pack(packed, __version__, live if copied else ())


def _part(name: str, part: Any) -> Part:
    kind = _kind(part)
    if kind == "state":
        at_rank = getattr(part, "_state_at", None)  # of what is spread over ranks
        return Part(kind, part.state_dict() if at_rank is None else at_rank(0))
    if kind == "arrays":
        return _part_of_arrays(name, part)
    return Part("tree" if kind == "mixed" else kind, part)


def _part_of_arrays(name: str, part: Any) -> Part:
    """Keep arrays by their joined keys where these say it all, and else with their structure."""
    structure, arrays = _arrays(name, part)
    if isinstance(part, Mapping) and [*part] == [*arrays]:
        return Part("arrays", arrays)
    whole = structure.unflatten(arrays.values())
    try:
        tree.Encoder().encode(whole, name)
    except (TypeError, ValueError):  # because of a key or the depth: the joined keys remain
        return Part("arrays", arrays)
    return Part("tree", whole)


def _kind(part: Any) -> str:
    """Return what a part of the caller's, or a tree of a file, is: one of `_KINDS`."""
    if not isinstance(part, type) and all(
        callable(getattr(part, method, None)) for method in ("state_dict", "load_state_dict")
    ):
        return "state"
    arrays = {tree.is_array(leaf) for leaf in tree.leaves(part)}
    return "mixed" if len(arrays) > 1 else "arrays" if True in arrays else "plain"


def _prepares(part: Any) -> bool:
    """Whether a part can be checked before it is loaded: not where a subclass loads in its own way."""
    for kind in type(part).__mro__:
        if "_prepare_load" in vars(kind):
            return True
        if "state_dict" in vars(kind) or "load_state_dict" in vars(kind):
            return False
    return False


def _arrays(name: str, part: Any) -> tuple[Structure, dict[str, Array]]:
    """Return a structure of arrays, and its arrays by their joined keys."""
    try:
        structure = Structure(part)
    except (RecursionError, ValueError) as error:  # two arrays of one name, or without end
        raise ValueError(f"{name}: {error}") from error
    leaves = zip(structure.names, structure.flatten(part, name), strict=True)
    return structure, {key: _core.as_array(leaf, f"{name}.{key}") for key, leaf in leaves}


# The name of an array, the array, and what the file has for it.
_Fill: TypeAlias = tuple[str, Array, Array]


class _Plan:
    """All that a load will do, once all of it is known to fit."""

    def __init__(self, strict: bool, saved: Mapping[str, Part]) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self._strict = strict
        self._saved = saved
        self._kinds = {
            name: _kind(part.tree) if part.kind == "tree" else part.kind
            for name, part in saved.items()
        }
        self._prepared: list[Prepared] = []
        self._fills: list[_Fill] = []
        self._objects: dict[int, str] = {}
        self._follows: list[tuple[str, object]] = []
        self._foreign: list[tuple[str, Any, Any]] = []

    @property
    def problems(self) -> list[str]:
        return self.missing + self.unexpected

    def add(self, name: str, part: Any) -> None:
        """Plan to load one part, and note what of it does not fit."""
        if name not in self._saved:
            listed = ", ".join(self._saved) or "no parts"
            self.missing.append(f"{name}: not in the file, which has {listed}")
            return
        here, there, saved = _kind(part), self._kinds[name], self._saved[name].tree
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
                if not isinstance(leaf, _PLAIN)
            ]
        else:
            problem = f"{_KINDS[there]} in the file, {_KINDS[here]} here"
            if here == "mixed":
                problem = "load cannot fill a part that mixes arrays and plain values"
            advice = "" if there == "plain" else f"; {name}=None returns it as it was saved"
            self.missing.append(f"{name}: {problem}{advice}")

    def _prepare_object(self, name: str, part: Any, state: Any) -> None:
        if self._objects.setdefault(id(part), name) != name:
            first = self._objects[id(part)]
            self.missing.append(f"{name}: the same object as {first}; name it once")
        elif _prepares(part):
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
                f"{name}: {_KINDS[self._kinds[name]]} in the file, not asked for here"
                for name in left
                if name not in parts
            ]
        return loaded

    def compare(self) -> None:
        """Note what does not fit between the parts, once there are all."""
        shared = loading.overlapping([target for _, target, _ in self._fills])
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
        targets = _arrays(name, part)[1]
        try:
            saved = _arrays(name, there)[1]
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
            ranks = _ranks_of(parts)
            # Others have done it, or will.
            with contextlib.nullcontext() if ranks is None else ranks.act("load", must_end=True):
                loading.commit(self._prepared, done)
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
    if loading.repeats(target):
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
