"""Exponentially weighted averages: of numbers, arrays and whole models, and of a series at once.

The formula is a rule of the core, like those of the optimizers.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradstep import _core, checks
from gradstep.structure import Structure


class _Kept(NamedTuple):
    """All that an average keeps, replaced as a whole: an interruption finds one or the other."""

    stepper: _core.Stepper  # β, t, and the way to fold in
    structure: Structure | None = None  # None until something was folded in
    averages: tuple[NDArray[Any], ...] = ()
    of_numbers: bool = False


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
            raise TypeError(f"beta must be a number, got {checks.shown(beta)}")
        self._kept = _Kept(_stepper(beta, 0))

    @property
    def beta(self) -> float:
        """β, as it was given."""
        return self._kept.stepper.get(0, "beta")

    @property
    def bias_correction(self) -> bool:
        """Whether the start at zero is corrected."""
        return self._bias_correction

    @property
    def t(self) -> int:
        """The number of values folded in."""
        return self._kept.stepper.t

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

        Notes
        -----
        After an interruption `t` says whether `x` has been folded in.
        """
        kept = self._kept
        is_number = _is_number(x)
        if kept.structure is None:
            structure = Structure(x)
            if not structure.names:
                raise ValueError("there is nothing to average: the structure holds no arrays")
            values = _values(structure, x, is_number)
            zeros = tuple([np.zeros_like(v, subok=False) for v in values])
            kept = _begun(self.beta, 0, structure, zeros, is_number)
        elif is_number != kept.of_numbers:
            expected = "a number" if kept.of_numbers else "arrays"
            raise TypeError(f"this average is of {expected}, got {type(x).__name__}")
        else:
            values = _values(kept.structure, x, is_number)
        # Memory first, so that there is enough when the value has been folded in.
        results = [np.empty_like(array) for array in kept.averages]
        kept.stepper.step(values)
        self._kept = kept
        return self._value(kept, results)

    @property
    def value(self) -> Any:
        """The (corrected) average, as `update` returned it last; 0.0 before the first value."""
        kept = self._kept
        return self._value(kept, [np.empty_like(array) for array in kept.averages])

    def _value(self, kept: _Kept, results: list[NDArray[Any]]) -> Any:
        """Return the (corrected) average, written to `results`."""
        if kept.structure is None:
            return 0.0
        t = kept.stepper.t
        if self.bias_correction and t > 0:
            correction = _core.one_minus_power(kept.stepper.get(0, "beta"), t)
            # One pass: copied first and then divided, each average would be written twice.
            for average, result in zip(kept.averages, results, strict=True):
                np.divide(average, average.dtype.type(correction), out=result)
        else:
            for average, result in zip(kept.averages, results, strict=True):
                np.copyto(result, average)
        return results[0].item() if kept.of_numbers else kept.structure.unflatten(results)

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.load_state_dict(state)

    def __repr__(self) -> str:
        return f"EWA(beta={self.beta!r}, bias_correction={self.bias_correction!r})"

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot as plain values: copies of the uncorrected averages, β and `t`."""
        kept = self._kept
        average: Any = None
        if kept.structure is not None:
            copies = [array.copy(order="K") for array in kept.averages]
            average = copies[0].item() if kept.of_numbers else kept.structure.unflatten(copies)
        return {
            "beta": kept.stepper.get(0, "beta"),
            "bias_correction": self.bias_correction,
            "t": kept.stepper.t,
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
        keys = ("beta", "bias_correction", "t", "average")
        d = checks.mapping("the state", d)
        missing = [key for key in keys if key not in d]
        if missing:
            raise ValueError(f"not the state of an average: it has no {missing[0]!r}")
        t = checks.count("t", d["t"])
        loaded = EWA(d["beta"], bias_correction=d["bias_correction"])
        if (d["average"] is None) != (t == 0):
            average = checks.shown(d["average"])
            raise ValueError(f"the state of an average is damaged: t={t}, average={average}")
        if d["average"] is not None:
            of_numbers = _is_number(d["average"])
            structure = Structure(d["average"])
            values = _values(structure, d["average"], of_numbers, "average of the state")
            copies = [v.copy(order="K") for v in values]
            loaded._kept = _begun(loaded.beta, t, structure, tuple(copies), of_numbers)
        self.__dict__ = loaded.__dict__  # at once


def _stepper(beta: float, t: int) -> _core.Stepper:
    stepper = _core.new_stepper(t)
    stepper.add_group("ewa", [("beta", "beta", beta)])
    return stepper


def _begun(
    beta: float, t: int, structure: Structure, averages: tuple[NDArray[Any], ...], of_numbers: bool
) -> _Kept:
    stepper = _stepper(beta, t)
    for name, array in zip(structure.names, averages, strict=True):
        stepper.add_parameter(0, name, array, [])
    return _Kept(stepper, structure, averages, of_numbers)


def _is_number(x: object) -> bool:
    """Whether this is averaged as a number; NumPy takes durations for integers."""
    return isinstance(x, numbers.Real) and not isinstance(x, np.timedelta64)


def _values(structure: Structure, x: Any, is_number: bool, what: str = "x") -> list[NDArray[Any]]:
    """Return a value of the caller's as arrays; `what` it is to them."""
    if is_number:
        try:
            return [np.array(float(x))]
        except OverflowError as error:
            raise ValueError(f"{what} is beyond any float: {checks.shown(x)}") from error
    leaves = zip(structure.names, structure.flatten(x, what), strict=True)
    arrays = [_core.as_array(leaf, name) for name, leaf in leaves]
    return [a.astype(np.float64) if a.dtype.kind in "iub" else a for a in arrays]


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
    try:
        series = np.ascontiguousarray(values)
    except ValueError as error:  # of lists that differ in length
        raise ValueError(f"values is no array, nor is one made of it: {error}") from error
    if np.ndim(values) == 0:
        raise ValueError("a series needs at least one axis; for single values use gs.EWA")
    if series.dtype.kind in "iub":
        series = series.astype(np.float64)
    averages = np.empty_like(series, subok=False)
    _core.ewa_series(series, averages, beta, checks.flag("bias_correction", bias_correction))
    return averages
