"""`averaged`: averages in the place of the parameters."""

from __future__ import annotations

from pairs import Pair, Sharded, UserError, assert_same, copy_tree, gradients, model
from ranks import check, rank, refused, size

import gradstep as gs
from support.whole import everything


@check
def averages_in_the_place_of_the_parameters() -> None:
    for corrected in (False, True):
        average = gs.EWA(0.9, bias_correction=corrected)
        sharded = {"reduce": None, "bucket": 300}
        pair = Pair(gs.Adam, sharded=sharded, lr=0.1, average=average)
        for t in range(3):
            pair.step(gradients(pair.params, t))
        before = everything(pair.opt)
        with pair.reference.averaged():
            expected = copy_tree(pair.expected)
        with pair.opt.averaged() as inside:
            assert inside is pair.opt.params
            assert_same(pair.params, expected)
            with refused(RuntimeError, "averaged"):
                pair.opt.step(gradients(pair.params))
            assert_same(pair.params, expected)
        assert everything(pair.opt) == before
        assert_same(pair.opt.average, pair.reference.average)
        pair.step(gradients(pair.params, 7))
        pair.compare()


@check
def a_body_of_averaged_that_raises() -> None:
    for culprits in (range(size()), [size() - 1]):
        opt = Sharded(gs.Adam, model(), average=gs.EWA(0.5))
        opt.step(gradients(model(), rank()))
        before = everything(opt)
        raised = False
        try:
            with opt.averaged():
                if rank() in culprits:
                    raise UserError
        except UserError:
            raised = True
        assert raised == (rank() in culprits)
        assert everything(opt) == before


@check
def averaged_without_an_average() -> None:
    opt = Sharded(gs.Adam, model())
    assert opt.average is None
    with refused(ValueError, "keeps no average"), opt.averaged():
        pass
