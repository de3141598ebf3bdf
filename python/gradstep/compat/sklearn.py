"""scikit-learn's multi-layer perceptrons on this core.

Inside of `accelerate` they take their steps here, with the loss curves that they have outside. What
is changed is private to scikit-learn, so the versions are named with which that was tried.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import _multilayer_perceptron as _mlp
from sklearn.neural_network import _stochastic_optimizers as _theirs

from gradstep.compat import keras
from gradstep.optimizer import Optimizer

__all__ = ["TESTED", "accelerate", "is_tested"]

# Versions of scikit-learn with which its own tests passed inside; `nox -s scikit_learn` tries them.
TESTED = ("1.6", "1.7", "1.8", "1.9")

Array = np.ndarray[Any, np.dtype[Any]]


class _OnCore:
    """What an optimizer of scikit-learn does of its own, with the update on this core.

    Bound to the parameters when it first meets them, and anew where others come: after copying,
    unpickling, or where an estimator has put other arrays in their place.
    """

    _bound: Optimizer | None = None
    _params: tuple[Array, ...] = ()
    _saved: dict[str, Any] | None = None

    def _new(self, params: list[Array]) -> Optimizer:
        raise NotImplementedError

    def update_params(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """Take one step, in place."""
        self._bind(params).step(
            # One of another dtype would be cast by scikit-learn's own update as well.
            [np.asarray(g, p.dtype) for p, g in zip(params, grads, strict=True)]
        )

    def _bind(self, params: Sequence[Array]) -> Optimizer:
        same = len(params) == len(self._params) and all(
            new is old for new, old in zip(params, self._params, strict=True)
        )
        if self._bound is None or not same:
            saved = self._saved if self._bound is None else self._bound.state_dict()
            bound = self._new(list(params))
            if saved is not None:
                bound.load_state_dict(saved)
            self._bound, self._params, self._saved = bound, tuple(params), None
        return self._bound

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        bound = state.pop("_bound", None)
        state.pop("_params", None)
        if bound is not None:
            state["_saved"] = bound.state_dict()
        return state


class _SGD(_OnCore, _theirs.SGDOptimizer):  # type: ignore[misc]
    """`SGDOptimizer`: α is kept in the buffer, with the other sign."""

    def __init__(
        self,
        params: Sequence[Array],
        learning_rate_init: float = 0.1,
        lr_schedule: str = "constant",
        momentum: float = 0.9,
        nesterov: bool = True,
        power_t: float = 0.5,
    ) -> None:
        super().__init__([], learning_rate_init, lr_schedule, momentum, nesterov, power_t)
        del self.velocities  # they are the core's

    def _new(self, params: list[Array]) -> Optimizer:
        # scikit-learn allows 1, which is the largest number below it to within rounding.
        momentum = min(float(self.momentum), float(np.nextafter(1.0, 0.0)))
        return keras.SGD(params, float(self.learning_rate), momentum, bool(self.nesterov))

    def update_params(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        opt = self._bind(params)
        if opt.lr != self.learning_rate:  # by its schedule, or by hand
            opt.lr = float(self.learning_rate)
        super().update_params(params, grads)


class _Adam(_OnCore, _theirs.AdamOptimizer):  # type: ignore[misc]
    """`AdamOptimizer`: ε is added to the uncorrected root."""

    def __init__(
        self,
        params: Sequence[Array],
        learning_rate_init: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__([], learning_rate_init, beta_1, beta_2, epsilon)
        del self.ms, self.vs

    def _new(self, params: list[Array]) -> Optimizer:
        return keras.Adam(
            params,
            float(self.learning_rate_init),
            float(self.beta_1),
            float(self.beta_2),
            float(self.epsilon),
        )

    def update_params(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        super().update_params(params, grads)
        self.t += 1
        self.learning_rate = (
            self.learning_rate_init * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        )


def _taken_over(optimizer: Any, params: list[Array]) -> Any:
    """Return an optimizer that goes on from one of scikit-learn's own."""
    if type(optimizer) is _theirs.SGDOptimizer:
        own = _SGD(
            params,
            optimizer.learning_rate_init,
            optimizer.lr_schedule,
            optimizer.momentum,
            optimizer.nesterov,
            optimizer.power_t,
        )
        own.learning_rate = optimizer.learning_rate
        bound = own._bind(params)
        for arrays, velocity in zip(bound.state.values(), optimizer.velocities, strict=True):
            if arrays:
                np.negative(velocity, out=arrays["m"])
        return own
    if type(optimizer) is _theirs.AdamOptimizer:
        own = _Adam(
            params,
            optimizer.learning_rate_init,
            optimizer.beta_1,
            optimizer.beta_2,
            optimizer.epsilon,
        )
        own.t, own.learning_rate = optimizer.t, optimizer.learning_rate
        bound = own._bind(params)
        for arrays, m, v in zip(bound.state.values(), optimizer.ms, optimizer.vs, strict=True):
            arrays["m"][...], arrays["v"][...] = m, v
        bound.load_state_dict({**bound.state_dict(), "t": optimizer.t})
        return own
    return optimizer


_lock = threading.Lock()
_depth = 0
_own: tuple[Any, ...] = ()  # what was there before the first came in


def is_tested(version: str) -> bool:
    """Return whether `version` of scikit-learn is one of those that `accelerate` was tested with.

    Parameters
    ----------
    version : str
        As ``sklearn.__version__``.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.compat.sklearn.is_tested("0.24.2")
    False
    """
    return any(version == tested or version.startswith(f"{tested}.") for tested in TESTED)


@contextmanager
def accelerate() -> Iterator[None]:
    """Let scikit-learn's `MLPClassifier` and `MLPRegressor` train on this core inside of a ``with``.

    ``fit`` and ``partial_fit`` with the solvers ``"sgd"`` and ``"adam"`` take their updates here;
    everything else is scikit-learn's own. What was fitted inside can be used, copied, pickled and
    fitted further outside, where this package is installed.

    Raises
    ------
    RuntimeError
        If this version of scikit-learn is none of those it was tested with.

    Notes
    -----
    What it gains depends on how much of the training is the update: most where networks are large
    and batches are small. ``examples/accelerate_sklearn.py`` measures it.

    It changes scikit-learn for the whole process until the ``with`` ends, also where that is by an
    exception; it may be nested, and entered by several threads.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> from sklearn.neural_network import MLPRegressor
    >>> X, y = np.linspace(0, 1, 50).reshape(-1, 1), np.linspace(0, 2, 50)
    >>> with gs.compat.sklearn.accelerate():
    ...     model = MLPRegressor(hidden_layer_sizes=(10,), max_iter=500, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """
    version = sklearn.__version__
    if not is_tested(version):
        raise RuntimeError(
            f"accelerate() was tested with scikit-learn {', '.join(TESTED)}, and this is {version}, "
            "whose private interface may differ; install one of those, or leave accelerate() out"
        )
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _depth, _own
    with _lock:
        if _depth == 0:
            _own = (
                _mlp.SGDOptimizer,
                _mlp.AdamOptimizer,
                _mlp.BaseMultilayerPerceptron._fit_stochastic,
            )
            fit_stochastic = _own[2]
            signature = inspect.signature(fit_stochastic)

            def goes_on(self: Any, *args: Any, **kwargs: Any) -> Any:
                incremental = signature.bind(self, *args, **kwargs).arguments["incremental"]
                if incremental and hasattr(self, "_optimizer"):
                    self._optimizer = _taken_over(self._optimizer, self.coefs_ + self.intercepts_)
                return fit_stochastic(self, *args, **kwargs)

            _mlp.SGDOptimizer, _mlp.AdamOptimizer = _SGD, _Adam
            _mlp.BaseMultilayerPerceptron._fit_stochastic = goes_on
        _depth += 1


def _leave() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth == 0:
            (
                _mlp.SGDOptimizer,
                _mlp.AdamOptimizer,
                _mlp.BaseMultilayerPerceptron._fit_stochastic,
            ) = _own
