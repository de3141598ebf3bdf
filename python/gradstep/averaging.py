"""Exponentially weighted averages: of numbers, arrays and whole models, and of a series at once.

The formula is a rule of the core, like those of the optimizers. The averages that an optimizer keeps
of its parameters are prepared here too; when they are folded in is the optimizer's part.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

import gradstep._core as _core
import gradstep.checks as checks
from gradstep._typing import Array
from gradstep.names import FixedAttributes
from gradstep.pytree import Structure
from gradstep.transaction import Prepared
from gradstep.values import frozen


class AverageState(NamedTuple):
    """The averages of one structure. The stepper that folds in values stores this as its layout."""

    structure: Structure
    averages: tuple[Array, ...]  # uncorrected
    of_numbers: bool = False
    parameters: tuple[Array, ...] = ()  # if an optimizer keeps these averages of its parameters


class EWA(FixedAttributes):
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
        If `beta` is not a number or out of its range.

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
        flag = checks.flag("bias_correction", bias_correction)
        if callable(beta):
            raise TypeError(f"beta must be a number, got {checks.shown(beta)}")
        stepper = _core.new_stepper()
        stepper.add_group("ewa", core_args(beta, flag), (frozen(beta), flag))
        # Holds everything, and is replaced as a whole: an interruption finds the old or the new one.
        self._stepper = stepper

    @property
    def beta(self) -> float:
        """β, as it was given."""
        return self._stepper.get(0, "beta")

    @property
    def bias_correction(self) -> bool:
        """Whether the start at zero is corrected."""
        return bool(self._stepper.given(0)[1])

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
        RuntimeError
            If an optimizer keeps this average; its steps fold the parameters in.

        Notes
        -----
        After an interruption `t` says whether `x` has been folded in.
        """
        stepper = self._unshared_stepper()
        stored: AverageState | None = stepper.layout
        is_number = _is_number(x)
        if stored is None:
            structure = Structure(x)
            if not structure.names:
                raise ValueError("x must hold at least one array, got a structure without any")
            values = _values(structure, x, is_number)
            zeros = tuple([np.zeros_like(v, subok=False) for v in values])
            stored = AverageState(structure, zeros, is_number)
            stepper = _new_stepper(self.beta, self.bias_correction, stored)
        elif is_number != stored.of_numbers:
            expected = "a number" if stored.of_numbers else "arrays"
            raise TypeError(f"x must be {expected}, as before, got {type(x).__name__}")
        else:
            values = _values(stored.structure, x, is_number, like=stored.averages)
        # Memory first: after the value has been folded in, nothing may fail.
        results = [np.empty_like(array) for array in stored.averages]
        stepper.step(values)
        self._stepper = stepper
        return _corrected(stepper, stored, results)

    @property
    def value(self) -> Any:
        """The (corrected) average, as `update` returned it last; 0.0 before the first value.

        If an optimizer keeps this average, it has the structure of the parameters, and before the
        first step of their group it is a copy of them.
        """
        stepper = self._stepper
        stepper.require_own()
        stored: AverageState | None = stepper.layout
        if stored is None:
            return 0.0
        return _corrected(stepper, stored, [np.empty_like(array) for array in stored.averages])

    def _unshared_stepper(self) -> _core.Stepper:
        """Return the stepper of this average; RuntimeError if an optimizer folds into it."""
        if self._stepper.followed:
            raise RuntimeError(
                "this average is kept by an optimizer: its steps fold the parameters in, and its "
                "load_state_dict() restores it"
            )
        return self._stepper

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._stepper = self._loaded(state)

    def __repr__(self) -> str:
        return f"EWA(beta={self.beta!r}, bias_correction={self.bias_correction!r})"

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot as plain values: copies of the uncorrected averages, β and `t`.

        Raises
        ------
        RuntimeError
            If an optimizer keeps this average and has added groups later, which have corrections of
            their own; the optimizer's ``state_dict()`` has these.
        """
        stepper = self._stepper
        stepper.require_own()
        stored: AverageState | None = stepper.layout
        if len(set(stepper.corrections())) > 1:  # one `t` cannot tell them
            raise RuntimeError(
                "this average is of groups that were added at different times, each with a "
                "correction of its own; save the state_dict() of the optimizer that keeps it"
            )
        average: Any = None
        if stored is not None and stepper.t > 0:
            copies = [array.copy(order="K") for array in stored.averages]
            average = copies[0].item() if stored.of_numbers else stored.structure.unflatten(copies)
        return {
            "beta": stepper.get(0, "beta"),
            "bias_correction": bool(stepper.given(0)[1]),
            "t": stepper.t,
            "average": average,
        }

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. All or nothing.

        Parameters
        ----------
        d : mapping
            From an average of anything. It replaces all that this one has averaged.

        Raises
        ------
        TypeError, ValueError
            If it is not the state of an average; nothing has changed.
        """
        self._unshared_stepper()
        self._stepper = self._loaded(d)

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        loaded, here = self._loaded(state), self._stepper
        if here.followed:  # the optimizer restores it from its own state
            return Prepared(follows=[here])
        return Prepared(swaps=[(self, "_stepper", loaded)])

    @staticmethod
    def _loaded(d: Mapping[str, Any]) -> _core.Stepper:
        """Check all of a state dict and return the stepper of an average with that state."""
        keys = ("beta", "bias_correction", "t", "average")
        d = checks.mapping("the state", d)
        missing = [key for key in keys if key not in d]
        if missing:
            raise ValueError(
                f"the state must have the keys {', '.join(keys)}, got none called {missing[0]!r}; "
                "load what EWA.state_dict() returned"
            )
        t = checks.count("t", d["t"])
        loaded = EWA(d["beta"], bias_correction=d["bias_correction"])
        if (d["average"] is None) != (t == 0):
            expected = "None" if t == 0 else "an average"
            raise ValueError(
                f"average of the state must be {expected} with t={t}, got "
                f"{checks.shown(d['average'])}; the state is damaged"
            )
        if d["average"] is None:
            return loaded._stepper
        of_numbers = _is_number(d["average"])
        structure = Structure(d["average"])
        values = _values(structure, d["average"], of_numbers, "average of the state")
        copies = tuple([v.copy(order="K") for v in values])
        return _new_stepper(
            loaded.beta, loaded.bias_correction, AverageState(structure, copies, of_numbers), t
        )


def core_args(beta: float, bias_correction: bool) -> list[tuple[str, str, Any]]:
    """Return the arguments of the core's rule for an average."""
    return [("beta", "beta", beta), ("bias_correction", "bias_correction", bias_correction)]


def _new_stepper(
    beta: float, bias_correction: bool, stored: AverageState, t: int = 0
) -> _core.Stepper:
    stepper = _core.new_stepper()
    addition = stepper.prepare_addition(
        [("", "ewa", core_args(beta, bias_correction), (beta, bias_correction))],
        [(0, stored.structure.names, stored.averages)],
    )
    stepper.add(addition, list, [], True, stored)
    if t > 0:  # after the group, so that the correction counts from its start
        _core.commit([stepper.prepare_change([], t)])
    return stepper


def prepare_averages(
    average: EWA,
    stepper: _core.Stepper,
    tree: Any,
    groups: int,
    runs: Sequence[tuple[int, Sequence[str], Sequence[Any]]],
) -> tuple[_core.Addition, AverageState]:
    """Prepare averages for parameters that an optimizer adds, in new groups of their own.

    Parameters
    ----------
    average : EWA
        How to average, and the averages to go on from if `stepper` has none yet.
    stepper : Stepper
        Keeps the averages of the optimizer.
    tree
        The structure of all parameters, with the new ones.
    groups : int
        The number of new groups.
    runs
        As in `Optimizer`: the index of a group, names, arrays.
    """
    before: AverageState | None = stepper.layout
    structure = Structure(tree)
    parameters = [
        [_core.as_array(w, f"parameter {name!r}") for name, w in zip(names, arrays, strict=True)]
        for _, names, arrays in runs
    ]
    zeros = [[np.zeros_like(w, subok=False) for w in some] for some in parameters]
    averages = [*(before.averages if before else ()), *chain.from_iterable(zeros)]
    going_on: AverageState | None = None if before or average.t == 0 else average._stepper.layout
    if going_on is not None:
        saved = going_on.structure.unflatten(going_on.averages)
        _fill(structure.names, averages, structure.flatten(saved, "the average"))
    flag = average.bias_correction
    addition = stepper.prepare_addition(
        [("", "ewa", core_args(average.beta, flag), (average.beta, flag))] * groups,
        [(index, names, some) for (index, names, _), some in zip(runs, zeros, strict=True)],
    )
    of = [*(before.parameters if before else ()), *chain.from_iterable(parameters)]
    return addition, AverageState(structure, tuple(averages), parameters=tuple(of))


def _fill(names: Sequence[str], averages: Sequence[Array], saved: Sequence[Any]) -> None:
    for name, array, value in zip(names, averages, saved, strict=True):
        if not isinstance(value, np.ndarray):
            raise TypeError(
                f"the average of {name!r} must be an array, like the parameter, got "
                f"{type(value).__name__}; pass a new gs.EWA"
            )
        if (value.shape, value.dtype) != (array.shape, array.dtype):
            raise ValueError(
                f"the average of {name!r} must be {array.dtype}{array.shape}, like the parameter, "
                f"got {value.dtype}{value.shape}; pass a new gs.EWA"
            )
        array[...] = value


def _corrected(stepper: _core.Stepper, stored: AverageState, results: list[Array]) -> Any:
    """Return the (corrected) averages, written to `results`."""
    # One pass: copied first and then divided, each average would be written twice.
    for i, (average, result, correction) in enumerate(
        zip(stored.averages, results, stepper.corrections(), strict=True)
    ):
        if correction == 0.0:  # no value yet
            np.copyto(result, stored.parameters[i])
        elif correction == 1.0:
            np.copyto(result, average)
        else:
            np.divide(average, average.dtype.type(correction), out=result)
    return results[0].item() if stored.of_numbers else stored.structure.unflatten(results)


def _is_number(x: object) -> bool:
    """Whether this is averaged as a number; for NumPy, a duration is an integer, too."""
    return isinstance(x, numbers.Real) and not isinstance(x, np.timedelta64)


def _values(
    structure: Structure,
    x: Any,
    is_number: bool,
    what: str = "x",
    like: Sequence[Array] | None = None,
) -> list[Array]:
    """Return a value of the caller's as arrays.

    `what` is its name in errors, and `like` are the arrays that came before.
    """
    if is_number:
        try:
            return [np.array(float(x))]
        except OverflowError as error:
            raise ValueError(f"{what} must be finite, got {checks.shown(x)}") from error
    leaves, models = structure.flatten(x, what), like or repeat(None)
    labels = [what] if structure.is_array() else [f"{name!r} of {what}" for name in structure.names]
    return [_value(*each) for each in zip(labels, leaves, models, strict=False)]


def _value(label: str, given: Any, like: Array | None = None) -> Array:
    """Return an array that can be averaged, together with `like` if that is given."""
    array = _core.as_array(given, label)
    whole = array.dtype.kind in "iub"
    dtype = np.dtype(np.float64) if whole else array.dtype
    if like is None and dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{label} must be of native float32, float64 or integers, got {dtype}; convert it with "
            ".astype(np.float32) or .astype(np.float64)"
        )
    if like is not None and dtype != like.dtype:
        raise TypeError(
            f"{label} must be of dtype {like.dtype}, as before, got {array.dtype}; convert it with "
            f".astype(np.{like.dtype})"
        )
    if like is not None and array.shape != like.shape:
        raise ValueError(f"{label} must have the shape {like.shape}, as before, got {array.shape}")
    return array.astype(dtype) if whole else array


def ewa(values: ArrayLike, beta: float = 0.9, *, bias_correction: bool = False) -> Array:
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
    try:
        series = values if isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError as error:  # lists that differ in length
        raise ValueError(
            f"values must be an array or lists of equal length, got others: {error}"
        ) from error
    if series.ndim == 0:
        raise ValueError(
            "values must have at least one axis, got a single value; use gs.EWA for single values"
        )
    series = np.ascontiguousarray(_value("values", series))
    averages = np.empty_like(series, subok=False)
    _core.ewa_series(series, averages, beta, checks.flag("bias_correction", bias_correction))
    return averages
