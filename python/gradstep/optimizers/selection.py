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
    """Parameters, with other hyperparameters for some of them; see `by_name`."""

    params: Any
    overrides: Mapping[str, Mapping[str, Any]]

    def indices(self, structure: Structure) -> list[int]:
        """Return for each array the number of its overrides, counted from 1, or 0."""
        patterns = list(self.overrides)
        names = set(structure.names)

        def fits(name: str, pattern: str) -> bool:
            # A whole name means that parameter, even if it contains brackets.
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
    """Parameters, with other hyperparameters for those where `mask` is False."""

    params: Any
    mask: Any
    values: Mapping[str, Any]

    @property
    def overrides(self) -> Mapping[str, Mapping[str, Any]]:
        """The hyperparameters, under the name that errors use."""
        return {"masked": self.values}

    def indices(self, structure: Structure) -> list[int]:
        """Return for each array 1 if it is masked, else 0."""
        return [0 if taken else 1 for taken in structure.spread(self.mask)]


def by_name(params: Any, overrides: Mapping[str, Mapping[str, Any]]) -> ByName:
    """Give some parameters other hyperparameters, chosen by name.

    Parameters
    ----------
    params
        One array, a list or tuple of arrays, or a dict (nesting allowed).
    overrides : mapping
        Patterns of names, and hyperparameters for the parameters that they match, as in
        ``{"b*": {"weight_decay": 0.0}}``. ``*`` matches any characters, ``?`` one character, and
        ``[ab]`` one of these. A pattern that is the whole name of a parameter means that parameter.
        If several patterns match, the first one counts. Nested names are joined by dots: in
        ``{"l": {"W": ..., "b": ...}}`` the pattern ``"l.*"`` matches both, and ``"*b"`` one.

    Returns
    -------
    ByName
        Pass it to an optimizer as `params`. Gradients have the structure of `params` as before.

    Raises
    ------
    TypeError
        If `overrides` is not a mapping of mappings.
    ValueError
        Raised by the optimizer if a pattern matches nothing or a hyperparameter is wrong.

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
