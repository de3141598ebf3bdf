"""Exponentially weighted averages: of numbers, arrays and whole models, and of a series at once.

The formula is a rule of the core, like those of the optimizers.
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
from gradstep.values import own


class Kept(NamedTuple):
    """What is averaged. The core keeps it, with β, t, and the way to fold in."""

    structure: Structure
    averages: tuple[Array, ...]
    of_numbers: bool = False
    # Where an optimizer keeps them: what they are of.
    parameters: tuple[Array, ...] = ()


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
        flag = checks.flag("bias_correction", bias_correction)
        if callable(beta):
            raise TypeError(f"beta must be a number, got {checks.shown(beta)}")
        stepper = _core.new_stepper()
        stepper.add_group("ewa", told(beta, flag), (own(beta), flag))
        # All that an average keeps, replaced as a whole: an interruption finds one or the other.
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
            If an optimizer keeps this average: its steps fold in.

        Notes
        -----
        After an interruption `t` says whether `x` has been folded in.
        """
        stepper = self._own()
        kept: Kept | None = stepper.layout
        is_number = _is_number(x)
        if kept is None:
            structure = Structure(x)
            if not structure.names:
                raise ValueError("there is nothing to average: the structure holds no arrays")
            values = _values(structure, x, is_number)
            zeros = tuple([np.zeros_like(v, subok=False) for v in values])
            kept = Kept(structure, zeros, is_number)
            stepper = _begun(self.beta, self.bias_correction, kept)
        elif is_number != kept.of_numbers:
            expected = "a number" if kept.of_numbers else "arrays"
            raise TypeError(f"this average is of {expected}, got {type(x).__name__}")
        else:
            values = _values(kept.structure, x, is_number, like=kept.averages)
        # Memory first, so that there is enough when the value has been folded in.
        results = [np.empty_like(array) for array in kept.averages]
        stepper.step(values)
        self._stepper = stepper
        return _corrected(stepper, kept, results)

    @property
    def value(self) -> Any:
        """The (corrected) average, as `update` returned it last; 0.0 before the first value.

        Where an optimizer keeps this average, it has the structure of the parameters, and before
        their group's first step it is a copy of them.
        """
        stepper = self._stepper
        stepper.require_own()
        kept: Kept | None = stepper.layout
        if kept is None:
            return 0.0
        return _corrected(stepper, kept, [np.empty_like(array) for array in kept.averages])

    def _own(self) -> _core.Stepper:
        """Return what this average keeps, if nobody else folds into it."""
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
            If an optimizer keeps this average, and groups that came later have a correction of
            their own; the optimizer's ``state_dict()`` has it.
        """
        stepper = self._stepper
        stepper.require_own()
        kept: Kept | None = stepper.layout
        if len(set(stepper.corrections())) > 1:  # of which `t` here says nothing
            raise RuntimeError(
                "this average is of groups that came at different times, each with a correction of "
                "its own; save the state_dict() of the optimizer that keeps it"
            )
        average: Any = None
        if kept is not None and stepper.t > 0:
            copies = [array.copy(order="K") for array in kept.averages]
            average = copies[0].item() if kept.of_numbers else kept.structure.unflatten(copies)
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
            From an average of anything; what this one averaged before is forgotten.

        Raises
        ------
        TypeError, ValueError
            If it is not the state of an average; nothing has changed.
        """
        self._own()
        self._stepper = self._loaded(d)

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        loaded, here = self._loaded(state), self._stepper
        if here.followed:  # the optimizer's state has it, too
            return Prepared(follows=[here])
        return Prepared(swaps=[(self, "_stepper", loaded)])

    @staticmethod
    def _loaded(d: Mapping[str, Any]) -> _core.Stepper:
        """Check all of a state dict and return what an average of that state keeps."""
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
        if d["average"] is None:
            return loaded._stepper
        of_numbers = _is_number(d["average"])
        structure = Structure(d["average"])
        values = _values(structure, d["average"], of_numbers, "average of the state")
        copies = tuple([v.copy(order="K") for v in values])
        return _begun(loaded.beta, loaded.bias_correction, Kept(structure, copies, of_numbers), t)


def told(beta: float, bias_correction: bool) -> list[tuple[str, str, Any]]:
    """Return what the core is told of an average."""
    return [("beta", "beta", beta), ("bias_correction", "bias_correction", bias_correction)]


def _begun(beta: float, bias_correction: bool, kept: Kept, t: int = 0) -> _core.Stepper:
    stepper = _core.new_stepper()
    addition = stepper.prepare_addition(
        [("", "ewa", told(beta, bias_correction), (beta, bias_correction))],
        [(0, kept.structure.names, kept.averages)],
    )
    stepper.add(addition, list, [], True, kept)
    if t > 0:  # behind it, so that the average counts from its start
        _core.commit([stepper.prepare_change([], t)])
    return stepper


def grown(
    average: EWA,
    stepper: _core.Stepper,
    tree: Any,
    groups: int,
    runs: Sequence[tuple[int, Sequence[str], Sequence[Any]]],
) -> tuple[_core.Addition, Kept]:
    """Prepare averages for parameters that an optimizer adds, in new groups of their own.

    Parameters
    ----------
    average : EWA
        How to average, and from what to go on where nothing is kept in `stepper` yet.
    stepper : Stepper
        Keeps the averages of the optimizer.
    tree
        The structure of all parameters, the new ones among them.
    groups : int
        How many groups are new.
    runs
        As in `Optimizer`: the index of a group, names, arrays.
    """
    before: Kept | None = stepper.layout
    structure = Structure(tree)
    parameters = [
        [_core.as_array(w, f"parameter {name!r}") for name, w in zip(names, arrays, strict=True)]
        for _, names, arrays in runs
    ]
    zeros = [[np.zeros_like(w, subok=False) for w in some] for some in parameters]
    averages = [*(before.averages if before else ()), *chain.from_iterable(zeros)]
    going_on: Kept | None = None if before or average.t == 0 else average._stepper.layout
    if going_on is not None:
        saved = going_on.structure.unflatten(going_on.averages)
        _fill(structure.names, averages, structure.flatten(saved, "the average"))
    flag = average.bias_correction
    addition = stepper.prepare_addition(
        [("", "ewa", told(average.beta, flag), (average.beta, flag))] * groups,
        [(index, names, some) for (index, names, _), some in zip(runs, zeros, strict=True)],
    )
    of = [*(before.parameters if before else ()), *chain.from_iterable(parameters)]
    return addition, Kept(structure, tuple(averages), parameters=tuple(of))


def _fill(names: Sequence[str], averages: Sequence[Array], saved: Sequence[Any]) -> None:
    for name, array, value in zip(names, averages, saved, strict=True):
        if not isinstance(value, np.ndarray):
            raise TypeError(
                f"the average of {name!r} must be an array, like the parameter, got "
                f"{type(value).__name__}; pass a new gs.EWA"
            )
        if (value.shape, value.dtype) != (array.shape, array.dtype):
            raise ValueError(
                f"the average of {name!r} is {value.dtype}{value.shape}, and the parameter is "
                f"{array.dtype}{array.shape}; pass a new gs.EWA"
            )
        array[...] = value


def _corrected(stepper: _core.Stepper, kept: Kept, results: list[Array]) -> Any:
    """Return the (corrected) averages, written to `results`."""
    # One pass: copied first and then divided, each average would be written twice.
    for i, (average, result, correction) in enumerate(
        zip(kept.averages, results, stepper.corrections(), strict=True)
    ):
        if correction == 0.0:  # no value yet
            np.copyto(result, kept.parameters[i])
        elif correction == 1.0:
            np.copyto(result, average)
        else:
            np.divide(average, average.dtype.type(correction), out=result)
    return results[0].item() if kept.of_numbers else kept.structure.unflatten(results)


def _is_number(x: object) -> bool:
    """Whether this is averaged as a number; NumPy takes durations for integers."""
    return isinstance(x, numbers.Real) and not isinstance(x, np.timedelta64)


def _values(
    structure: Structure,
    x: Any,
    is_number: bool,
    what: str = "x",
    like: Sequence[Array] | None = None,
) -> list[Array]:
    """Return a value of the caller's as arrays; `what` it is to them, and `like` what came before."""
    if is_number:
        try:
            return [np.array(float(x))]
        except OverflowError as error:
            raise ValueError(f"{what} is beyond any float: {checks.shown(x)}") from error
    leaves, models = structure.flatten(x, what), like or repeat(None)
    labels = [what] if structure.is_array() else [f"{name!r} of {what}" for name in structure.names]
    return [_value(*each) for each in zip(labels, leaves, models, strict=False)]


def _value(label: str, given: Any, like: Array | None = None) -> Array:
    """Return an array that can be averaged, beside `like` where that is given."""
    array = _core.as_array(given, label)
    whole = array.dtype.kind in "iub"
    dtype = np.dtype(np.float64) if whole else array.dtype
    if like is None and dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{label} has dtype {dtype}, expected native float32, float64 or integers; convert it "
            "with .astype(np.float32) or .astype(np.float64)"
        )
    if like is not None and dtype != like.dtype:
        raise TypeError(
            f"{label} has dtype {array.dtype}, expected {like.dtype} as before; convert it with "
            f".astype(np.{like.dtype})"
        )
    if like is not None and array.shape != like.shape:
        raise ValueError(f"{label} has shape {array.shape}, expected {like.shape} as before")
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
    except ValueError as error:  # of lists that differ in length
        raise ValueError(f"values is no array, nor is one made of it: {error}") from error
    if series.ndim == 0:
        raise ValueError("a series needs at least one axis; for single values use gs.EWA")
    series = np.ascontiguousarray(_value("values", series))
    averages = np.empty_like(series, subok=False)
    _core.ewa_series(series, averages, beta, checks.flag("bias_correction", bias_correction))
    return averages
