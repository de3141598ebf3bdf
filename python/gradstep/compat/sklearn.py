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

import gradstep.compat.keras as keras
from gradstep._typing import Array
from gradstep.optimizers.base import Optimizer

__all__ = ["TESTED", "accelerate", "is_tested"]

# Versions of scikit-learn with which its own tests passed inside; `nox -s scikit_learn` tries them.
TESTED = ("1.6", "1.7", "1.8", "1.9")


def _refusal() -> str:
    return (
        f"accelerate() was tested with scikit-learn {', '.join(TESTED)}, and this is "
        f"{sklearn.__version__}, whose private interface may differ; install one of those, or leave "
        "accelerate() out"
    )


try:
    from sklearn.neural_network import _multilayer_perceptron as _mlp
    from sklearn.neural_network import _stochastic_optimizers as _theirs
except ImportError as _error:  # a version that does not have them, which cannot get to accelerate()
    raise ImportError(_refusal()) from _error


class _OnCore:
    """What an optimizer of scikit-learn does of its own, with the update on this core.

    Bound to the parameters when it first meets them, and anew where others come, or another type or
    hyperparameter: after copying, unpickling, or where somebody has put others in their place.
    """

    _bound: Optimizer | None = None
    _made: tuple[Any, ...] = ()
    _params: tuple[Array, ...] = ()
    _worked: tuple[Array, ...] = ()  # the parameters in the type in which they are updated
    _saved: dict[str, list[Array]] | None = None  # what there was of state, by the core's names

    def _new(self, params: list[Array]) -> Optimizer:
        raise NotImplementedError

    def _hyperparameters(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def _catch_up(self, opt: Optimizer) -> None:
        """Let the core know what has been set here since the last step."""
        raise NotImplementedError

    def _kept(self) -> dict[str, list[Array]]:
        if self._bound is None:
            return self._saved or {}
        state = list(self._bound.state.values())
        return {name: [arrays[name] for arrays in state] for name in state[0]}

    def _keep(self, **arrays: Sequence[Array]) -> None:
        """Go on from these at the next step."""
        self._saved = {**self._kept(), **{name: list(a) for name, a in arrays.items()}}
        self._bound = None

    def update_params(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """Take one step, in place."""
        opt = self._bind(params, grads)
        self._catch_up(opt)
        # scikit-learn's own update is in the larger type, where the gradients are of that: those of
        # float32 features and float64 targets.
        wider = [(p, w) for p, w in zip(params, self._worked, strict=True) if w is not p]
        for p, w in wider:
            w[...] = p
        opt.step([np.asarray(g, w.dtype) for w, g in zip(self._worked, grads, strict=True)])
        for p, w in wider:
            p[...] = w

    def _bind(self, params: Sequence[Array], grads: Sequence[Array]) -> Optimizer:
        made = self._hyperparameters()
        if (
            self._bound is None
            or made != self._made
            or len(params) != len(self._params)
            or any(new is not old for new, old in zip(params, self._params, strict=True))
            or any(g.dtype.itemsize > w.itemsize for g, w in zip(grads, self._worked, strict=True))
        ):
            kept = self._kept()
            of_each = zip(params, grads, *kept.values(), strict=True)
            types = [np.result_type(np.float32, *arrays) for arrays in of_each]
            worked = [
                p if p.dtype == dtype else p.astype(dtype)
                for p, dtype in zip(params, types, strict=True)
            ]
            bound = self._new(worked)
            for i, arrays in enumerate(bound.state.values()):
                for name in arrays.keys() & kept.keys():
                    arrays[name][...] = kept[name][i]
            self._bound, self._made, self._params = bound, made, tuple(params)
            self._worked, self._saved = tuple(worked), None
        return self._bound

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for name in ("_bound", "_made", "_params", "_worked"):
            state.pop(name, None)
        state["_saved"] = {n: [a.copy() for a in arrays] for n, arrays in self._kept().items()}
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
        super().__init__(params, learning_rate_init, lr_schedule, momentum, nesterov, power_t)

    @property
    def velocities(self) -> list[Array]:
        return [-m for m in self._kept().get("m", [])]

    @velocities.setter
    def velocities(self, values: Sequence[Array]) -> None:
        self._keep(m=[-v for v in values])

    def _hyperparameters(self) -> tuple[Any, ...]:
        # scikit-learn allows 1, which is the largest number below it to within rounding.
        momentum = min(float(self.momentum), float(np.nextafter(1.0, 0.0)))
        return momentum, bool(self.nesterov)

    def _new(self, params: list[Array]) -> Optimizer:
        return keras.SGD(params, float(self.learning_rate), *self._hyperparameters())

    def _catch_up(self, opt: Optimizer) -> None:
        if opt.lr != self.learning_rate:  # by its schedule, or by hand
            opt.lr = float(self.learning_rate)


class _Adam(_OnCore, _theirs.AdamOptimizer):  # type: ignore[misc]
    """`AdamOptimizer`: ε is added to the uncorrected root."""

    t: int

    def __init__(
        self,
        params: Sequence[Array],
        learning_rate_init: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(params, learning_rate_init, beta_1, beta_2, epsilon)

    @property
    def ms(self) -> list[Array]:
        return self._kept().get("m", [])

    @ms.setter
    def ms(self, values: Sequence[Array]) -> None:
        self._keep(m=values)

    @property
    def vs(self) -> list[Array]:
        return self._kept().get("v", [])

    @vs.setter
    def vs(self, values: Sequence[Array]) -> None:
        self._keep(v=values)

    def _hyperparameters(self) -> tuple[Any, ...]:
        values = (self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon)
        return tuple(float(value) for value in values)

    def _new(self, params: list[Array]) -> Optimizer:
        return keras.Adam(params, *self._hyperparameters())

    def _catch_up(self, opt: Optimizer) -> None:
        if opt.t != self.t:  # where it goes on from another, or by hand
            opt.load_state_dict({**opt.state_dict(), "t": int(self.t)})

    def update_params(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        super().update_params(params, grads)
        self.t += 1
        self.learning_rate = (
            self.learning_rate_init * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        )


def _taken_over(optimizer: Any) -> Any:
    """Return an optimizer that goes on from one of scikit-learn's own."""
    ours = {_theirs.SGDOptimizer: _SGD, _theirs.AdamOptimizer: _Adam}.get(type(optimizer))
    if ours is None:
        return optimizer
    own = ours([])
    for name, value in vars(optimizer).items():
        setattr(own, name, value)
    return own


_lock = threading.RLock()
_inside: set[object] = set()
_changed: list[tuple[Any, str, Any, Any]] = []  # where, what was there before the first, and since


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
    numbers = version.partition("+")[0].split(".")
    released = all(number.isdecimal() or number.startswith("post") for number in numbers)
    return released and ".".join(numbers[:2]) in TESTED


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
    exception; it may be nested, and entered by several threads. Other processes are outside, such as
    the workers that ``n_jobs`` starts (joblib's loky): what is fitted there is scikit-learn's own.

    Where the square of a gradient overflows, scikit-learn's weights stand still; here steps go on.

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
    if not is_tested(sklearn.__version__):
        raise RuntimeError(_refusal())
    key = object()
    try:
        _enter(key)
        yield
    finally:
        try:
            _leave(key)
        except BaseException:  # interrupted on the way out
            _leave(key)
            raise


def _places() -> list[tuple[Any, str]]:
    return [
        (_mlp, "SGDOptimizer"),
        (_mlp, "AdamOptimizer"),
        (_mlp.BaseMultilayerPerceptron, "_fit_stochastic"),
    ]


def _enter(key: object) -> None:
    # May be interrupted anywhere: what `_leave` needs is noted before anything is changed.
    with _lock:
        if not _inside:
            _changed.clear()
            fit_stochastic = _mlp.BaseMultilayerPerceptron._fit_stochastic
            signature = inspect.signature(fit_stochastic)

            def goes_on(self: Any, *args: Any, **kwargs: Any) -> Any:
                incremental = signature.bind(self, *args, **kwargs).arguments["incremental"]
                if incremental and hasattr(self, "_optimizer"):
                    self._optimizer = _taken_over(self._optimizer)
                return fit_stochastic(self, *args, **kwargs)

            for (place, name), ours in zip(_places(), (_SGD, _Adam, goes_on), strict=True):
                _changed.append((place, name, getattr(place, name), ours))
                setattr(place, name, ours)
        _inside.add(key)


def _leave(key: object) -> None:
    with _lock:
        if _inside <= {key}:
            for place, name, before, ours in _changed:
                # What somebody else has put there, or taken back, in the meantime stays.
                if getattr(place, name) is ours:
                    setattr(place, name, before)
        _inside.discard(key)
