"""`save` and `load`: the order in which everything happens. Each act is in a file of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradstep.checkpoints.archive as archive
import gradstep.checkpoints.atomic_file as atomic_file
import gradstep.checkpoints.ranks as ranks
from gradstep.checkpoints.background import wait_for_save
from gradstep.checkpoints.loaded import Loaded
from gradstep.checkpoints.parts import pack, require_names
from gradstep.checkpoints.plan import LoadPlan


def save(path: atomic_file.StrPath, /, **parts: Any) -> None:
    """Save a run to one file, whole or not at all.

    Parameters
    ----------
    path : str, bytes or path
        The file, exactly there. An old file is replaced when all of the new one is on the disk.
    **parts
        By names of your choice: objects with ``state_dict`` and ``load_state_dict``, such as
        optimizers, `MiniBatches` and `EWA`; arrays, alone or nested in lists, tuples and dicts,
        such as the parameters; plain values (None, bool, int, float, str, NumPy scalars, and lists,
        tuples and dicts of these), such as the number of the epoch; trees that mix arrays and plain
        values, such as ``opt.state_dict()`` or ``np.random.get_state()``.

    Raises
    ------
    TypeError, ValueError
        If there is no part, or one that cannot be saved; the error names the place in it.
    OSError
        If the system refuses: a full disk, a folder without permission to write, a path that is not
        a regular file, another save to the same path that has not ended (BlockingIOError). The old
        file is as it was, and no other is left. In one case the message says that the new file is
        in place: if its folder could not be flushed.

        Also the error of an earlier `save_in_background` to the same path, if it was not waited
        for. This save has not begun then.

    See Also
    --------
    load, inspect, save_in_background

    Notes
    -----
    The file is an .npz of NumPy's with a checksum; docs/checkpoints.md describes it. If this process
    is saving to the same path in the background, this waits until that is done.

    With a `gradstep.distributed.Sharded` among the parts, all of its ranks call this with the same
    names. Rank 0 writes its parts and the whole state; if it fails, all raise.

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
    with ranks.agreement(parts, "save"):
        require_names(parts)
        wait_for_save(path)  # first, so that there are not two copies in memory
    ranks.require_same_names(parts)
    with ranks.agreement(parts, "save"):
        packed = pack(parts)
        if packed is not None:
            atomic_file.write_whole(path, partial(archive.write, packed))


def load(path: atomic_file.StrPath, /, *, strict: bool = True, **parts: Any) -> Loaded:
    """Take over a file of `save`: all parts that are asked for, or none.

    Parameters
    ----------
    path : str, bytes or path
        The file.
    strict : bool, default True
        Raise unless every part that is asked for fits exactly. False loads the parts that fit.
    **parts
        By the names that they were saved under: objects, which take over their saved state; arrays,
        which are filled in place and have the names, shapes and dtypes of the saved ones; or None
        for a part that is returned as it was saved, with its arrays. Any plain value stands for a
        plain value of the file, which is returned. The file may have more parts.

    Returns
    -------
    Loaded
        By name, the parts that were asked for with None, all plain values, and all trees that mix
        them with arrays. With ``strict=False`` it also lists what did not fit on either side.

    Raises
    ------
    ValueError
        If the file is damaged, is not a checkpoint or needs a newer version; or, in one error that
        lists them all, if parts do not fit. Nothing has changed.
    OSError
        If the system refuses to read the file.

    Notes
    -----
    The file is read as a whole and its checksum compared first. Reading takes as much memory as the
    file is large, and as much again as the returned arrays. Plain values take more memory than in
    the file: numbers in lists 3 to 9 times as much, small dicts 5 to 30 times. Even a forged file
    takes at most 64 times its size.

    The returned arrays are new ones, which belong to the caller. A ``load_state_dict`` of your own
    gets windows on the file's bytes, which keep all of the file in memory; copy what you keep.

    Arrays that share one memory (tied weights) are filled if the file has equal values for them.

    With ``strict=False`` an optimizer takes over its `t` and hyperparameters even if the state of a
    parameter does not fit: bias correction then counts steps that this parameter has not seen.

    An optimizer restores the `EWA` that it keeps: load both, or the optimizer alone.

    With a `gradstep.distributed.Sharded` among the parts, all of its ranks call this and read the
    file: all load it, or none. Any number of ranks, or one process, may have written it. It has to
    be the same file for all. If they are saving to the same path in the background, this waits.

    Objects of your own are loaded first, one after another. If a later one raises, those before it
    get back what their ``state_dict`` returned. They must not step or change optimizers that are
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
    with ranks.agreement(parts, "load"):
        name = repr(atomic_file.text(path))
        if ranks.ranks_of(parts) is not None:
            wait_for_save(path)  # on the rank that writes, before any other rank reads
    with ranks.agreement(parts, "load"):
        contents = archive.parse(atomic_file.read_whole(path), name)
    with ranks.agreement(parts, "load"):
        ranks.require_same_file(parts, name, contents.sha256)
        plan = LoadPlan(strict, contents.parts)
        for part_name, part in parts.items():
            plan.add(part_name, part)
        plan.compare()
        if strict and plan.problems:
            listed = "".join(f"\n  {problem}" for problem in plan.problems)
            raise ValueError(f"{name} does not fit, and nothing was loaded:{listed}")
        loaded = plan.loaded(parts)
    plan.commit(parts)  # last, as an error after it would come too late
    return loaded
