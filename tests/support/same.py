"""Arrays and values compared to the bit."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep as gs

Array = NDArray[Any]


def digest(*arrays: Array) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def assert_same(got: Any, expected: Any) -> None:
    """Compare types, bits, dtypes and order, which == does not look at."""
    if isinstance(expected, np.ndarray | np.generic):
        assert isinstance(got, np.ndarray | np.generic)
        assert isinstance(got, np.generic) == isinstance(expected, np.generic)
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.tobytes() == expected.tobytes()
    elif isinstance(expected, dict):
        assert type(got) is dict
        for pair, wanted in zip(got.items(), expected.items(), strict=True):
            assert_same(pair, wanted)
    elif isinstance(expected, list | tuple):
        assert type(got) is type(expected)
        for one, wanted in zip(got, expected, strict=True):
            assert_same(one, wanted)
    else:
        assert type(got) is type(expected)
        assert repr(got) == repr(expected)


def everything(opt: gs.Optimizer) -> str:
    """Return every bit that a step may change, but for `skipped` and `last_nonfinite`."""
    state = {key: value for key, value in opt.state_dict().items() if key != "skipped"}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [plain(entry) for entry in value]
        return digest(value) if isinstance(value, np.ndarray) else value

    return repr(plain([opt.params, state, opt.t, opt.lr]))
