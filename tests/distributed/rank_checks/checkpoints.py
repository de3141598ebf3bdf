"""`save`, `save_in_background` and `load` of all ranks."""

from __future__ import annotations

import contextlib
import copy
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pairs import Sharded, assert_same, gradients, model, shared_folder
from ranks import check, rank, refused, refused_by_all, size, world

import gradstep as gs
from support.whole import everything


@check
def one_file_for_all_ranks() -> None:
    folder = shared_folder()
    options: dict[str, Any] = {"reduce": None, "bucket": 300, "average": gs.EWA(0.5)}
    opt = Sharded(gs.Adam, model(), **copy.deepcopy(options))
    batches = gs.MiniBatches(np.arange(30), batch_size=7, seed=1, shard=(rank(), size()))
    reference = gs.Adam(model(), average=gs.EWA(0.5))
    for t, _ in zip(range(3), batches, strict=False):
        for each in (opt, reference):
            each.step(gradients(model(), t))
    parts: dict[str, Any] = {"params": opt.params, "opt": opt, "batches": batches}
    gs.save(folder / "a", **parts, epoch=3)
    saving = gs.save_in_background(folder / "b", **parts, epoch=3)
    opt.step(gradients(model(), 3))  # which is not in the file
    reference.step(gradients(model(), 3))
    saving.wait()
    world().Barrier()  # only rank 0 has waited for the disk
    for name in ("a", "b"):
        # Loaded by all ranks, and by an optimizer of one process.
        other = Sharded(gs.Adam, model(1), **copy.deepcopy(options))
        own = gs.MiniBatches(np.arange(30), batch_size=7, seed=2, shard=(rank(), size()))
        assert gs.load(folder / name, params=other.params, opt=other, batches=own) == {"epoch": 3}
        alone = gs.Adam(model(2), average=gs.EWA(0.5))
        assert gs.load(folder / name, params=alone.params, opt=alone) == {"epoch": 3}
        assert_same(own.state_dict(), batches.state_dict(), name)
        for each in (other, alone):
            each.step(gradients(model(), 3))
            assert_same(each.params, reference.params, name)
            assert_same(each.state_dict(), reference.state_dict(), name)


@check
def files_that_one_rank_cannot_read_or_write() -> None:
    folder = shared_folder()
    opt = Sharded(gs.Adam, model())
    opt.step(gradients(model(), 1))
    gs.save(folder / "good", params=opt.params, opt=opt)
    good = (folder / "good").read_bytes()
    opt.step(gradients(model(), 2))
    before = everything(opt)
    with refused_by_all(0, FileNotFoundError, "No such file"):
        gs.save(folder / "none" / "x", opt=opt)
    for culprit in range(size()):
        mine = rank() == culprit
        with refused_by_all(culprit, FileNotFoundError, "No such file"):
            gs.load(folder / ("none" if mine else "good"), params=opt.params, opt=opt)
        with refused_by_all(culprit, ValueError, "good. does not fit"):
            more: Any = {"more": np.ones(3)} if mine else {}
            gs.load(folder / "good", opt=opt, **more)
    if size() > 1:
        words = "parts must be named alike on all ranks"
        with refused_by_all(size() - 1, ValueError, words):
            gs.save(folder / "good", opt=opt, **({"x": 1} if rank() == size() - 1 else {}))
    sums = gs.Accumulator(opt, every=2)
    sums.step(gradients(model(), 3))
    if size() > 1:
        with refused(ValueError, "micro-batches are added up, others on each rank"):
            gs.save(folder / "good", sums=sums, opt=opt)
    world().Barrier()
    assert everything(opt) == before
    assert (folder / "good").read_bytes() == good
    assert [path.name for path in folder.iterdir()] == ["good"]


@check
def a_file_that_differs_on_one_rank() -> None:
    folder = Path(tempfile.mkdtemp())  # each rank has its own
    opt = Sharded(gs.Adam, model(), reduce=None)
    opt.step(gradients(model(), 1))
    for number in range(2):
        gs.save(folder / "x", params=opt.params, opt=opt, number=number)  # written by rank 0
        if rank() == 0:
            written = (folder / "x").read_bytes()
        written = world().bcast(written if rank() == 0 else None, 0)
        if number == 0 or rank() < size() - 1:
            (folder / "x").write_bytes(written)
    opt.step(gradients(model(), 2))
    before = everything(opt)
    if size() > 1:
        with refused_by_all(size() - 1, ValueError, "has to be the same file on all ranks"):
            gs.load(folder / "x", params=opt.params, opt=opt)
    assert everything(opt) == before
    (folder / "x").write_bytes(written)
    assert gs.load(folder / "x", params=opt.params, opt=opt) == {"number": 1}
    assert opt.t == 1


@check
def a_file_that_is_being_written() -> None:
    folder = shared_folder()
    opt = Sharded(gs.SGD, [np.zeros(400_000)], reduce=None)
    for t in range(4):
        saving = gs.save_in_background(folder / "x", opt=opt, params=opt.params)
        if t % 2 or size() == 1:
            saving.wait()  # only rank 0 writes, so only it waits
        assert gs.load(folder / "x", params=opt.params, opt=opt) == {}
        assert (opt.t, opt.params[0][0]) == (t, -0.5 * t)
        opt.lr = 0.5
        opt.step([np.ones(400_000)])


class Part:
    """An object of the user's, which one rank cannot load."""

    def __init__(self) -> None:
        self.value = 1

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]
        if rank() == size() - 1:
            raise ValueError("no room here")


@check
def a_part_that_one_rank_cannot_load() -> None:
    folder = shared_folder()
    opt, part = Sharded(gs.Adam, model()), Part()
    gs.save(folder / "x", params=opt.params, opt=opt, part=part)
    opt.step(gradients(model(), 1))
    part.value = 2
    before = everything(opt)
    with refused_by_all(size() - 1, ValueError, "no room here"):
        gs.load(folder / "x", params=opt.params, opt=opt, part=part)
    assert everything(opt) == before
    assert part.value == 2
    opt.step(gradients(model(), 2))


@check
def a_save_in_the_background_that_failed() -> None:
    opt = Sharded(gs.Adam, model())
    missing = shared_folder() / "none" / "x"
    saving = gs.save_in_background(missing, opt=opt)
    opt.step(gradients(model(), 1))
    with contextlib.suppress(OSError):  # rank 0 writes and sees the error
        while not saving.done:
            time.sleep(0.01)
    world().Barrier()
    with refused_by_all(0, FileNotFoundError, "No such file"):
        gs.save_in_background(missing.parent.parent / "x", opt=opt)
    opt.step(gradients(model(), 2))
    gs.save_in_background(missing.parent.parent / "x", opt=opt).wait()


@check
def parts_of_different_communicators() -> None:
    if size() == 1:
        return
    opt = Sharded(gs.Adam, model())
    other = Sharded(gs.Adam, model(), world().Split(0, -rank()))
    with refused(ValueError, "different communicators"):
        gs.save(shared_folder() / "x", opt=opt, other=other)
