"""The conventions of others: change one import and keep your numbers.

`torch`, `keras` and `optax` have the peers' optimizers with the peers' arguments, defaults and
results; `sklearn` lets scikit-learn's networks train on this core. Each is loaded on first use, and
none imports its peer but `sklearn`. What they share is here: how an argument that cannot be had is
refused, and a rate that is called `learning_rate`. The formulas are those of cpp/rules.hpp.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

from gradstep import checks
from gradstep.optimizer import Optimizer

__all__ = ["keras", "optax", "sklearn", "torch"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"gradstep.compat.{name}")
    raise AttributeError(f"module 'gradstep.compat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


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


class _ByLearningRate(Optimizer):
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
