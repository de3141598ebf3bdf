"""The conventions of others: change one import and keep your numbers.

`torch`, `keras` and `optax` have the peers' optimizers with the peers' arguments, defaults and
results; `sklearn` lets scikit-learn's networks train on this core. Each is loaded on first use, and
only `sklearn` imports its peer. The formulas are those of cpp/engine/rules.hpp.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["keras", "optax", "sklearn", "torch"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"gradstep.compat.{name}")
    raise AttributeError(f"module 'gradstep.compat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
