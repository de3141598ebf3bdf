"""What `accelerate` gains: the same networks of scikit-learn, trained without it and within.

    python examples/accelerate_sklearn.py [--blas-threads 1]

Both ways take turns, and the fastest of the rounds counts. The loss curves agree to many digits; in
float32 rounding makes them part sooner or later, as it would those of two runs without. Beside other
programs the threads of NumPy's BLAS wait for each other: give it one there.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from time import perf_counter
from typing import Any, NamedTuple

from needs import needs

with needs():
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    import gradstep as gs

ROUNDS = 3
NETWORKS = [((100,), 200), ((100,), 32), ((512, 512), 200), ((512, 512), 32)]


class Row(NamedTuple):
    """Seconds without and within, and the largest relative difference of their loss curves."""

    without: float
    within: float
    difference: float


def trained(x: NDArray[Any], y: NDArray[Any], epochs: int, **options: Any) -> tuple[float, Any]:
    """Return the seconds that training takes, and the loss curve."""
    network = MLPClassifier(max_iter=epochs, random_state=0, **options)
    start = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some epochs are enough here
        network.fit(x, y)
    return perf_counter() - start, np.array(network.loss_curve_)


def compared(dtype: str, epochs: int, rounds: int = ROUNDS, **options: Any) -> Row:
    """Train in turns with scikit-learn's own updates and with this package's."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(dtype)
    without, within = [], []
    for _ in range(rounds):
        seconds, expected = trained(x, y, epochs, **options)
        without.append(seconds)
        with gs.compat.sklearn.accelerate():
            seconds, found = trained(x, y, epochs, **options)
        within.append(seconds)
    return Row(min(without), min(within), float(np.max(np.abs(found / expected - 1))))


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blas-threads", type=int, help="threads of NumPy's BLAS")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    with threadpool_limits(options.blas_threads, user_api="blas"):
        report(options.epochs)


def report(epochs: int) -> None:
    """Compare each network and print what was found."""
    print("hidden layers  batch  dtype      without     within    gain  loss curves differ by")
    for (hidden, batch), dtype in itertools.product(NETWORKS, ("float64", "float32")):
        row = compared(dtype, epochs, hidden_layer_sizes=hidden, batch_size=batch)
        print(
            f"{hidden!s:14} {batch:5}  {dtype}  {row.without:8.3f} s {row.within:8.3f} s "
            f"{row.without / row.within:6.2f}x  {row.difference:.0e}"
        )


if __name__ == "__main__":
    main()
