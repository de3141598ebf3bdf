"""What the peers' optimizers share: docstrings, refused arguments, and the name `learning_rate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gradstep.checks as checks
from gradstep.optimizers.base import Optimizer

_Class = TypeVar("_Class", bound=type)


def require_unused(instead: str, **arguments: Any) -> None:
    """Raise ValueError unless each argument is None or False: it is not supported.

    Parameters
    ----------
    instead : str
        What to do instead.
    **arguments
        What the peer calls them, and what was given.
    """
    for name, value in arguments.items():
        if value is not None and value is not False:
            raise ValueError(f"{name}={checks.shown(value)} is not supported; {instead}")


# Ends the list of parameters in the docstring of each class, where {common} stands.
_COMMON = """\
max_norm, clip_value, nonfinite, average
        Options of a step, as in `gradstep.Optimizer`.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.SGD`; ValueError also for what is not supported, with what to do instead.

    See Also
    --------
    gradstep.{rule} : the rule with this package's own arguments, and its source."""


def documented(rule: str, parameters: str = "") -> Callable[[_Class], _Class]:
    """Return what completes the docstring of a class that steps as `gradstep.<rule>` does.

    `parameters` are those that all classes of the peer have.
    """

    def complete(cls: _Class) -> _Class:
        if cls.__doc__:  # not under `python -OO`
            cls.__doc__ = cls.__doc__.replace("{common}", parameters + _COMMON.format(rule=rule))
        return cls

    return complete


class ByLearningRate(Optimizer):
    """An optimizer whose rate is called `learning_rate`."""

    @property
    def learning_rate(self) -> float:
        """The same as `lr`. Assigning changes it."""
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.lr = value
