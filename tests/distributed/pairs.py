"""A model, its gradients, and a `Sharded` beside the optimizer of one process that it must equal.

Each rank has this reference over a copy of the model. It gets the reduced gradients, added up here
by NumPy.
"""

from __future__ import annotations

import copy
import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ranks import rank, size, world

import gradstep as gs

Array = NDArray[Any]
Wrap = Callable[[Any], Any]


def with_rate(kind: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Add a learning rate if it has no default, as in Keras's and optax's."""
    rate = inspect.signature(kind).parameters.get("learning_rate")
    return (
        {"learning_rate": 0.1, **options}
        if rate and rate.default in (rate.empty, None)
        else options
    )


def Sharded(kind: Any, params: Any, comm: Any = None, **options: Any) -> gs.distributed.Sharded:
    """Return a `Sharded`, with a learning rate if that has no default."""
    if isinstance(kind, type):
        options = with_rate(kind, options)
    return gs.distributed.Sharded(kind, params, comm, **options)


def map_tree(make: Callable[[Array], Any], tree: Any) -> Any:
    """Return a structure of dicts and lists with each array replaced."""
    if isinstance(tree, dict):
        return {key: map_tree(make, entry) for key, entry in tree.items()}
    if isinstance(tree, list):
        return [map_tree(make, entry) for entry in tree]
    return make(tree)


def copy_tree(tree: Any) -> Any:
    return map_tree(lambda a: a.copy(), tree)


def leaves(tree: Any) -> list[Array]:
    found: list[Array] = []
    map_tree(found.append, tree)
    return found


def cast(tree: Any, dtypes: Any) -> Any:
    if isinstance(tree, dict):
        return {key: cast(entry, dtypes[key]) for key, entry in tree.items()}
    if isinstance(tree, list):
        return [cast(entry, dtype) for entry, dtype in zip(tree, dtypes, strict=True)]
    return np.asarray(tree, dtypes)


def model(seed: int = 0) -> dict[str, Any]:
    """Return small parameters of both dtypes in every kind of memory layout."""
    rng = np.random.default_rng(seed)

    def of(*shape: int, dtype: Any = np.float32) -> Array:
        return np.array(rng.normal(size=shape), dtype)

    return {
        "W": of(23, 17),
        "fortran": np.asfortranarray(of(7, 5, dtype=np.float64)),
        "strided": of(9, 8)[::2, ::-2],
        "layers": [{"turned": of(3, 4, 5).transpose(2, 0, 1)}, {"scalar": of(dtype=np.float64)}],
        "backwards": of(11, dtype=np.float64)[::-1],
        "empty": of(3, 0),
        "b": of(17),
        "every other": of(26, dtype=np.float64)[::2],
    }


def gradients(params: Any, *seed: int) -> Any:
    """Return random read-only gradients, some in another memory layout than the parameters."""
    rng = np.random.default_rng(seed)

    def like(w: Array) -> Array:
        g = np.array(rng.normal(size=w.shape), w.dtype)
        if w.ndim == 2 and w.size % 2:
            g = np.asfortranarray(g)
        elif w.ndim == 1 and w.size % 2:
            g = np.repeat(g, 2)[::2]
        g.flags.writeable = False
        return g

    return map_tree(like, params)


def sum_trees(trees: list[Any]) -> Any:
    """Add up structures of arrays, from the first to the last."""
    first, *others = trees
    if isinstance(first, dict):
        return {key: sum_trees([tree[key] for tree in trees]) for key in first}
    if isinstance(first, list):
        return [sum_trees([tree[i] for tree in trees]) for i in range(len(first))]
    total = np.array(first)
    for other in others:
        total = total + other
    return total


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Return where two nested values differ, arrays by their bits."""
    if isinstance(a, dict) and isinstance(b, dict):
        found = [f"{path}/{key}: only on one side" for key in a.keys() ^ b.keys()]
        for key in a.keys() & b.keys():
            found += differences(a[key], b[key], f"{path}/{key}")
        return found
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return [f"{path}: {len(a)} entries, and {len(b)}"]
        return [d for i, x in enumerate(a) for d in differences(x, b[i], f"{path}/{i}")]
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        same = (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        if same:
            return []
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return [f"{path}: {a.dtype}{a.shape}, and {b.dtype}{b.shape}"]
        with np.errstate(invalid="ignore"):
            most = np.max(np.abs(a - b), initial=0)
        return [f"{path}: {np.count_nonzero(a != b)} of {a.size} differ, by up to {most}"]
    return [] if a == b or repr(a) == repr(b) == "nan" else [f"{path}: {a!r}, and {b!r}"]


def assert_same(a: Any, b: Any, about: object = "") -> None:
    """Require equal values, arrays bit by bit."""
    found = differences(a, b)
    assert not found, f"{about}: {'; '.join(found[:5])}"


def assert_close(a: Any, b: Any, within: float) -> None:
    """Require arrays to be near those in the same places."""
    if isinstance(a, dict):
        for key in a:
            assert_close(a[key], b[key], within)
    elif isinstance(a, list):
        for one, other in zip(a, b, strict=True):
            assert_close(one, other, within)
    else:
        np.testing.assert_allclose(a, b, rtol=within, atol=within)


def assert_same_everywhere(value: object) -> None:
    """Require that a plain value, or the bytes of an array, are the same on all ranks."""
    if isinstance(value, np.ndarray):
        value = value.tobytes()
    by_rank = world().allgather(value)
    assert by_rank == by_rank[:1] * len(by_rank), by_rank


class Pair:
    """A `Sharded` and its reference, each over its own copy of a model."""

    def __init__(
        self,
        kind: Any,
        make: Callable[[], Any] = model,
        wrap: Wrap = lambda params: params,
        sharded: Any = None,
        **options: Any,
    ) -> None:
        self.params, self.expected = make(), make()
        self.opt = Sharded(kind, wrap(self.params), **copy.deepcopy(options), **(sharded or {}))
        reference = with_rate(kind, copy.deepcopy(options))
        self.reference: gs.Optimizer = kind(wrap(self.expected), **reference)

    def step(self, grads: Any, reduced: Any = None, scale: float = 1.0) -> None:
        """Step by a rank's gradients, and the reference by the reduced ones times `scale`."""
        self.opt.step(grads)
        self.reference.step(grads if reduced is None else reduced, scale)

    def compare(self, about: object = "") -> None:
        """Require the same parameters, state, average and properties, bit by bit."""
        about = f"{about} {self.opt!r}"
        assert_same(self.params, self.expected, about)
        assert_same(self.opt.state_dict(), self.reference.state_dict(), about)
        for name in ("t", "skipped", "lr", "average"):
            assert_same(getattr(self.opt, name), getattr(self.reference, name), f"{about}.{name}")


def reductions() -> list[str | None]:
    """Return the reductions that keep equal gradients as they are; the mean of two is exact."""
    return [None, "mean"] if size() <= 2 else [None]


def in_groups(params: Any) -> Any:
    """Return two groups, the second with hyperparameters of its own."""
    first = {key: params[key] for key in ("W", "fortran", "layers", "empty")}
    second = {key: params[key] for key in params if key not in first}
    return [{"params": first}, {"params": second, "lr": 0.03}]


def gradients_in_groups(grads: Any) -> Any:
    return [entry["params"] for entry in in_groups(grads)]


def shared_folder() -> Path:
    """Return one new folder, on all ranks."""
    made: str = world().bcast(tempfile.mkdtemp() if rank() == 0 else None, 0)
    return Path(made)


class UserError(Exception):
    """An error of the user's own code."""
