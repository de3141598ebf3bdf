"""Groups chosen by the names of parameters, or by a mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import gradstep.checks as checks
from gradstep.pytree import Structure


@dataclass(frozen=True)
class ByName:
    """Parameters of which some have other hyperparameters; see `by_name`."""

    params: Any
    overrides: Mapping[str, Mapping[str, Any]]

    def indices(self, structure: Structure) -> list[int]:
        """Return for each array 0, or counted from 1 which of the overrides it has."""
        patterns = list(self.overrides)
        names = set(structure.names)

        def fits(name: str, pattern: str) -> bool:
            # A whole name means that parameter, also where it holds brackets.
            return name == pattern if pattern in names else fnmatchcase(name, pattern)

        indices = []
        for name in structure.names:
            fitting = (i for i, pattern in enumerate(patterns) if fits(name, pattern))
            indices.append(1 + next(fitting, -1))
        idle = [pattern for i, pattern in enumerate(patterns) if 1 + i not in indices]
        if idle:
            raise ValueError(
                f"the pattern {idle[0]!r} fits no parameter, or only such as an earlier one fits; "
                f"the parameters are {', '.join(structure.names)}"
            )
        return indices


@dataclass(frozen=True)
class Masked:
    """Parameters of which those where `mask` is False have other hyperparameters."""

    params: Any
    mask: Any
    values: Mapping[str, Any]

    @property
    def overrides(self) -> Mapping[str, Mapping[str, Any]]:
        """What is said of them, and the hyperparameters."""
        return {"masked": self.values}

    def indices(self, structure: Structure) -> list[int]:
        """Return for each array 0, or 1 where it is masked."""
        return [0 if taken else 1 for taken in structure.spread(self.mask)]


def by_name(params: Any, overrides: Mapping[str, Mapping[str, Any]]) -> ByName:
    """Give some parameters other hyperparameters, chosen by name.

    Parameters
    ----------
    params
        One array, a list or tuple of arrays, or a dict (nesting allowed).
    overrides : mapping
        Patterns of names, and the hyperparameters of the parameters they fit, as in
        ``{"b*": {"weight_decay": 0.0}}``. ``*`` stands for any characters, ``?`` for one, ``[ab]``
        for one of those. A pattern that is a parameter's whole name means that parameter, brackets
        and all. Where several fit a name, the first one counts. Nested names are joined by
        dots and matched whole: of ``{"l": {"W": ..., "b": ...}}`` ``"l.*"`` takes both, ``"*b"`` one.

    Returns
    -------
    ByName
        What an optimizer takes as `params`. Gradients keep the structure of `params`.

    Raises
    ------
    TypeError
        If `overrides` is no mapping of mappings.
    ValueError
        By the optimizer, if a pattern fits nothing or a hyperparameter is wrong.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> params = {"W1": np.ones(1), "b1": np.ones(1)}
    >>> opt = gs.AdamW(gs.by_name(params, {"b*": {"weight_decay": 0.0}}), lr=0.1, weight_decay=0.5)
    >>> opt.step({"dW1": np.zeros(1), "db1": np.zeros(1)})
    >>> params
    {'W1': array([0.95]), 'b1': array([1.])}
    """
    taken = {}
    for pattern, values in checks.mapping("overrides", overrides).items():
        if not isinstance(pattern, str):
            raise TypeError(f"a pattern must be text, got {checks.shown(pattern)}")
        taken[pattern] = checks.mapping(f"overrides[{pattern!r}]", values)
    return ByName(params, taken)
