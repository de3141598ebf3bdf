"""The base of every optimizer: parameters by name, state, saving, and the way into the core.

What is particular to a rule is one class in optimizers.py; the formulas are in cpp/engine/rules.hpp;
hyperparameters are in groups.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

import gradstep._core as _core
import gradstep.averaging as averaging
import gradstep.checks as checks
import gradstep.transaction as transaction
from gradstep._typing import Array
from gradstep.averaging import EWA
from gradstep.names import FixedAttributes, called_here, name_here
from gradstep.optimizers.groups import Group, change_all, resolved, warn_of_dropped_schedules
from gradstep.optimizers.options import (
    DEFAULTS,
    Bound,
    Nonfinite,
    checked_average,
    core_options,
    listed,
)
from gradstep.optimizers.selection import ByName, Masked
from gradstep.optimizers.state_dict import Loader, plain_state
from gradstep.pytree import Container, Structure, containers_and_leaves, require_distinct
from gradstep.values import frozen


class _Plan(NamedTuple):
    """A group to come, as the core takes it."""

    label: str  # before what is wrong with it
    rule: str
    told: list[tuple[str, str, Any]]
    values: dict[str, Any]

    def start(self, parameter: str, state: Mapping[str, Array]) -> None:
        """Fill new state with what it starts from, where that is not zero."""
        for name, known_as, value in self.told:
            if name != "initial_v":
                continue
            if value > float(np.finfo(state["v"].dtype).max):
                raise ValueError(
                    f"{self.label}{known_as} must be finite in {state['v'].dtype}, the type of "
                    f"parameter {parameter!r}, got {checks.shown(value)}"
                )
            state["v"][...] = value


class _Layout(NamedTuple):
    """What an optimizer is over, replaced as a whole: an interruption finds one or the other."""

    params: Any
    # In which structures gradients come: one, or where `listed` a list of them, one for each group.
    structures: tuple[Structure, ...]
    listed: bool
    groups: tuple[Group, ...]
    members: tuple[tuple[str, ...], ...]  # of each group, the names of its parameters
    state: Mapping[str, Mapping[str, Array]]

    def held(self) -> tuple[list[Container], list[tuple[str, Any]]]:
        """Return what holds the parameters now, and each with the expression for it."""
        return containers_and_leaves(self.structures, self.listed, self.params)

    def trees(self) -> list[Any]:
        """Return the parameters by themselves, in their structures."""
        return [entry["params"] for entry in self.params] if self.listed else [self.params]


class Optimizer(FixedAttributes):
    r"""What all optimizers of this package have in common; use one of its subclasses.

    A step multiplies the gradients by its `scale`, looks whether they are finite, measures their
    norm and clips them; then come weight decay and the update, and the average of the parameters.
    That takes at most two passes over memory, and one where neither the check nor the norm is
    asked for.

    Parameters
    ----------
    params
        One array, a list or tuple of arrays, a dict (nesting allowed), or a list of groups.
    max_norm : float or schedule, optional
        Scales the gradients down where the norm of all of them together, over all groups, is above
        this: by ``min(1, max_norm / ‖g‖₂)``. At least 0; ``math.inf`` measures the norm for
        `grad_norm` and never clips. A norm that is not finite does not clip.
    clip_value : float or schedule, optional
        Brings each element of the gradients within ``±clip_value``, after `max_norm`. At least 0.
    nonfinite : {"propagate", "skip", "raise"}, default "propagate"
        What a step does where a scaled gradient is NaN or infinite: go on; leave out the step, so
        that nothing changes but `skipped` and `last_nonfinite`; or leave it out and raise
        FloatingPointError.
    average : EWA, optional
        Keeps the exponentially weighted average of the parameters, folded in behind each step:
        `average`, `averaged`. One that has averaged the same structure before goes on from that.

    Notes
    -----
    Hyperparameters that are numbers may be schedules: callables that are given the number of steps
    taken so far and return the value of the next step (`gradstep.schedules`, or any other). Each
    member of ``betas`` may be one, and each group may have its own. What v starts from may not.

    A subclass gives its ``__init__`` with the public signature and `_rule`, which says by what rule
    of the core a group with given hyperparameters steps.

    The norm is summed in double precision, in an order that depends on the arrays alone: it has the
    same bits for any number of threads, and is finite where it can be.

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

    # Hyperparameters that only select a rule and mean nothing to the core.
    _selectors: ClassVar[frozenset[str]] = frozenset({"nesterov", "centered", "amsgrad"})
    # Hyperparameters on which it depends what state a rule keeps.
    _shapes: ClassVar[frozenset[str]] = frozenset({"momentum", "centered", "amsgrad"})
    # What the core calls a hyperparameter that has another name here.
    _names: ClassVar[Mapping[str, str]] = {}
    # What the core is told besides.
    _fixed: ClassVar[Mapping[str, Any]] = {}
    # What the learning rate is called.
    _rate: ClassVar[str] = "lr"
    # What its function calls parameters and gradients.
    _arguments: ClassVar[tuple[str, str]] = ("w", "g")

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
        self._defaults = hyperparameters
        options = {"max_norm": max_norm, "clip_value": clip_value, "nonfinite": nonfinite}
        self._average = checked_average(average)
        self._stepper = _core.new_stepper(0, core_options(options))
        self._averages: _core.Stepper | None = None
        if self._average is None:
            self._take(params)
            return
        self._average._unshared_stepper()  # not another optimizer's
        self._averages = _core.new_stepper()
        self._stepper.follow(self._averages)
        self._take(params)
        if self._average.t > 0:
            _core.commit([self._averages.prepare_change([], self._average.t)])
        self._average._stepper = self._averages

    def _take(self, params: Any) -> None:
        """Take the parameters that are given at construction."""
        if isinstance(params, ByName | Masked):
            if _is_list_of_groups(params.params):
                raise ValueError("groups cannot be grouped by name; give the parameters alone")
            self._add_by_name(params)
            return
        listed = _is_list_of_groups(params)
        if isinstance(params, Mapping) and "params" in params and _has_numbers(params):
            raise ValueError(
                "groups come in a list: pass [{'params': ..., 'lr': ...}], got one group alone"
            )
        self._extend(
            _Layout(params, (), listed, (), (), {}), params if listed else [{"params": params}]
        )

    @property
    def params(self) -> Any:
        """The structure given at construction; its arrays are updated in place."""
        return self._layout.params

    @property
    def groups(self) -> list[Group]:
        """The hyperparameters of each group. Assigning to one changes it from the next step on."""
        return list(self._layout.groups)

    @property
    def state(self) -> Mapping[str, Mapping[str, Array]]:
        """The arrays of state by parameter and name: ``state["W1"]["m"]``.

        They are to be looked at and filled. Others in their place, which a step would not see,
        cannot be put there.
        """
        return self._layout.state

    @property
    def _spread_over(self) -> Any:
        """The ranks that take this optimizer's steps together, where there are several."""
        return None

    @property
    def _layout(self) -> _Layout:
        return self._stepper.layout  # type: ignore[no-any-return]

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with hyperparameters of their own; steps take a gradient of them from now on.

        Parameters
        ----------
        group : mapping
            ``"params"`` and any of the hyperparameters; the others are those that this optimizer
            was made with. A position stands for a name as if it had been there from the start.

        Raises
        ------
        TypeError, ValueError
            As at construction; nothing has changed.
        RuntimeError
            If another thread is stepping this optimizer.

        Notes
        -----
        Gradients come as a list with one entry for each group from then on, also where there were
        no groups before. State starts at zero, and bias correction counts the group's own steps.

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

    def _with_group(self, group: Mapping[str, Any]) -> tuple[dict[str, Any], _Layout]:
        """Return another group, read once, and the layout that lists it; raise where none can be added.

        All of it from one look at what there is, which another thread may extend meanwhile.
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

    def _extend(self, layout: _Layout, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add groups to what there is in `layout`."""
        first = sum(structure.positions for structure in layout.structures)
        structures: list[Structure] = []
        groups: list[_Plan] = []
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
            groups.append(self._planned(f"group {index}: " if layout.listed else "", overrides))
            # Positions are counted on through groups.
            structures.append(Structure(tree, first))
            first += structures[-1].positions
            runs.append((index, structures[-1].names, structures[-1].flatten(tree)))
        self._add(layout._replace(structures=(*layout.structures, *structures)), groups, runs)

    def _add_by_name(self, params: ByName | Masked) -> None:
        """Take groups by name: of one structure, whose order the core keeps."""
        structure = Structure(params.params)
        plans = [self._planned("", {})]
        plans += [
            self._planned(f"{pattern!r}: ", values) for pattern, values in params.overrides.items()
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
        self._add(_Layout(params.params, (structure,), False, (), (), {}), plans, runs)

    def _planned(self, label: str, overrides: Mapping[str, Any]) -> _Plan:
        unknown = [key for key in overrides if key not in self._defaults]
        if unknown:
            raise ValueError(
                f"{label}{type(self).__name__} has no hyperparameter {unknown[0]!r}"
                f"{called_here(unknown[0], self._defaults)} (it has {', '.join(self._defaults)})"
            )
        try:
            return _Plan(label, *resolved({**self._defaults, **overrides}, self._rule, self._told))
        except (TypeError, ValueError) as error:
            if not label or type(error) not in (TypeError, ValueError):
                raise
            raise type(error)(label + str(error)) from None

    def _add(
        self,
        layout: _Layout,
        plans: Sequence[_Plan],
        runs: Sequence[tuple[int, Sequence[str], Sequence[Any]]],
    ) -> None:
        """Add groups and parameters, the arrays of each run to the group of that index."""
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
                *(
                    Group(self._stepper, first + i, self._rule, self._told)
                    for i in range(len(plans))
                ),
            ),
            members=(*layout.members, *map(tuple, members)),
            state=MappingProxyType(state),
        )
        self._stepper.add(addition, *expected(layout), layout, *averages, layout.held)

    def _averages_of(
        self,
        layout: _Layout,
        groups: int,
        runs: Sequence[tuple[int, Sequence[str], Sequence[Any]]],
    ) -> tuple[_core.Addition | None, averaging.AverageState | None]:
        """Prepare averages of what is added, where averages are kept."""
        if self._average is None or self._averages is None:
            return None, None
        trees = layout.trees()
        tree = trees if layout.listed else trees[0]
        return averaging.prepare_averages(self._average, self._averages, tree, groups, runs)

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        """Return the name of the core's rule for a group with these hyperparameters."""
        raise NotImplementedError(
            f"{cls.__name__} has no rule; use a subclass such as gradstep.Adam"
        )

    @classmethod
    def _told(cls, values: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
        """Return hyperparameters as the core takes them: its name, the name here, and the value."""
        told = [(name, name, value) for name, value in cls._fixed.items()]
        for name, value in values.items():
            if name in cls._selectors:
                checks.flag(name, value)
            elif name == "betas":
                if not isinstance(value, tuple | list) or len(value) != 2:
                    raise ValueError(
                        f"betas must be a pair of numbers or schedules, got {checks.shown(value)}"
                    )
                told += [("beta1", "betas[0]", value[0]), ("beta2", "betas[1]", value[1])]
            elif name == "dampening" and value is None and "beta" in values:
                # The average: what is kept and what comes in sum to 1.
                told.append(("dampening", "beta", values["beta"]))
            else:
                told.append((cls._names.get(name, name), name, value))
        return told

    def step(self, grads: Any, scale: float = 1.0) -> None:
        """Take one step: update every parameter in place.

        Parameters
        ----------
        grads
            The gradients, in the structure of the parameters; in a dict, the same keys or every
            innermost key with a leading ``d`` (``"dW1"`` for ``"W1"``); with groups, a list with
            one entry for each. Each has its parameter's shape and dtype and any memory layout, and
            is only read.
        scale : float, default 1.0
            Multiplies the gradients before anything else: one over the loss scale, or over the
            number of gradients that were added up.

        Raises
        ------
        TypeError
            If something is not an array, or has a dtype that is not its parameter's.
        ValueError
            If a key, a length or a shape differs, an array became read-only, two of the arrays
            share memory, or `scale` is not finite in a parameter's dtype.
        FloatingPointError
            With ``nonfinite="raise"``, if a gradient is not finite.
        RuntimeError
            If another thread is stepping this optimizer, or inside `averaged`.

        Notes
        -----
        A step happens whole or not at all: every error comes before any byte has changed. In it,
        gradients are scaled, checked, measured and clipped; then come weight decay, the update, and
        the average.
        """
        self._stepper.step(grads, scale)

    @property
    def lr(self) -> float:
        """The learning rate of the next step, of the first group that has parameters.

        Assigning sets all groups'.
        """
        first = next(i for i, names in enumerate(self._layout.members) if names)
        return self._stepper.get(first, "lr")

    @lr.setter
    def lr(self, value: float | Callable[[int], float]) -> None:
        rate = self._rate
        change_all(self._stepper, [group.changed({rate: value}) for group in self.groups])

    @property
    def t(self) -> int:
        """The number of steps taken."""
        return self._stepper.t

    @property
    def max_norm(self) -> Any:
        """The largest norm that all gradients together may have; None where they are not clipped.

        Assigning this, `clip_value` or `nonfinite` changes it from the next step on.
        """
        return self._options["max_norm"]

    @max_norm.setter
    def max_norm(self, value: Bound) -> None:
        self._set_option("max_norm", value)

    @property
    def clip_value(self) -> Any:
        """The largest magnitude that an element of a gradient may have; None where any may."""
        return self._options["clip_value"]

    @clip_value.setter
    def clip_value(self, value: Bound) -> None:
        self._set_option("clip_value", value)

    @property
    def nonfinite(self) -> str:
        """What is done about gradients that are not finite: "propagate", "skip" or "raise"."""
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
        # Without a keyword, on whose way pybind11 does not look whether there is memory.
        prepared = self._stepper.prepare_change([], None, None, options)
        warn_of_dropped_schedules(before, options)
        _core.commit([prepared])

    @property
    def grad_norm(self) -> float | None:
        """The norm of the scaled gradients of the last step, before clipping.

        It is measured only where `max_norm` is set, else None; ``max_norm=math.inf`` measures and
        never clips.
        """
        return self._stepper.norm

    @property
    def skipped(self) -> int:
        """The number of steps that were refused for gradients that are not finite."""
        return self._stepper.skipped

    @property
    def last_nonfinite(self) -> str | None:
        """Which gradient was not finite, and where, in the last step that was refused for it."""
        return self._stepper.not_finite

    @property
    def average(self) -> Any:
        """The (corrected) average of the parameters, in their structure: new arrays.

        None where no average is kept. With groups it is a list with one entry for each. Before a
        group's first step it is a copy of the parameters.
        """
        return None if self._average is None else self._average.value

    def averaged(self) -> AbstractContextManager[Any]:
        """Put the averages in the place of the parameters inside a ``with`` block.

        Returns
        -------
        context manager
            It gives the parameters. Inside, their arrays hold the (corrected) averages, and the
            optimizer can neither step nor be changed or saved; behind it, also after an exception,
            both are as they were, bit by bit.

        Raises
        ------
        ValueError
            If no average is kept.
        RuntimeError
            On entering, if the block is inside another one, or another thread is stepping.
        OverflowError
            On entering, if an average is so large that correcting it overflows.

        Notes
        -----
        Arrays change places in memory: no copy is made, only two bits an element are noted where
        the bias is corrected. So parameters must not be written to inside: what is written there is
        taken for the averages. Before the first step, and for a group that has not taken any, the
        parameters stay as they are.

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
        groups = self.groups  # looked at once: another thread may add one
        options = listed(self._options)
        if self._average is not None:
            options += f", average={self._average!r}"
        name = type(self).__name__
        if len(groups) == 1:
            return f"{name}({groups[0].listed()}{options}, t={self.t}{self._rate_of(groups[0])})"
        lines = "".join(f"\n  {group.listed()}{self._rate_of(group)}" for group in groups)
        return f"{name}({len(groups)} groups{options}, t={self.t}:{lines}\n)"

    def _rate_of(self, group: Group) -> str:
        """Return the rate of the next step as text, where a schedule decides on it."""
        if not callable(group[self._rate]):
            return ""
        try:
            return f"; {self._rate} is {self._stepper.get(group.index, 'lr')!r} now"
        except Exception as error:  # noqa: BLE001 - the user's code; a repr shows what it can
            return f"; {self._rate} fails now: {type(error).__name__}"

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
        if ours in self._selectors & self._shapes:
            return "; it is chosen when the optimizer is made"
        if ours in self._defaults and ours != self._rate:
            return f"; it is a hyperparameter of each group: write opt.groups[0][{ours!r}] = ..."
        return called_here(name, known)

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot: copies of all state, hyperparameters and `t`, as plain values.

        A group has its hyperparameters, the names of its parameters under ``"params"``, the steps
        taken before it came under ``"start"``, and what its corrections need of the steps since,
        such as products of a β that follows a schedule, under ``"products"``.

        Options are under ``"options"``, skipped steps under ``"skipped"``, and the averages of the
        parameters, uncorrected, under ``"average"``.

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
            If anything is not what it should be or does not fit; nothing has changed.

        Warns
        -----
        UserWarning
            Where a hyperparameter was a callable that could not be saved; the own one is kept.
        """
        transaction.take_over(self._prepare_load(d, True))

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> transaction.Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        return Loader(
            type(self).__name__, self._stepper, self._averages, self.groups, strict
        ).prepare(state)


class _Averaged(FixedAttributes):
    """The block in which averages are in the place of the parameters."""

    def __init__(self, stepper: _core.Stepper, params: Any) -> None:
        # Where this goes, the parameters come back: also after an interruption on the way in.
        self._exchanged = stepper.averaged()
        self._params = params

    def __enter__(self) -> Any:
        self._exchanged.put_in()
        return self._params

    def __exit__(self, *_: object) -> None:
        self._exchanged.put_back()


def expected(layout: _Layout) -> tuple[Callable[[Any], Sequence[Any]], list[Any], bool]:
    """Return how gradients come, as the core takes it."""
    if not layout.listed:
        structure = layout.structures[0]
        return structure.flatten_gradients, structure.flat_keys(), structure.is_flat_list()

    def flatten(grads: Any) -> Sequence[Any]:
        if not isinstance(grads, list | tuple):
            raise TypeError(
                f"grads must be a list with one entry for each group, got {type(grads).__name__}"
            )
        if len(grads) != len(layout.structures):
            raise ValueError(
                f"grads must have one entry for each of the {len(layout.structures)} groups, "
                f"got {len(grads)}"
            )
        return [
            leaf
            for i, (structure, tree) in enumerate(zip(layout.structures, grads, strict=True))
            for leaf in structure.flatten_gradients(tree, f"grads[{i}]")
        ]

    return flatten, [], False


def _has_numbers(group: Mapping[Any, Any]) -> bool:
    """Whether this is a group of its own: there are numbers in it, which no parameters can be."""
    return any(isinstance(value, int | float | str) for value in group.values())


def _is_list_of_groups(params: object) -> bool:
    if not isinstance(params, list | tuple) or not params:
        return False
    groups = [isinstance(entry, Mapping) and "params" in entry for entry in params]
    if any(groups) and not all(groups):
        raise ValueError(
            f"entry {groups.index(False)} of params is no group; where one entry is a dict with "
            "the key 'params', all have to be"
        )
    return all(groups)
