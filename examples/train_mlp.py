"""Trains a NumPy multilayer perceptron twice: with updates written in NumPy, and with gradstep.

The network, the plain updates and the comparison live here; `idx.py` reads MNIST-like files, and
`train_mpi.py` does the same over several processes.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from needs import needs

with needs():
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray
    from sklearn.datasets import load_digits
    from threadpoolctl import threadpool_limits
    from tqdm import tqdm

    import gradstep as gs
    import idx

Array = NDArray[Any]
Arrays = dict[str, Array]

BETA = 0.9  # of Momentum and RMSprop
BETA1, BETA2 = 0.9, 0.999  # of Adam
EPSILON = 1e-8  # inside the root


class Standard(NamedTuple):
    """How many digits of the losses must agree, over how many steps (None: over all)."""

    digits: int
    steps: int | None


# The two differ by rounding, and training makes that grow. Sooner or later it carries a sum at a
# ReLU across zero, the gradients jump, and the curves part, as those of two NumPy runs would of
# which one starts with its last bits changed. In float32 that may come within a hundred steps.
STANDARDS = {"float64": Standard(6, None), "float32": Standard(4, 50)}


# -- Data ------------------------------------------------------------------------------------------


class Data(NamedTuple):
    """Images as rows of numbers from 0 to 1, labels as integers."""

    name: str
    x: Array
    y: Array
    x_test: Array
    y_test: Array

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return int(max(self.y.max(), self.y_test.max())) + 1


def digits(dtype: str) -> Data:
    """Return scikit-learn's handwritten digits, 8 x 8 pixels; a fixed fifth is held out."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(dtype)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[len(x) // 5 :], order[: len(x) // 5]
    return Data("handwritten digits of scikit-learn", x[train], y[train], x[test], y[test])


def mnist_like(directory: Path, dtype: str) -> Data:
    """Return the set of IDX files in a directory."""
    x, y, x_test, y_test = idx.load(directory)
    x, x_test = (np.divide(pixels, 255, dtype=dtype) for pixels in (x, x_test))
    return Data(str(directory), x, y.astype(np.intp), x_test, y_test.astype(np.intp))


# -- The network -----------------------------------------------------------------------------------


def initialize(sizes: Sequence[int], seed: int, dtype: str) -> Arrays:
    """Draw weights as He et al. (2015) do for ReLU layers: variance 2 / inputs; biases are zero."""
    rng = np.random.default_rng(seed)
    params = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        weights = rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)
        params[f"W{i}"] = weights.astype(dtype)
        params[f"b{i}"] = np.zeros(outputs, dtype)
    return params


def forward(params: Arrays, x: Array) -> list[Array]:
    """Return what each layer puts out: x itself, the hidden layers after ReLU, the logits."""
    layers = len(params) // 2
    outputs = [x]
    for i in range(1, layers + 1):
        z = outputs[-1] @ params[f"W{i}"] + params[f"b{i}"]
        outputs.append(np.maximum(z, 0) if i < layers else z)
    return outputs


def log_softmax(logits: Array) -> Array:
    """Return the logarithm of each class's probability, with the maximum subtracted first."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def cross_entropy(log_probabilities: Array, y: Array) -> float:
    """Return the mean over the examples of -log(probability of the right class)."""
    return -float(log_probabilities[np.arange(len(y)), y].mean())


def loss_and_gradients(params: Arrays, x: Array, y: Array) -> tuple[float, Arrays]:
    """Return the loss of a batch and its gradients, `dW1` for `W1`."""
    *inputs, logits = forward(params, x)
    log_probabilities = log_softmax(logits)

    # From here back, dz is the loss's derivative by the layer's sums, before ReLU or softmax.
    dz = np.exp(log_probabilities)
    dz[np.arange(len(y)), y] -= 1
    dz /= len(y)
    grads = {}
    for i in range(len(inputs), 0, -1):
        a = inputs[i - 1]
        grads[f"dW{i}"] = a.T @ dz
        grads[f"db{i}"] = dz.sum(axis=0)
        if i > 1:
            dz = dz @ params[f"W{i}"].T * (a > 0)
    return cross_entropy(log_probabilities, y), grads


def loss(params: Arrays, x: Array, y: Array) -> float:
    """Return the mean cross-entropy."""
    return cross_entropy(log_softmax(forward(params, x)[-1]), y)


def accuracy(params: Arrays, x: Array, y: Array) -> float:
    """Return the share of examples whose most probable class is the right one."""
    return float((forward(params, x)[-1].argmax(axis=1) == y).mean())


# -- The updates, in NumPy and with gradstep -------------------------------------------------------
# In NumPy as a course writes them. All take the same arguments, so that they fit in one table: m and
# v are the moments, of the parameters' shapes and zero at first, and t counts steps from 1.


def numpy_descent(params: Arrays, grads: Arrays, m: Arrays, v: Arrays, t: int, lr: float) -> None:
    """Gradient descent."""
    for key in params:
        params[key] = params[key] - lr * grads["d" + key]


def numpy_momentum(params: Arrays, grads: Arrays, m: Arrays, v: Arrays, t: int, lr: float) -> None:
    """Momentum, as an exponentially weighted average of the gradients."""
    for key in params:
        m[key] = BETA * m[key] + (1 - BETA) * grads["d" + key]
        params[key] = params[key] - lr * m[key]


def numpy_rmsprop(params: Arrays, grads: Arrays, m: Arrays, v: Arrays, t: int, lr: float) -> None:
    """RMSprop."""
    for key in params:
        g = grads["d" + key]
        v[key] = BETA * v[key] + (1 - BETA) * g**2
        params[key] = params[key] - lr * g / np.sqrt(v[key] + EPSILON)


def numpy_adam(params: Arrays, grads: Arrays, m: Arrays, v: Arrays, t: int, lr: float) -> None:
    """Adam."""
    for key in params:
        g = grads["d" + key]
        m[key] = BETA1 * m[key] + (1 - BETA1) * g
        v[key] = BETA2 * v[key] + (1 - BETA2) * g**2
        m_corrected = m[key] / (1 - BETA1**t)
        v_corrected = v[key] / (1 - BETA2**t)
        params[key] = params[key] - lr * m_corrected / np.sqrt(v_corrected + EPSILON)


@dataclass(frozen=True)
class Method:
    """One optimizer, twice."""

    name: str
    lr: float
    numpy: Callable[[Arrays, Arrays, Arrays, Arrays, int, float], None]
    gradstep: Callable[..., gs.Optimizer]
    options: dict[str, Any]


METHODS = (
    Method("gradient descent", 0.1, numpy_descent, gs.SGD, {}),
    Method("Momentum", 0.5, numpy_momentum, gs.Momentum, {"beta": BETA}),
    Method("RMSprop", 1e-3, numpy_rmsprop, gs.RMSprop, {"beta": BETA, "eps_root": EPSILON}),
    Method("Adam", 1e-3, numpy_adam, gs.Adam, {"betas": (BETA1, BETA2), "eps_root": EPSILON}),
)


# -- Training --------------------------------------------------------------------------------------


@dataclass
class Run:
    """A network in training, and what was seen at each of its steps."""

    params: Arrays
    batches: gs.MiniBatches
    update: Callable[[Arrays], None]
    losses: list[float] = field(default_factory=list)
    update_seconds: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)

    def epoch(self) -> None:
        """See every example once."""
        begin = perf_counter()
        for x, y in self.batches:
            loss, grads = self.differentiated(x, y)
            before = perf_counter()
            self.update(grads)
            end = perf_counter()
            self.losses.append(loss)
            self.update_seconds.append(end - before)
            self.step_seconds.append(end - begin)
            begin = end

    def differentiated(self, x: Array, y: Array) -> tuple[float, Arrays]:
        """Return the loss of a batch and its gradients."""
        return loss_and_gradients(self.params, x, y)


def numpy_update(method: Method, params: Arrays) -> Callable[[Arrays], None]:
    """Return a function that takes gradients and steps; it keeps the moments."""
    m = {key: np.zeros_like(w) for key, w in params.items()}
    v = {key: np.zeros_like(w) for key, w in params.items()}
    t = itertools.count(1)
    return lambda grads: method.numpy(params, grads, m, v, next(t), method.lr)


# Mini-batches come as a function: one that keeps a shard of each gives `shard` to it.
Batches = Callable[..., gs.MiniBatches]
Start = Callable[[Method, Arrays, Batches], Run]


def start_numpy(method: Method, params: Arrays, batches: Batches) -> Run:
    """Begin a run with the update in NumPy."""
    return Run(params, batches(), numpy_update(method, params))


def start_gradstep(method: Method, params: Arrays, batches: Batches) -> Run:
    """Begin a run with an optimizer of gradstep."""
    return Run(params, batches(), method.gradstep(params, method.lr, **method.options).step)


def train(
    method: Method,
    data: Data,
    *,
    hidden: Sequence[int],
    epochs: int,
    batch_size: int,
    seed: int,
    after_epoch: Callable[[], object] = lambda: None,
    starts: tuple[Start, Start] = (start_numpy, start_gradstep),
) -> tuple[Run, Run]:
    """Train with NumPy and with gradstep, from the same weights and on the same batches."""
    sizes = [data.x.shape[1], *hidden, data.classes]
    batches = functools.partial(gs.MiniBatches, data.x, data.y, batch_size=batch_size, seed=seed)

    def new_run(start: Start) -> Run:
        return start(method, initialize(sizes, seed, data.x.dtype.name), batches)

    runs = (new_run(starts[0]), new_run(starts[1]))
    # In turn, so that whatever else the machine does slows both alike.
    for _ in range(epochs):
        for run in runs:
            run.epoch()
            after_epoch()
    return runs


# -- The comparison --------------------------------------------------------------------------------


def largest_difference(pair: tuple[Run, Run], steps: int | None = None) -> float:
    """Return the largest relative difference of the two losses at any of the first steps."""
    a, b = (np.array(run.losses[:steps]) for run in pair)
    difference, scale = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
    # Two losses of zero agree; a loss that is not a number agrees with nothing.
    relative = np.divide(difference, scale, out=np.zeros_like(a), where=difference != 0)
    return float(relative.max())


def table(results: dict[str, tuple[Run, Run]], data: Data) -> str:
    """Return losses, accuracies and times, a line for each optimizer."""
    times_heading = f"   {'numpy':>7} {'gradstep':>8} {'ratio':>6}"
    lines = [
        f"{'':16}   {'final loss':^19}   {'held-out accuracy':^17}"
        + f"   {'update, ms/step':^23}   {'whole loop, ms/step':^23}".rstrip(),
        f"{'optimizer':16}   {'numpy':>9} {'gradstep':>9}   {'numpy':>8} {'gradstep':>8}"
        + times_heading * 2,
    ]
    for name, runs in results.items():
        losses = [f"{loss(run.params, data.x, data.y):9.3g}" for run in runs]
        shares = [f"{accuracy(run.params, data.x_test, data.y_test):8.1%}" for run in runs]
        cells = [name.ljust(16), " ".join(losses), " ".join(shares)]
        for times in ([r.update_seconds for r in runs], [r.step_seconds for r in runs]):
            a, b = (1e3 * float(np.median(seconds)) for seconds in times)
            cells.append(f"{a:7.3f} {b:8.3f} {a / b:6.2f}")
        lines.append("   ".join(cells))
    return "\n".join(lines)


LEGEND = """\
Final loss: mean cross-entropy of the training set after the last epoch; held-out: images never
trained on; update: the optimizer's step alone; whole loop: batch, forward, backward and update
(times are medians over all steps); ratio: NumPy's time divided by gradstep's, above 1 is faster."""


def agreement(results: dict[str, tuple[Run, Run]], standard: Standard) -> tuple[str, bool]:
    """Return in words how far the loss curves agree, and whether that is far enough."""
    lines = [f"{'optimizer':16}   same digits   largest relative difference of the losses"]
    differing = []
    for name, pair in results.items():
        total = len(pair[0].losses)
        judged = min(standard.steps or total, total)
        worst = largest_difference(pair, judged)
        line = f"{name:16}   {same_digits(worst):>11}   {worst:.1e} over {judged} steps"
        if judged < total:
            line += f" ({largest_difference(pair):.1e} over all {total})"
        lines.append(line)
        if not worst <= 10.0**-standard.digits:  # not ">": that would let a NaN pass
            differing.append(name)
    over = f"over the first {standard.steps} steps" if standard.steps else "at every step"
    if differing:
        lines.append(
            f"NumPy and gradstep DISAGREE for {', '.join(differing)}: "
            f"not {standard.digits} significant digits {over}."
        )
    else:
        lines.append(
            f"NumPy and gradstep agree for every optimizer: "
            f"at least {standard.digits} significant digits {over}."
        )
    if standard.steps:
        lines.append(
            "Later, rounding in float32 makes such curves part: see STANDARDS in the source."
        )
    return "\n".join(lines), not differing


def same_digits(difference: float) -> str:
    """Return how many significant decimal digits a relative difference leaves alike."""
    if difference == 0:
        return "all"
    return str(int(-np.log10(difference))) if difference < 1 else "none"


def draw(results: dict[str, tuple[Run, Run]], data: Data, batch_size: int, out: Path) -> None:
    """Draw the loss curves, averaged because the loss jumps from batch to batch."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    wide: dict[str, Any] = {"lw": 6, "alpha": 0.3}
    thin: dict[str, Any] = {"lw": 1.2}
    for i, (name, (with_numpy, with_gradstep)) in enumerate(results.items()):
        for run, style in ((with_numpy, wide), (with_gradstep, {**thin, "label": name})):
            average = gs.ewa(np.array(run.losses), beta=0.95, bias_correction=True)
            steps = np.arange(1, len(run.losses) + 1)
            axes.plot(steps / len(run.batches), average, color=f"C{i}", **style)
    axes.set(
        yscale="log",
        xlabel="epoch",
        ylabel="training loss (average over about 20 steps)",
        title=f"{data.name}, batch size {batch_size}: NumPy and gradstep on the same batches",
    )
    handles, _ = axes.get_legend_handles_labels()
    handles += [
        Line2D([], [], color="black", **wide, label="wide and pale: NumPy"),
        Line2D([], [], color="black", **thin, label="thin: gradstep"),
    ]
    axes.legend(handles=handles, loc="upper right")
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)


# -- The command -----------------------------------------------------------------------------------


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def not_negative(text: str) -> int:
    """Read an integer of at least 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


def parse(
    argv: Sequence[str] | None, how: str = "gradstep", picture: str = "train_mlp.png"
) -> tuple[argparse.Namespace, Data]:
    """Read the command line, and the data that it names."""
    parser = argparse.ArgumentParser(
        description="Train a NumPy multilayer perceptron with gradient descent, Momentum, RMSprop "
        f"and Adam: each once with the update in plain NumPy and once with {how}, from the same "
        "weights and on the same batches. Compare losses, accuracy and time; draw the losses.",
        epilog="Exit code 1 means that a pair of loss curves disagreed.",
    )
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="an MNIST-like set of IDX files: " + ", ".join(idx.NAMES) + ", each plain or with "
        ".gz (default: the handwritten digits that come with scikit-learn)",
    )
    add("--epochs", type=positive, help="default: 30, or 2 with --data, whose epochs are long")
    add(
        "--hidden",
        type=positive,
        nargs="+",
        default=[256, 128],
        metavar="N",
        help="units of each hidden layer (default: 256 128)",
    )
    add("--batch-size", type=positive, default=64, metavar="N", help="default: 64")
    add(
        "--dtype",
        choices=list(STANDARDS),
        default="float64",
        help="default: float64, in which more digits can be compared; float32 is faster",
    )
    # Matrices of this size gain nothing from more, and threads that wait for each other by spinning
    # made a step a hundred times as long while another program used a core.
    add(
        "--blas-threads",
        type=positive,
        default=1,
        metavar="N",
        help="threads of NumPy's matrix products, in both loops (default: 1)",
    )
    add(
        "--seed",
        type=not_negative,
        default=0,
        metavar="N",
        help="of the first weights and of the batches; the held-out images stay (default: 0)",
    )
    add(
        "--out",
        type=Path,
        default=Path(picture),
        metavar="FILE",
        help=f"the picture, a PNG (default: {picture})",
    )
    args = parser.parse_args(argv)
    # Found out now rather than after the training.
    if args.out.suffix != ".png" or not args.out.parent.is_dir():
        parser.error(f"--out {args.out} is not a .png file in an existing directory")
    args.epochs = args.epochs or (2 if args.data else 30)
    try:
        return args, mnist_like(args.data, args.dtype) if args.data else digits(args.dtype)
    except (OSError, ValueError) as error:
        parser.error(str(error))


def introduce(args: argparse.Namespace, data: Data) -> None:
    """Say what is trained, and on what."""
    cpu = gs.cpu_info()
    sizes = [data.x.shape[1], *args.hidden, data.classes]
    print(f"gradstep   level {cpu['isa']}, threads: at most {cpu['threads']}")
    print(f"NumPy      {np.__version__}, threads of its matrix products: {args.blas_threads}")
    print(f"data       {data.name}: {len(data.x)} to train on, {len(data.x_test)} held out")
    print(f"network    {'-'.join(map(str, sizes))}, {args.dtype}")
    print(f"training   {args.epochs} epochs, batch size {args.batch_size}, seed {args.seed}")
    rates = ", ".join(f"{method.name} {method.lr:g}" for method in METHODS)
    print(f"rates      {rates}\n", flush=True)


def train_all(
    args: argparse.Namespace, data: Data, *, quiet: bool = False, **options: Any
) -> dict[str, tuple[Run, Run]]:
    """Train with every optimizer; return the pair of runs of each."""
    results = {}
    with (
        threadpool_limits(args.blas_threads, user_api="blas"),
        tqdm(total=2 * len(METHODS) * args.epochs, unit="epoch", disable=quiet) as bar,
    ):
        for method in METHODS:
            bar.set_description(method.name)
            results[method.name] = train(
                method,
                data,
                hidden=args.hidden,
                epochs=args.epochs,
                batch_size=args.batch_size,
                seed=args.seed,
                after_epoch=bar.update,
                **options,
            )
    return results


def conclude(args: argparse.Namespace, data: Data, results: dict[str, tuple[Run, Run]]) -> bool:
    """Print and draw the results; return whether all curves agree."""
    print(f"{table(results, data)}\n\n{LEGEND}\n")
    report, agree = agreement(results, STANDARDS[args.dtype])
    print(report)
    draw(results, data, args.batch_size, args.out)
    print(f"\nThe loss curves are drawn in {args.out}.")
    return agree


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; return 0 where all curves agree."""
    args, data = parse(argv)
    introduce(args, data)
    return 0 if conclude(args, data, train_all(args, data)) else 1


if __name__ == "__main__":
    sys.exit(main())
