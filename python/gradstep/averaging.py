"""Exponentially weighted averages: of numbers, arrays and whole models, and of a series at once.

The formula is a rule of the core, like those of the optimizers.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradstep import _core, checks
from gradstep.structure import Structure


class EWA:
    r"""The exponentially weighted average of what it is given, one value at a time.

    .. math:: v := \beta v + (1 - \beta) \theta, \quad v_0 = 0

    averages about ``1 / (1−β)`` values. With bias correction it is ``v / (1 − βᵗ)``, which is right
    from the first value on, where v is still close to its start at zero.

    Parameters
    ----------
    beta : float, default 0.9
        β, at least 0 and below 1.
    bias_correction : bool, default False
        Correct for the start at zero.

    Raises
    ------
    TypeError, ValueError
        If `beta` is no number or out of its range.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015, section 3 (the correction).

    Examples
    --------
    >>> import gradstep as gs
    >>> average = gs.EWA(beta=0.5)
    >>> average.update(1.0), average.update(1.0)
    (0.5, 0.75)
    >>> average = gs.EWA(beta=0.5, bias_correction=True)
    >>> average.update(1.0), average.update(1.0)
    (1.0, 1.0)
    """

    def __init__(self, beta: float = 0.9, *, bias_correction: bool = False) -> None:
        self._bias_correction = checks.flag("bias_correction", bias_correction)
        if callable(beta):
            raise TypeError(f"beta must be a number, got {beta!r}")
        self._stepper = _core.Stepper()
        self._stepper.add_group("ewa", {"beta": beta})
        self._averages: list[NDArray[Any]] = []
        self._structure: Structure | None = None  # None until something was folded in
        self._of_numbers = False

    @property
    def beta(self) -> float:
        """β, as it was given."""
        return self._stepper.get(0, "beta")

    @property
    def bias_correction(self) -> bool:
        """Whether the start at zero is corrected."""
        return self._bias_correction

    @property
    def t(self) -> int:
        """The number of values folded in."""
        return self._stepper.t

    def update(self, x: Any) -> Any:
        """Fold in a value and return the average.

        Parameters
        ----------
        x : number, array or structure of arrays
            The same kind each time. float32 and float64 arrays keep their dtype, integers become
            float64; numbers give a float. A structure is nested as an optimizer's ``params``.

        Returns
        -------
        float, array or structure
            The (corrected) average, which shares no memory with `x` or with later ones.

        Raises
        ------
        TypeError, ValueError
            If `x` is of another kind, shape or dtype than before; the average is as it was.
        """
        is_number = isinstance(x, numbers.Real)
        if self._structure is None:
            structure = Structure(x)
            if not structure.names:
                raise ValueError("there is nothing to average: the structure holds no arrays")
            values = self._values(structure, x, is_number)
            self._begin(structure, [np.zeros_like(v, subok=False) for v in values], is_number, 0)
        elif is_number != self._of_numbers:
            expected = "a number" if self._of_numbers else "arrays"
            raise TypeError(f"this average is of {expected}, got {type(x).__name__}")
        else:
            values = self._values(self._structure, x, is_number)
        self._stepper.step(values)
        return self.value

    @property
    def value(self) -> Any:
        """The (corrected) average, as `update` returned it last; 0.0 before the first value."""
        if self._structure is None:
            return 0.0
        if self.bias_correction and self.t > 0:
            correction = _core.one_minus_power(self.beta, self.t)
            # One pass: copied first and then divided, each average would be written twice.
            averages = [
                np.divide(array, array.dtype.type(correction), out=np.empty_like(array))
                for array in self._averages
            ]
        else:
            averages = [array.copy(order="K") for array in self._averages]
        return averages[0].item() if self._of_numbers else self._structure.unflatten(averages)

    def _values(self, structure: Structure, x: Any, is_number: bool) -> list[NDArray[Any]]:
        if is_number:
            return [np.array(float(x))]
        leaves = zip(structure.names, structure.flatten(x, "x"), strict=True)
        arrays = [_core.as_array(leaf, name) for name, leaf in leaves]
        return [a.astype(np.float64) if a.dtype.kind in "iub" else a for a in arrays]

    def _begin(
        self, structure: Structure, averages: list[NDArray[Any]], of_numbers: bool, t: int
    ) -> None:
        stepper = _core.Stepper(t)
        stepper.add_group("ewa", {"beta": self.beta})
        for name, array in zip(structure.names, averages, strict=True):
            stepper.add_parameter(0, name, array, [])
        self._stepper, self._structure = stepper, structure
        self._averages, self._of_numbers = averages, of_numbers

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.load_state_dict(state)

    def __repr__(self) -> str:
        return f"EWA(beta={self.beta!r}, bias_correction={self.bias_correction!r})"

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot as plain values: copies of the uncorrected averages, β and `t`."""
        average: Any = None
        if self._structure is not None:
            copies = [array.copy(order="K") for array in self._averages]
            average = copies[0].item() if self._of_numbers else self._structure.unflatten(copies)
        return {
            "beta": self.beta,
            "bias_correction": self.bias_correction,
            "t": self.t,
            "average": average,
        }

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. All or nothing.

        Parameters
        ----------
        d : mapping
            From an average of anything; what this one averaged before is forgotten.

        Raises
        ------
        TypeError, ValueError
            If it is not the state of an average; nothing has changed.
        """
        missing = [k for k in ("beta", "bias_correction", "t", "average") if k not in d]
        if missing:
            raise ValueError(f"not the state of an average: it has no {missing[0]!r}")
        t = checks.count("t", d["t"])
        loaded = EWA(d["beta"], bias_correction=d["bias_correction"])
        if (d["average"] is None) != (t == 0):
            raise ValueError(f"the state of an average is damaged: t={t}, average={d['average']!r}")
        if d["average"] is not None:
            of_numbers = isinstance(d["average"], numbers.Real)
            structure = Structure(d["average"])
            values = loaded._values(structure, d["average"], of_numbers)
            loaded._begin(structure, [v.copy(order="K") for v in values], of_numbers, t)
        self.__dict__ = loaded.__dict__


def ewa(values: ArrayLike, beta: float = 0.9, *, bias_correction: bool = False) -> NDArray[Any]:
    r"""Return the exponentially weighted averages of a whole series along its first axis.

    .. math:: v_t = \beta v_{t-1} + (1 - \beta) \theta_t, \quad v_0 = 0

    With bias correction, ``v_t / (1 − βᵗ)``.

    Parameters
    ----------
    values : array_like, at least one-dimensional
        The series; float32 and float64 keep their dtype, integers become float64.
    beta : float, default 0.9
        β, at least 0 and below 1: averages about ``1 / (1−β)`` values.
    bias_correction : bool, default False
        Correct for the start at zero.

    Returns
    -------
    array
        Of the shape of `values`: entry t is what `EWA.update` returns for ``values[t]``, bit for
        bit.

    Raises
    ------
    TypeError, ValueError
        If `beta` is out of its range, or `values` has no axis or another dtype.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.ewa([1.0, 1.0, 1.0], beta=0.5)
    array([0.5  , 0.75 , 0.875])
    >>> gs.ewa([1.0, 1.0, 1.0], beta=0.5, bias_correction=True)
    array([1., 1., 1.])
    """
    if isinstance(values, np.ndarray):
        _core.as_array(values, "values")  # refuses what ascontiguousarray would drop, a mask
    series = np.ascontiguousarray(values)
    if np.ndim(values) == 0:
        raise ValueError("a series needs at least one axis; for single values use gs.EWA")
    if series.dtype.kind in "iub":
        series = series.astype(np.float64)
    averages = np.empty_like(series, subok=False)
    _core.ewa_series(series, averages, beta, checks.flag("bias_correction", bias_correction))
    return averages
