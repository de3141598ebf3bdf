"""What the peers' optimizers share: refused arguments, and a rate that is called `learning_rate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gradstep.checks as checks
from gradstep.optimizers.base import Optimizer


def require_unused(instead: str, **arguments: Any) -> None:
    """Raise ValueError unless each argument is None or False: it cannot be had here.

    Parameters
    ----------
    instead : str
        What to do instead.
    **arguments
        What the peer calls them, and what was given.
    """
    for name, value in arguments.items():
        if value is not None and value is not False:
            raise ValueError(f"{name}={checks.shown(value)} cannot be had here: {instead}")


class ByLearningRate(Optimizer):
    """An optimizer whose rate is called `learning_rate`."""

    _rate = "learning_rate"
    # What is None where there is none of it.
    _optional: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def _told(cls, values: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
        return super()._told(
            {n: v for n, v in values.items() if v is not None or n not in cls._optional}
        )

    @property
    def learning_rate(self) -> float:
        """The same as `lr`. Assigning changes it."""
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.lr = value
