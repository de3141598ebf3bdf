"""What the peers' optimizers share: refused arguments, and a rate that is called `learning_rate`."""

from __future__ import annotations

from typing import Any

import gradstep.checks as checks
from gradstep.optimizers.base import Optimizer


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


class ByLearningRate(Optimizer):
    """An optimizer whose rate is called `learning_rate`."""

    @property
    def learning_rate(self) -> float:
        """The same as `lr`. Assigning changes it."""
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.lr = value
