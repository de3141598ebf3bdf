"""`sync` and `check_synced`."""

from __future__ import annotations

import numpy as np
from pairs import Sharded, assert_same, gradients, model
from ranks import check, rank, refused, size

import gradstep as gs


@check
def sync_and_check_synced() -> None:
    params = model(rank())
    opt = Sharded(gs.Adam, params, bucket=256)
    if size() > 1:
        with refused(ValueError, r"W on rank 1.*layers.*sync\(\)"):
            opt.check_synced()
    opt.sync()
    assert_same(params, model(0))
    opt.check_synced()
    opt.step(gradients(params, rank()))
    opt.check_synced()
    last = size() - 1
    if last:
        if rank() == last:
            params["strided"][-1, -1] += 1
        with refused(
            ValueError, rf"^parameters differ from those of rank 0: strided on rank {last};"
        ):
            opt.check_synced()
        opt.sync()
        params["W"][-1, -1] += rank() == 0  # not in the first block of the digest
        with refused(ValueError, r"rank 0: W on rank 1"):
            opt.check_synced()
        # Bits are compared: zeros of different signs differ, and NaN is equal to itself.
        opt.sync()
        params["b"][3] = -0.0 if rank() == last else 0.0
        with refused(ValueError, f"b on rank {last}"):
            opt.check_synced()
        params["b"][3] = np.nan
        opt.check_synced()
