"""The base of every optimizer: parameters by name, state, saving, and the way into the core.

What is particular to a rule is in the file of its family; the formulas are in cpp/engine/rules.hpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, ClassVar

import gradstep._core as _core
import gradstep.averaging as averaging
import gradstep.checks as checks
import gradstep.transaction as transaction
from gradstep._typing import Array
from gradstep.averaging import EWA
from gradstep.names import FixedAttributes, called_here, name_here
from gradstep.optimizers.groups import Group, change_all, warn_of_dropped_schedules
from gradstep.optimizers.layout import GroupSpec, Layout, expected, has_numbers, is_list_of_groups
from gradstep.optimizers.options import (
    DEFAULTS,
    Bound,
    Nonfinite,
    checked_average,
    core_options,
    listed,
)
from gradstep.optimizers.selection import ByName, Masked
from gradstep.optimizers.spec import Spec
from gradstep.optimizers.state_dict import Loader, plain_state
from gradstep.pytree import Structure, require_distinct
from gradstep.values import frozen


class Optimizer(FixedAttributes):
    r"""What all optimizers of this package have in common; use one of its subclasses.

    A step multiplies the gradients by its `scale`, checks that they are finite, measures their norm
    and clips them. Then it applies weight decay and the update, and averages the parameters. This
    takes two passes over memory, or one if you ask for neither the check nor the norm.

    Parameters
    ----------
    params
        One array, a list or tuple of arrays, a dict (nesting allowed), or a list of groups.
    max_norm : float or schedule, optional
        The largest norm of all gradients together, over all groups: they are multiplied by
        ``min(1, max_norm / ‖g‖₂)``. At least 0; ``math.inf`` measures the norm for `grad_norm` and
        never clips. A norm that is not finite does not clip.
    clip_value : float or schedule, optional
        Clips each element of the gradients to ``±clip_value``, after `max_norm`. At least 0.
    nonfinite : {"propagate", "skip", "raise"}, default "propagate"
        What a step does if a scaled gradient is NaN or infinite. "propagate" takes it anyway.
        "skip" leaves the step out: only `skipped` and `last_nonfinite` change. "raise" leaves it
        out, too, and raises FloatingPointError.
    average : EWA, optional
        Keeps the exponentially weighted average of the parameters, updated after each step: see
        `average` and `averaged`. An EWA that has averaged the same structure before continues.

    Notes
    -----
    A hyperparameter that is a number may be a schedule instead: a callable that takes the number of
    steps taken so far and returns the value for the next step (see `gradstep.schedules`). Each member
    of ``betas`` may be one, and each group may have its own. Only the value that v starts from may not.

    A subclass has an ``__init__`` with the public signature, and `_spec`, which describes how its
    hyperparameters reach the core.

    The norm is summed in double precision, in an order that depends only on the arrays. So it has the
    same bits for any number of threads, and it is finite whenever the result fits.

    References
    ----------
    Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", 2013,
    algorithm 1 (clipping by the norm).

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.zeros(2)
    >>> opt = gs.SGD(w, lr=1.0, max_norm=1.0, nonfinite="skip", average=gs.EWA(0.5))
    >>> opt.step(np.array([3.0, 4.0]))
    >>> w, opt.grad_norm, opt.average
    (array([-0.6, -0.8]), 5.0, array([-0.3, -0.4]))
    >>> opt.step(np.array([0.0, np.nan]))
    >>> opt.skipped, opt.last_nonfinite
    (1, "gradient of '0' is nan, at [1]")
    """

    # How its hyperparameters reach the core.
    _spec: ClassVar[Spec]

    def __init__(
        self,
        params: Any,
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
        **hyperparameters: Any,
    ) -> None:
        if not hasattr(type(self), "_spec"):
            raise NotImplementedError(
                f"{type(self).__name__} has no rule; use a subclass such as gradstep.Adam"
            )
        self._defaults = hyperparameters
        options = {"max_norm": max_norm, "clip_value": clip_value, "nonfinite": nonfinite}
        self._average = checked_average(average)
        self._stepper = _core.new_stepper(0, core_options(options))
        self._averages: _core.Stepper | None = None
        if self._average is None:
            self._take(params)
            return
        self._average._unshared_stepper()  # raises if another optimizer has it
        self._averages = _core.new_stepper()
        self._stepper.follow(self._averages)
        self._take(params)
        if self._average.t > 0:
            _core.commit([self._averages.prepare_change([], self._average.t)])
        self._average._stepper = self._averages

    def _take(self, params: Any) -> None:
        """Take the parameters that are given at construction."""
        if isinstance(params, ByName | Masked):
            if is_list_of_groups(params.params):
                raise ValueError("groups cannot be grouped by name; give the parameters alone")
            self._add_by_name(params)
            return
        listed = is_list_of_groups(params)
        if isinstance(params, Mapping) and "params" in params and has_numbers(params):
            raise ValueError(
                "groups come in a list: pass [{'params': ..., 'lr': ...}], got one group alone"
            )
        self._extend(
            Layout(params, (), listed, (), (), {}), params if listed else [{"params": params}]
        )

    @property
    def params(self) -> Any:
        """The structure given at construction; its arrays are updated in place."""
        return self._layout.params

    @property
    def groups(self) -> list[Group]:
        """The hyperparameters of each group. What you assign counts from the next step on."""
        return list(self._layout.groups)

    @property
    def state(self) -> Mapping[str, Mapping[str, Array]]:
        """The arrays of state by parameter and name: ``state["W1"]["m"]``.

        Read them, or fill them in place (``[...] =``). An optimizer is tied to its arrays, so you
        cannot put other arrays in their place.
        """
        return self._layout.state

    @property
    def _communicator(self) -> Any:
        """The ranks that take this optimizer's steps together, if there are several."""
        return None

    @property
    def _layout(self) -> Layout:
        return self._stepper.layout  # type: ignore[no-any-return]

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with hyperparameters of their own; later steps take gradients of them, too.

        Parameters
        ----------
        group : mapping
            ``"params"`` and any of the hyperparameters; the others are those of the optimizer. Arrays
            without a key are named by their position, counted on from the groups before.

        Raises
        ------
        TypeError, ValueError
            As at construction; nothing has changed.
        RuntimeError
            If another thread is stepping this optimizer.

        Notes
        -----
        From now on gradients are a list with one entry for each group, even if there were no groups
        before. The state starts at zero, and bias correction counts the steps of the group.

        Examples
        --------
        >>> import numpy as np, gradstep as gs
        >>> W, b = np.ones(2), np.ones(1)
        >>> opt = gs.SGD(W, lr=0.5)
        >>> opt.add_group({"params": {"b": b}, "lr": 0.25})
        >>> opt.step([np.ones(2), {"b": np.ones(1)}])
        >>> W, b
        (array([0.5, 0.5]), array([0.75]))
        """
        entry, layout = self._with_group(group)
        self._extend(layout, [entry])

    def _with_group(self, group: Mapping[str, Any]) -> tuple[dict[str, Any], Layout]:
        """Return the new group as a dict, and the layout that lists it.

        The layout is read once, because another thread may extend it meanwhile.
        """
        entry = checks.mapping("group", group)
        if "params" not in entry:
            raise ValueError(f"group must have the key 'params', got {checks.shown(group)}")
        layout = self._layout
        if len(layout.structures) != len(layout.groups):
            raise ValueError(
                "parameters were grouped by name, so another group cannot be added; make one "
                "optimizer over all of them, with a pattern for these"
            )
        before = [*layout.params] if layout.listed else [{"params": layout.params}]
        return entry, layout._replace(params=[*before, entry], listed=True)

    def _extend(self, layout: Layout, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add groups behind those of `layout`."""
        first = sum(structure.positions for structure in layout.structures)
        structures: list[Structure] = []
        groups: list[GroupSpec] = []
        runs: list[tuple[int, Sequence[str], Sequence[Any]]] = []
        for entry in entries:
            overrides = dict(entry)
            tree = overrides.pop("params", None)
            index = len(layout.groups) + len(groups)
            if isinstance(tree, ByName | Masked):
                raise TypeError(
                    f"group {index}: by_name and masks stand for all of params, not within a "
                    "group; choose by name over one structure, or write each group out"
                )
            groups.append(self._group_spec(f"group {index}: " if layout.listed else "", overrides))
            # Positions are counted on through groups.
            structures.append(Structure(tree, first))
            first += structures[-1].positions
            runs.append((index, structures[-1].names, structures[-1].flatten(tree)))
        self._add(layout._replace(structures=(*layout.structures, *structures)), groups, runs)

    def _add_by_name(self, params: ByName | Masked) -> None:
        """Add groups that are chosen by name out of one structure."""
        structure = Structure(params.params)
        plans = [self._group_spec("", {})]
        plans += [
            self._group_spec(f"{pattern!r}: ", values)
            for pattern, values in params.overrides.items()
        ]
        runs: list[tuple[int, tuple[str, ...], Sequence[Any]]] = [
            (index, (name,), [array])
            for index, name, array in zip(
                params.indices(structure),
                structure.names,
                structure.flatten(params.params),
                strict=True,
            )
        ]
        self._add(Layout(params.params, (structure,), False, (), (), {}), plans, runs)

    def _group_spec(self, label: str, overrides: Mapping[str, Any]) -> GroupSpec:
        unknown = [key for key in overrides if key not in self._defaults]
        if unknown:
            raise ValueError(
                f"{label}{type(self).__name__} has no hyperparameter {unknown[0]!r}"
                f"{called_here(unknown[0], self._defaults)} (it has {', '.join(self._defaults)})"
            )
        try:
            return GroupSpec(label, *self._spec.resolve({**self._defaults, **overrides}))
        except (TypeError, ValueError) as error:
            if not label or type(error) not in (TypeError, ValueError):
                raise
            raise type(error)(label + str(error)) from None

    def _add(
        self,
        layout: Layout,
        plans: Sequence[GroupSpec],
        runs: Sequence[tuple[int, Sequence[str], Sequence[Any]]],
    ) -> None:
        """Add groups, and parameters: each run has the index of its group, names and arrays."""
        first = len(layout.groups)
        state = dict(layout.state)
        require_distinct([*state, *(name for _, names, _ in runs for name in names)])
        addition = self._stepper.prepare_addition(plans, runs)
        kept = iter(addition.states)
        for index, names, _ in runs:
            plan = plans[index - first]
            state_names = _core.state_names(plan.rule)
            for name in names:
                arrays = dict(zip(state_names, next(kept), strict=True))
                plan.start(name, arrays)
                state[name] = MappingProxyType(arrays)
        if not state:
            raise ValueError("params holds no arrays; pass at least one parameter")
        averages = self._averages_of(layout, len(plans), runs)
        members: list[list[str]] = [[] for _ in plans]
        for index, names, _ in runs:
            members[index - first] += names
        layout = layout._replace(
            groups=(
                *layout.groups,
                *(Group(self._stepper, first + i, self._spec) for i in range(len(plans))),
            ),
            members=(*layout.members, *map(tuple, members)),
            state=MappingProxyType(state),
        )
        self._stepper.add(addition, *expected(layout), layout, *averages, layout.held)

    def _averages_of(
        self,
        layout: Layout,
        groups: int,
        runs: Sequence[tuple[int, Sequence[str], Sequence[Any]]],
    ) -> tuple[_core.Addition | None, averaging.AverageState | None]:
        """Prepare the averages of new parameters, if this optimizer keeps averages."""
        if self._average is None or self._averages is None:
            return None, None
        trees = layout.trees()
        tree = trees if layout.listed else trees[0]
        return averaging.prepare_averages(self._average, self._averages, tree, groups, runs)

    def step(self, grads: Any, scale: float = 1.0) -> None:
        """Take one step: update every parameter in place.

        Parameters
        ----------
        grads
            The gradients, in the structure of the parameters; in a dict, the same keys or every
            innermost key with a leading ``d`` (``"dW1"`` for ``"W1"``); with groups, a list with
            one entry for each. Each gradient has the shape and dtype of its parameter, and any
            memory layout. A step only reads it.
        scale : float, default 1.0
            Multiplies the gradients first of all, for example by one over the loss scale or over the
            number of gradients in a sum.

        Raises
        ------
        TypeError
            If a gradient is not an array, or has another dtype than its parameter.
        ValueError
            If a key, a length or a shape differs, an array has become read-only, two of the arrays
            share memory, or `scale` is not finite in the dtype of a parameter.
        FloatingPointError
            With ``nonfinite="raise"``, if a gradient is not finite.
        RuntimeError
            If another thread is stepping this optimizer, or inside `averaged`.

        Notes
        -----
        A step happens as a whole or not at all: every error is raised before any byte changes. The
        gradients are scaled, checked, measured and clipped. Then come weight decay, the update, and
        the average.
        """
        self._stepper.step(grads, scale)

    @property
    def lr(self) -> float:
        """The learning rate of the next step, in the first group that has parameters.

        Assigning to it sets the rate of all groups.
        """
        first = next(i for i, names in enumerate(self._layout.members) if names)
        return self._stepper.get(first, "lr")

    @lr.setter
    def lr(self, value: float | Callable[[int], float]) -> None:
        rate = self._spec.rate
        change_all(self._stepper, [group.changed({rate: value}) for group in self.groups])

    @property
    def t(self) -> int:
        """The number of steps taken."""
        return self._stepper.t

    @property
    def max_norm(self) -> Any:
        """The largest norm that all gradients together may have; None does not clip.

        What you assign to this, to `clip_value` or to `nonfinite` counts from the next step on.
        """
        return self._options["max_norm"]

    @max_norm.setter
    def max_norm(self, value: Bound) -> None:
        self._set_option("max_norm", value)

    @property
    def clip_value(self) -> Any:
        """The largest magnitude that an element of a gradient may have; None does not clip."""
        return self._options["clip_value"]

    @clip_value.setter
    def clip_value(self, value: Bound) -> None:
        self._set_option("clip_value", value)

    @property
    def nonfinite(self) -> str:
        """What a step does if gradients are not finite: "propagate", "skip" or "raise"."""
        return self._options["nonfinite"]  # type: ignore[no-any-return]

    @nonfinite.setter
    def nonfinite(self, value: str) -> None:
        self._set_option("nonfinite", value)

    @property
    def _options(self) -> Mapping[str, Any]:
        return self._stepper.options or DEFAULTS

    def _set_option(self, name: str, value: Any) -> None:
        before = self._options
        options = {**before, name: frozen(value)}
        # Without keywords: with them pybind11 does not check that there is memory.
        prepared = self._stepper.prepare_change([], None, None, options)
        warn_of_dropped_schedules(before, options)
        _core.commit([prepared])

    @property
    def grad_norm(self) -> float | None:
        """The norm of the scaled gradients of the last step, before clipping.

        None unless `max_norm` is set; ``max_norm=math.inf`` measures the norm and never clips.
        """
        return self._stepper.norm

    @property
    def skipped(self) -> int:
        """The number of steps that were left out because gradients were not finite."""
        return self._stepper.skipped

    @property
    def last_nonfinite(self) -> str | None:
        """Which gradient was not finite, and where, in the last step that was left out for it."""
        return self._stepper.not_finite

    @property
    def average(self) -> Any:
        """The (corrected) average of the parameters, in their structure: new arrays.

        None if the optimizer keeps no average. With groups it is a list with one entry for each.
        Before the first step of a group it is a copy of the parameters.
        """
        return None if self._average is None else self._average.value

    def averaged(self) -> AbstractContextManager[Any]:
        """Put the averages in the place of the parameters inside a ``with`` block.

        Returns
        -------
        context manager
            It gives the parameters. Inside the block their arrays hold the (corrected) averages, and
            the optimizer can neither step nor be changed or saved. After the block, even if it ended
            with an exception, both are as they were, bit by bit.

        Raises
        ------
        ValueError
            If the optimizer keeps no average.
        RuntimeError
            At the beginning, if the block is inside another one, or another thread is stepping.
        OverflowError
            At the beginning, if an average is so large that correcting it overflows.

        Notes
        -----
        Parameters and averages swap places in memory. No copy is made; with bias correction two bits
        for each element are kept. So do not write to the parameters inside the block: that would
        change the averages. Parameters of a group that has not taken a step stay as they are.

        Examples
        --------
        >>> import numpy as np, gradstep as gs
        >>> w = np.zeros(1)
        >>> opt = gs.SGD(w, lr=1.0, average=gs.EWA(0.5))
        >>> opt.step(-np.ones(1)); opt.step(-np.ones(1))
        >>> with opt.averaged():
        ...     print(w)
        [1.25]
        >>> w
        array([2.])
        """
        if self._averages is None:
            raise ValueError(
                "this optimizer keeps no average of its parameters; make it with "
                "average=gs.EWA(...)"
            )
        return _Averaged(self._stepper, self.params)

    def __repr__(self) -> str:
        groups = self.groups  # read once: another thread may add one
        options = listed(self._options)
        if self._average is not None:
            options += f", average={self._average!r}"
        name = type(self).__name__
        if len(groups) == 1:
            return f"{name}({groups[0].listed()}{options}, t={self.t}{self._rate_of(groups[0])})"
        lines = "".join(f"\n  {group.listed()}{self._rate_of(group)}" for group in groups)
        return f"{name}({len(groups)} groups{options}, t={self.t}:{lines}\n)"

    def _rate_of(self, group: Group) -> str:
        """Return the rate of the next step as text if it follows a schedule."""
        if not callable(group[self._spec.rate]):
            return ""
        try:
            return f"; {self._spec.rate} is {self._stepper.get(group.index, 'lr')!r} now"
        except Exception as error:  # noqa: BLE001 - the user's code; a repr shows what it can
            return f"; {self._spec.rate} fails now: {type(error).__name__}"

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{type(self).__name__} is tied to the memory of its parameters and cannot be copied or "
            "pickled; make one over the other parameters and use state_dict() and load_state_dict()"
        )

    def _is_argument(self, name: str) -> bool:
        return name in vars(self).get("_defaults", ())

    def _instead_of_setting(self, name: str) -> str:
        if hasattr(type(self), name):
            return "; it can only be read"
        known = [*self._defaults, *DEFAULTS]
        ours, _ = (name, "") if name in known else name_here(name, known) or ("", "")
        if self._spec.is_fixed(ours):
            return "; it is chosen when the optimizer is made"
        if ours in self._defaults and ours != self._spec.rate:
            return f"; it is a hyperparameter of each group: write opt.groups[0][{ours!r}] = ..."
        return called_here(name, known)

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot: copies of all state, hyperparameters and `t`, as plain values.

        Each group has its hyperparameters; the names of its parameters under ``"params"``; the number
        of steps before it was added under ``"start"``; and under ``"products"`` what its corrections
        need to know of the steps since, such as the product of a β that follows a schedule.

        Options are under ``"options"``, the number of skipped steps under ``"skipped"``, and the
        averages of the parameters, not corrected, under ``"average"``.

        A schedule of `gradstep.schedules` is saved by name and arguments. Another callable is not
        saved: the hyperparameter's name is listed under ``"callables"``, and the optimizer that
        loads the state keeps its own callable.

        Examples
        --------
        >>> import numpy as np, gradstep as gs
        >>> opt = gs.Momentum({"w": np.ones(2, np.float32)}, lr=0.1)
        >>> opt.step({"w": np.ones(2, np.float32)})
        >>> saved = opt.state_dict()
        >>> saved["t"], saved["state"]["w"]["m"]
        (1, array([0.1, 0.1], dtype=float32))
        """
        return plain_state(type(self).__name__, self._stepper.snapshot())

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned: state, hyperparameters and `t`. All or nothing.

        Parameters
        ----------
        d : mapping
            From an optimizer of the same class over parameters of the same names and shapes.

        Raises
        ------
        TypeError, ValueError
            If the state is damaged or does not fit; nothing has changed.

        Warns
        -----
        UserWarning
            If a hyperparameter was a callable that could not be saved. This optimizer keeps its own.
        """
        transaction.take_over(self._prepare_load(d, True))

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> transaction.Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        return Loader(
            type(self).__name__, self._stepper, self._averages, self.groups, strict
        ).prepare(state)


class _Averaged(FixedAttributes):
    """The block inside which averages are in the place of the parameters."""

    def __init__(self, stepper: _core.Stepper, params: Any) -> None:
        # When this object goes, the parameters come back, even after an interruption on the way in.
        self._exchanged = stepper.averaged()
        self._params = params

    def __enter__(self) -> Any:
        self._exchanged.put_in()
        return self._params

    def __exit__(self, *_: object) -> None:
        self._exchanged.put_back()
