"""A coverage-guided fuzzer: bytes are read as a program of calls into the package and its core.

Any call may be refused, with an error of a documented kind, and then nothing has changed; nothing
may crash. The extension is built with Clang's sanitizers, whose coverage guides the search; see
`nox -s fuzz`. A file that libFuzzer has written is run again by giving its name as argument.
"""

from __future__ import annotations

import copy
import itertools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

# Whatever of the package is loaded on first use is loaded here, and so guides the search too.
with atheris.instrument_imports(include=["gradstep"]):
    import gradstep as gs
    from gradstep import _core
    from support.anything import (
        CORE_FLAGS,
        CORE_NUMBERS,
        FUNCTION_OPTIONS,
        FUNCTIONS,
        HOSTILE,
        OPTIMIZERS,
        OURS,
        PLAIN,
        RULES,
        STEP_OPTIONS,
        OwnError,
        arguments_of,
        arrays_of,
        following,
        over,
    )

Array = NDArray[Any]
VALUES = PLAIN + HOSTILE
# The core itself refuses a position with an IndexError.
REFUSALS = (*OURS, OwnError, IndexError, UserWarning, FloatingPointError)

NAMES = sorted({"params", *(name for kind in OPTIMIZERS for name in arguments_of(kind))})
# What products are kept of, and one that is none of it.
PRODUCTS = ["beta", "beta1", "beta2", "mu", "else"]
PATTERNS = ["*", "a", "b", "a*", "?", "[ab]", "*.*", "", "0", 0]
SCHEDULES = [gs.schedules.Linear(0.25, 0.5, steps=4), gs.schedules.Constant(0.5)]
DTYPES = [np.dtype(name) for name in ("f4", "f4", "f4", "f8", "f8", "f2", "i8", "O", ">f4", "V40")]
SHAPES = [(3,), (3,), (2, 3), (), (0,), (1, 1), (2, 0, 3), (40, 30), (5000,), (2, 1, 2, 1, 2)]
KEYS = ["a", "b", "da", "db", "w", "a.b", "params", 0, None, "\ud800", (1, 2)]


class Program:
    """The bytes of one run, as choices; they end in zeros."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)
        self.over = False
        self.shared = np.zeros(64, np.uint8)  # memory in which several arrays may lie

    def byte(self) -> int:
        for byte in self._bytes:
            return byte
        self.over = True
        return 0

    def pick(self, choices: Any) -> Any:
        n = self.byte()
        if len(choices) > 256:
            n = n << 8 | self.byte()
        return choices[n % len(choices)]

    def value(self) -> Any:
        return self.pick(VALUES)()

    def number(self) -> Any:
        """Return mostly what is in range."""
        choice = self.byte()
        return choice / 256 if choice < 200 else self.value()

    def whole(self) -> Any:
        choice = self.byte()
        return choice - 4 if choice < 200 else 2**63 - choice if choice < 220 else self.value()

    def array(self) -> Any:
        return self.laid_out(np.zeros(self.pick(SHAPES), self.pick(DTYPES)))

    def laid_out(self, array: Array) -> Any:
        """Return an array like this one in some layout."""
        layout = self.byte() % 16
        if layout == 1:
            return np.asfortranarray(array).reshape(array.shape)
        if layout == 2:
            return array[..., ::-1] if array.ndim else array
        if layout == 3 and array.ndim:
            return np.repeat(array, 2, axis=0)[::2]
        if layout == 4:
            return array.T
        if layout == 5:
            return np.broadcast_to(array, array.shape)
        if layout == 6 and array.ndim:
            return as_strided(array, array.shape, (0,) * array.ndim)
        if layout == 7 and array.nbytes < 48:
            memory = self.shared[self.byte() % 16 :][: array.nbytes]
            return np.ndarray(array.shape, array.dtype, memory) if array.dtype != "O" else array
        if layout == 8:
            memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
            return np.ndarray(array.shape, array.dtype, memory) if array.dtype != "O" else array
        return array

    def like(self, array: Any) -> Any:
        """Return mostly a gradient that fits."""
        choice = self.byte()
        if not isinstance(array, np.ndarray) or choice >= 240:
            return self.value()
        gradient = np.ones(array.shape, array.dtype)
        if choice >= 200 and array.dtype.kind == "f" and array.size:  # large, or not finite
            gradient.flat[choice % array.size] = self.pick([np.nan, np.inf, -np.inf, 1e4])
        return self.laid_out(gradient)

    def tree(self, leaf: Callable[[], Any], depth: int = 0) -> Any:
        kind = self.byte() % 16
        if kind < 8 or depth > 2:
            return leaf()
        children = [self.tree(leaf, depth + 1) for _ in range(self.byte() % 4)]
        if kind < 11:
            return children
        if kind < 12:
            return tuple(children)
        if kind < 15:
            return {self.pick(KEYS): child for child in children}
        return self.value()

    def options(self, names: list[str] = NAMES) -> dict[str, Any]:
        """Return options that mostly have these names, and mostly numbers."""
        found: dict[str, Any] = {}
        for _ in range(self.byte() % 3):
            name = self.pick(names) if self.byte() < 240 else self.pick(NAMES)
            found[name] = self.pair() if name == "betas" else self.rate()
        return found

    def step_options(self, names: list[str]) -> dict[str, Any]:
        """Return some of the options that a step has, mostly such as may be."""
        return {name: self.step_option(name) for name in self.several(names)}

    def step_option(self, name: str) -> Any:
        if name == "average" and self.byte() < 240:
            average = gs.EWA(0.5, bias_correction=self.byte() % 2 == 0)
            if self.byte() < 32:  # used before, perhaps on what does not fit
                attempt(average.update, self.tree(self.array))
            return average
        if name == "nonfinite" and self.byte() < 240:
            return self.pick(["skip", "raise", "propagate"])
        return self.pick([1.0, 0.5, float("inf"), None]) if self.byte() < 64 else self.rate()

    def pair(self) -> Any:
        return (self.rate(), self.rate()) if self.byte() < 240 else self.value()

    def rate(self) -> Any:
        return self.pick(SCHEDULES) if self.byte() < 64 else self.number()

    def told(self) -> Any:
        """Return what the core is told of a group."""
        numbers: dict[str, Any] = dict.fromkeys(CORE_NUMBERS, 0.5)
        for _ in range(self.byte() % 4):
            numbers[self.pick(CORE_NUMBERS)] = self.rate()
        told = [(name, name, value) for name, value in numbers.items()]
        told += [(name, name, True) for name in self.several(CORE_FLAGS)]
        if self.byte() > 240:
            told.append((self.pick(NAMES), "odd", self.value()))
        return told if self.byte() < 250 else self.value()

    def core_options(self) -> Any:
        """Return what the core is told of a step."""
        if self.byte() < 128:
            return None
        names = STEP_OPTIONS[:3]
        return {name: self.step_option(name) for name in names}

    def rule(self) -> Any:
        return self.pick(RULES) if self.byte() < 240 else self.value()

    def several(self, names: list[str]) -> list[str]:
        """Return some of these, by the bits of two bytes."""
        bits = self.byte() << 8 | self.byte()
        return [name for i, name in enumerate(names) if bits >> i & 1]

    def product(self, tree: Any) -> Any:
        """Return what NAdam's product is kept in: mostly what is right, or part of the parameters."""
        choice = self.byte()
        if choice < 160:
            return np.full(1, 1 - choice / 160)
        return self.array() if choice < 220 else tree if choice < 240 else self.value()

    def products(self) -> Any:
        """Return products over steps, mostly such as may be."""
        return {
            self.pick(PRODUCTS): (self.byte() / 255, 0.0) if self.byte() < 200 else self.value()
            for _ in range(self.byte() % 4)
        }


REFUSED = object()


class Count:
    """How much was executed: libFuzzer counts programs, of which each calls several entry points."""

    programs = calls = 0


def attempt(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a call gives, or REFUSED; an error that is none of ours comes through."""
    Count.calls += 1
    try:
        return call(*arguments, **options)
    except BaseException as error:
        if type(error) not in REFUSALS:
            raise
        return REFUSED


def require(truth: bool, what: str) -> None:
    """Raise where something is not as it should be."""
    if not truth:
        raise AssertionError(what)


def mapped(tree: Any, change: Callable[[Any], Any], depth: int = 0) -> Any:
    """Return a plain structure with every leaf changed."""
    if type(tree) is dict and depth < 5:
        return {key: mapped(child, change, depth + 1) for key, child in tree.items()}
    if type(tree) in (list, tuple) and depth < 5:
        return [mapped(child, change, depth + 1) for child in tree]
    return change(tree)


def arrays_in(tree: Any) -> list[Array]:
    """Return the arrays of a plain structure."""
    found: list[Array] = []
    mapped(tree, lambda leaf: found.append(leaf) if type(leaf) is np.ndarray else None)
    return found


def damaged(p: Program, tree: Any) -> Any:
    """Return a state with something replaced, left out or added, or as it is."""
    choice = p.byte() % 8
    if choice == 0:
        return p.value()
    if choice == 1 or not isinstance(tree, dict | list) or not tree:
        return tree
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    copied, key = tree.copy(), p.pick(keys)
    if choice == 2:
        del copied[key]
    elif choice == 3 and isinstance(tree, dict):
        copied[p.pick(KEYS)] = p.value()
    else:
        copied[key] = damaged(p, copied[key])
    return copied


def made(p: Program) -> tuple[Any, Any, bool]:
    """Return an optimizer over anything, its parameters, and whether they are a list of groups."""
    params: Any = p.tree(p.array if p.byte() < 200 else p.value)
    kind = p.pick(OPTIMIZERS)
    options = p.options(arguments_of(kind))
    beside = p.step_options(STEP_OPTIONS) if p.byte() < 160 else {}
    if p.byte() < 64:
        options = {**following(kind, p.pick(SCHEDULES)), **options}
    way, opt = p.byte() % 8, REFUSED
    if "params" in options:
        options, way = {}, 0
    for tree in (params, {"a": np.ones(3, np.float32), "b": np.ones((2, 2))}):
        over_tree, masked = tree, dict[str, Any]()
        if way == 1:
            over_tree, masked = [{"params": tree, **options}], {}
        elif way == 2:
            overrides = {
                p.pick(PATTERNS): p.options(arguments_of(kind)) for _ in range(p.byte() % 3)
            }
            over_tree = attempt(gs.by_name, tree, overrides if p.byte() < 250 else p.value())
        elif way == 3:
            mask = mapped(tree, lambda leaf: p.byte() < 128) if p.byte() < 200 else p.value()
            masked = {name: mask for name in arguments_of(kind) if "mask" in name}
        if over_tree is not REFUSED:
            options_here = {} if way == 1 else options
            opt = attempt(over, kind, over_tree, **{**options_here, **masked, **beside})
        if opt is not REFUSED:
            return opt, tree, way == 1
        options, beside = {}, {}
    return over(kind, tree), tree, False


def optimize(p: Program) -> None:
    """An optimizer over anything, stepped, changed, added to, saved and loaded."""
    opt, params, grouped = made(p)
    groups, written = [params], arrays_in(params)
    saved = opt.state_dict()
    while not p.over:
        before, t, stepped = [(w, w.tobytes()) for w in written], opt.t, False
        kept, skipped = opt.state_dict(), opt.skipped
        action, refused = p.byte() % 13, False
        if action < 4:
            grads = [mapped(tree, p.like) for tree in groups] if p.byte() < 200 else p.tree(p.array)
            single = not grouped and type(grads) is list and len(groups) == 1 and len(grads) == 1
            scale = 1.0 if p.byte() < 128 else p.number()
            stepped = attempt(opt.step, grads[0] if single else grads, scale) is not REFUSED
            refused = not stepped
            # One that is left out for its gradients is counted, whether it is told by an error or not.
            left_out = opt.skipped - skipped
            require(left_out in (0, 1), "at most one is skipped")
            stepped = stepped and not left_out
            require(opt.t == t + stepped, "t moves by one, or not at all")
            kept["skipped"] += left_out
            refused = refused or left_out == 1
        elif action == 4:
            group = p.pick(opt.groups)
            refused = attempt(group.__setitem__, p.pick(list(group)), p.rate()) is REFUSED
        elif action == 5:
            refused = attempt(opt.load_state_dict, damaged(p, saved)) is REFUSED
        elif action == 6:
            refused = attempt(setattr, opt, "lr", p.rate()) is REFUSED
        elif action == 7:
            # Arrays of an added group may be those that are there.
            tree = p.tree(p.array) if p.byte() < 200 or not written else p.pick(written)
            group = {"params": tree, **p.options(list(opt.groups[0]))}
            refused = attempt(opt.add_group, group if p.byte() < 240 else p.value()) is REFUSED
            if not refused:
                groups.append(tree)
                written += arrays_in(tree)
                saved = opt.state_dict()
        elif action == 8:
            name = p.pick(STEP_OPTIONS[:3])
            refused = attempt(setattr, opt, name, p.step_option(name)) is REFUSED
        elif action == 9:
            in_place(p, opt)
            refused = True  # it has changed as little
        elif action == 10:
            attempt(getattr, opt, "average")
            attempt(getattr, opt, "grad_norm")
            attempt(copy.copy, opt._average)
        else:
            saved = opt.state_dict()
        if not stepped:
            require(all(w.tobytes() == b for w, b in before), "what is refused changes nothing")
        if refused:
            require(same(opt.state_dict(), kept), "what is refused changes no state")


def in_place(p: Program, opt: gs.Optimizer) -> None:
    """Averages in the place of the parameters, and what is refused there."""
    block = attempt(opt.averaged)
    if block is REFUSED or attempt(block.__enter__) is REFUSED:
        return
    acts = [
        lambda: opt.step([]),
        opt.state_dict,
        block.__enter__,
        lambda: setattr(opt, "max_norm", 1.0),
        lambda: opt.add_group({"params": np.ones(3)}),
        lambda: opt.average,
    ]
    for _ in range(p.byte() % 4):
        require(attempt(p.pick(acts)) is REFUSED, "nothing else is done inside")
    if p.byte() < 200:  # or it is only let go of
        block.__exit__(None, None, None)


def same(a: Any, b: Any) -> bool:
    """Whether two states are the same, bit for bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a is b or a == b


def functions(p: Program) -> None:
    """The optimizers as functions, with state of the caller's."""
    while not p.over:
        call = p.pick(FUNCTIONS)
        names = arrays_of(call)
        w = p.tree(p.array)
        given = {name: w if name == names[0] else mapped(w, p.like) for name in names}
        if "mu_product" in given:
            given["mu_product"] = p.product(w)
        others = [name for name in arguments_of(call) if name not in (*names, "lr", "t")]
        options = {"lr": p.number(), **p.options(others)} if "lr" in arguments_of(call) else {}
        if p.byte() < 100:
            options |= p.step_options(FUNCTION_OPTIONS)
        if "t" in arguments_of(call) and p.byte() < 250:
            options["t"] = 1 + p.byte() % 8 if p.byte() < 200 else p.whole()
        # What the caller keeps is as it was where the call was refused.
        before = [(array, array.tobytes()) for array in arrays_in([*given.values()])]
        if attempt(call, **{**given, **options}) is REFUSED:
            require(all(a.tobytes() == b for a, b in before), "what is refused changes nothing")


def averages(p: Program) -> None:
    """Averages one by one, of a series, saved and loaded."""
    corrected = p.pick([True, False, None])
    average = attempt(gs.EWA, p.number(), bias_correction=corrected)
    if average is REFUSED:
        average = gs.EWA()
    x = p.tree(p.array)
    while not p.over:
        t, action = average.t, p.byte() % 4
        if action < 2:
            value = mapped(x, p.like) if p.byte() < 200 else p.tree(p.value)
            updated = attempt(average.update, value) is not REFUSED
            require(average.t == t + updated, "t moves by one, or not at all")
        elif action == 2:
            attempt(average.load_state_dict, damaged(p, average.state_dict()))
        else:
            series = p.value() if p.byte() < 100 else p.array()
            attempt(gs.ewa, series, p.number(), bias_correction=corrected)


BATCHES = ["batch_size", "shuffle", "drop_last", "axis", "seed", "shard", "prepare"]


def batches(p: Program) -> None:
    """Mini-batches of anything, broken off, saved and loaded."""
    arrays = [p.array() if p.byte() < 240 else p.value() for _ in range(1 + p.byte() % 2)]
    options = {p.pick(BATCHES): p.whole() for _ in range(p.byte() % 3)}
    handed = attempt(gs.MiniBatches, *arrays, **{"seed": 0, **options})
    if handed is REFUSED:
        handed = gs.MiniBatches(np.arange(12).reshape(6, 2), batch_size=4, seed=0)
    while not p.over:
        if p.byte() % 3 == 0:
            attempt(handed.load_state_dict, damaged(p, handed.state_dict()))
        else:
            attempt(list, itertools.islice(handed, p.byte() % 4))


def schedules(p: Program) -> None:
    """Schedules of any arguments at any count, and their plain form."""
    while not p.over:
        kind = getattr(gs.schedules, p.pick(gs.schedules.__all__))
        given = [p.number() if p.byte() < 128 else p.whole() for _ in range(p.byte() % 4)]
        schedule = attempt(kind, *given)
        if isinstance(schedule, gs.schedules.Schedule):
            attempt(schedule, p.whole())
            config = attempt(gs.schedules.to_config, schedule)
            require(config is REFUSED or gs.schedules.from_config(config) == schedule, "as saved")


def core(p: Program) -> None:
    """The functions of the core, which users never call."""
    while not p.over:
        action = p.byte() % 10
        if action == 0:
            arrays = [p.array() for _ in range(p.byte() % 3)]
            order = np.arange(p.byte() % 8, dtype=p.pick(["i8", "i8", "i4", "f8"])) - p.byte() % 2
            attempt(_core.gather, arrays, p.pick([order, order[::-1]]), p.whole(), p.whole())
        elif action == 1:
            array = p.array()
            attempt(_core.copy_in_rows, array)
            attempt(_core.bytes_in_one_piece, array)
        elif action == 2:
            attempt(_core.ewa_series, p.array(), p.array(), p.number(), True)
        elif action == 3:
            value = p.value()
            attempt(_core.as_array, value, "x")
            attempt(_core.is_number, value)
        elif action == 4:
            attempt(_core.one_minus_power, p.number(), p.whole())
        elif action == 5:
            attempt(_core.share_begin, p.whole(), p.whole(), p.whole())
        elif action == 6:
            attempt(_core.team_size, p.whole())
        elif action == 7:
            attempt(_core.state_names, p.rule())
            attempt(_core.use_isa, p.pick(["baseline", *_core.isas(), p.value()]))
        elif action == 8:
            attempt(gs.set_num_threads, p.value())
            gs.set_num_threads(2)
        else:
            _core.set_work_per_thread(1, 1)


def stepper(p: Program) -> None:
    """The core's stepper, called in any order."""
    s = attempt(_core.new_stepper, p.whole(), p.core_options())
    if s is REFUSED:
        s = _core.new_stepper()
    params: list[Any] = []
    rules: list[Any] = []
    additions: list[Any] = []
    w = p.array()
    while not p.over:
        action = p.byte() % 10 if rules else 0
        group = p.byte() % 4 - 1 if p.byte() > 200 else len(rules) - 1
        if action == 0:
            rule, start = p.rule(), p.pick([None, None, 0, p.whole()])
            product = p.product(w) if p.byte() < 128 else None
            if attempt(s.add_group, rule, p.told(), p.value(), start, product) is not REFUSED:
                rules.append(rule)
        elif action == 1:
            w = p.array()
            known = 0 <= group < len(rules) and p.byte() < 240
            count = len(_core.state_names(rules[group])) if known else p.byte() % 4
            states = [p.like(w) for _ in range(count)]
            if attempt(s.add_parameter, group, "w", w, states) is not REFUSED:
                params.append(w)
        elif action < 4:
            if action == 2 or not additions:
                named = [p.rule() for _ in range(p.byte() % 3)]
                runs = []
                for _ in range(p.byte() % 3):
                    arrays = [
                        p.array() if p.byte() < 240 else p.value() for _ in range(p.byte() % 3)
                    ]
                    names = [str(i) for i in range(len(arrays) + p.byte() // 250)]
                    behind = p.byte() % (len(named) + 1) - p.byte() // 250
                    runs.append((len(rules) + behind, names, arrays))
                told = [("odd: ", rule, p.told(), p.value()) for rule in named]
                prepared = attempt(s.prepare_addition, told, runs)
                if prepared is not REFUSED:
                    additions.append((prepared, named, [w for *_, arrays in runs for w in arrays]))
            if additions and p.byte() < 200:
                # Of two that were prepared together one has to be refused; the same again, too.
                prepared, named, arrays = p.pick(additions[-2:])
                keys = [tuple("abc")[: p.byte() % 4]]
                expected = p.pick([list, p.value()]), keys, p.byte() % 2 == 0, p.value()
                if attempt(s.add, prepared, *expected) is not REFUSED:
                    params += arrays
                    rules += named
                    require(s.layout is expected[3], "the layout comes with what was added")
                attempt(getattr, prepared, "states")
        elif action < 8:
            grads: Any = [p.like(w) for w in params] if p.byte() < 220 else p.tree(p.array)
            if p.byte() % 4 == 0 and type(grads) is list:
                grads = dict(zip("abcdef", grads, strict=False))
            t = s.t
            skipped, scale = s.skipped, 1.0 if p.byte() < 128 else p.number()
            stepped = attempt(s.step, grads, scale) is not REFUSED
            require(s.t == t + (stepped and s.skipped == skipped), "t moves by one, or not at all")
        elif action == 8:
            start, products = p.pick([None, 0, p.whole()]), p.pick([None, p.products()])
            given = attempt(s.given, group)
            before = p.value() if given is REFUSED or p.byte() > 240 else given
            rule = rules[group] if 0 <= group < len(rules) and p.byte() < 200 else p.rule()
            change = (group, rule, p.told(), before, p.value(), start, products)
            states = p.pick([None, [[p.like(w)] * (p.byte() % 3) for w in params]])
            prepared = attempt(
                s.prepare_change,
                [change] * (p.byte() % 3),
                p.pick([None, p.whole()]),
                states,
                p.core_options(),
                p.pick([None, p.whole()]),
                p.pick([None, [p.like(w) for w in params]]),
            )
            if prepared is not REFUSED and p.byte() < 200:
                attempt(_core.commit, [prepared] * (1 + p.byte() % 2), [])
            del prepared  # with its turn
        else:
            attempt(s.get, group, p.pick(CORE_NUMBERS))
            attempt(s.given, group)
        t, groups, *_ = s.snapshot()
        require(len(groups) == len(rules), "a group for each that was added")
        require(all(start <= t for _, start, _ in groups), "none is to come")


TARGETS = [optimize, optimize, stepper, stepper, core, functions, averages, batches, schedules]


def run(data: bytes) -> None:
    """Read one program and run it."""
    Count.programs += 1
    if Count.programs % 10_000 == 0:
        print(f"{Count.calls:,} calls in {Count.programs:,} programs", flush=True)
    program = Program(data)
    gs.set_num_threads(2)
    _core.set_work_per_thread(240_000, 24_000)
    program.pick(TARGETS)(program)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
