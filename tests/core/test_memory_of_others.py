"""What serves as an array besides NumPy's own, without a copy, and what cannot."""

from __future__ import annotations

import array
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import gradstep as gs

Array = NDArray[Any]


def f32(*shape: int) -> Array:
    return np.ones(shape, np.float32)


class Exports:
    """Memory of another library, offered through one protocol."""

    def __init__(self, held: Array, protocol: str) -> None:
        self.held = held  # an interface is an address, which keeps nothing alive
        setattr(self, protocol, getattr(held, protocol))


class DLPack:
    def __init__(self, held: Array) -> None:
        self.held = held

    def __dlpack__(self, **options: Any) -> Any:
        return self.held.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.held.__dlpack_device__()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: Exports(a, "__array_interface__"),
        lambda a: Exports(a, "__array_struct__"),
        memoryview,
        pytest.param(
            DLPack,
            marks=pytest.mark.skipif(
                int(np.__version__.split(".")[0]) < 2,
                reason="NumPy 1 hands out DLPack memory read-only; run with numpy>=2",
            ),
        ),
    ],
    ids=["__array_interface__", "__array_struct__", "buffer", "dlpack"],
)
def test_memory_of_others_is_updated_without_a_copy(wrap: Callable[[Array], Any]) -> None:
    held = f32(4)
    opt = gs.SGD({"w": wrap(held)}, lr=0.25)
    opt.step({"w": wrap(f32(4))})
    assert held.tolist() == [0.75] * 4


def test_a_buffer_of_the_standard_library_and_a_scalar_gradient() -> None:
    held = array.array("d", [1.0, 2.0])
    gs.SGD(held, lr=0.5).step(np.ones(2))
    assert held.tolist() == [0.5, 1.5]
    zero_d = np.array(1.0)
    gs.SGD(zero_d, lr=0.5).step(np.sum(np.ones(3)) - 2)  # a reduction gives a NumPy scalar
    assert zero_d == 0.5


def test_an_array_that_cannot_be_exported() -> None:
    class Refuses:
        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("requires grad")

        def __dlpack_device__(self) -> Any:
            return (1, 0)

    with pytest.raises(TypeError, match=r"parameter 'w' .*requires grad.*detached CPU array"):
        gs.SGD({"w": Refuses()})


def test_an_interrupt_is_not_taken_for_a_bad_array() -> None:
    class Interrupted:
        def __dlpack__(self, **options: Any) -> Any:
            raise KeyboardInterrupt

        def __float__(self) -> float:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gs.SGD({"w": Interrupted()})
    with pytest.raises(KeyboardInterrupt):
        gs.SGD(f32(2), lr=Interrupted())  # type: ignore[arg-type]


def test_an_array_that_is_made_anew_each_time_is_refused() -> None:
    class Copies:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
            return f32(3)

    class Lends:
        held = f32(3)

        def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
            return self.held

    with pytest.raises(TypeError, match=r"parameter '0' must be a NumPy array .* got Copies"):
        gs.SGD(Copies())
    gs.SGD(Lends(), lr=0.25).step(Lends.held.copy())
    assert Lends.held.tolist() == [0.75] * 3


def test_the_native_order_by_any_name_and_empty_arrays_of_any_stride() -> None:
    named = np.ones(3, "<f4" if sys.byteorder == "little" else ">f4")
    named = named.view(named.dtype.newbyteorder("little" if sys.byteorder == "little" else "big"))
    gs.SGD(named, lr=1.0).step(f32(3))
    assert named.tolist() == [0, 0, 0]
    empty = as_strided(f32(1), (0, 5), (2**62, 2**61))
    gs.SGD(empty).step(np.zeros((0, 5), np.float32))
