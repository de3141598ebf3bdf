"""`save` and `load`."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradstep.checkpoints.archive as archive
import gradstep.checkpoints.atomic_file as atomic_file
from gradstep.checkpoints.loaded import Loaded
from gradstep.checkpoints.parts import pack, require_names, require_names_alike, together
from gradstep.checkpoints.plan import LoadPlan


def save(path: atomic_file.StrPath, /, **parts: Any) -> None:
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
        atomic_file.settle(path)  # first, so that there are no two copies in memory
    require_names_alike(parts)
    with together(parts, "save"):
        packed = pack(parts)
        if packed is not None:
            atomic_file.write_whole(path, partial(archive.write, packed))


def load(path: atomic_file.StrPath, /, *, strict: bool = True, **parts: Any) -> Loaded:
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
            atomic_file.settle(
                path
            )  # on the rank that writes it, before any other looks what is there
    with together(parts, "load"):
        contents = archive.parse(atomic_file.read_whole(path), repr(atomic_file.text(path)))
    with together(parts, "load") as ranks:
        if ranks is not None and (first := ranks.broadcast(contents.sha256, 0)) != contents.sha256:
            raise ValueError(
                f"{atomic_file.text(path)!r} has to be the same file on all ranks: its checksum is "
                f"{first[:16]}… on rank 0, {contents.sha256[:16]}… on rank {ranks.rank}"
            )
        plan = LoadPlan(strict, contents.parts)
        for name, part in parts.items():
            plan.add(name, part)
        plan.compare()
        if strict and plan.problems:
            listed = "".join(f"\n  {problem}" for problem in plan.problems)
            raise ValueError(
                f"{atomic_file.text(path)!r} does not fit, and nothing was loaded:{listed}"
            )
        loaded = plan.loaded(parts)
    plan.commit(parts)  # last, as whatever fails after it would come too late
    return loaded
