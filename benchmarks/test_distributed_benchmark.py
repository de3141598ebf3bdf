"""The benchmark over ranks, and the model that carries it to more: where the answer is plain."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distributed
import one_rank
import packages
from distributed_cases import CASES
from gradstep.distributed.partition import buckets
from ring import MIB, Network, best_bucket, main, memory, memory_of_zero, moved, step

SLOW = Network(bandwidth=1e9, latency=0.0)
# What ranks of processes take; the rest of a run is over in a second.
PATIENCE = 300.0


# -- The model -------------------------------------------------------------------------------------


def test_bytes_of_a_ring() -> None:
    assert moved(1000, 1) == 0
    assert moved(1000, 2) == 4000  # half of 4000 bytes, there and back
    assert moved(1000, 4) == 6000


def test_one_rank_steps_and_that_is_all() -> None:
    found = step(10**9, 1, Network(1e9, 1e-3), 1e-9, MIB)
    assert found.apart == found.overlapped == found.replicated == found.stepping == pytest.approx(1)


def test_a_step_by_hand() -> None:
    # 2**20 parameters in 4 buckets of 1 MiB over 4 ranks: each way 3 messages of 2**18 bytes a bucket.
    found = step(2**20, 4, Network(2.0**30, 1e-3), 1e-6, MIB)
    assert found.link == pytest.approx(2 * 4 * 3 * 2**18 / 2**30)
    assert found.latency == pytest.approx(2 * 4 * 3 * 1e-3)
    assert found.stepping == pytest.approx(2**18 * 1e-6)
    assert found.apart == found.link + found.latency + found.stepping
    # Stepping is the longest; beside it there is one bucket's way there and back.
    one = (found.link + found.latency) / 4
    assert found.overlapped == pytest.approx(found.stepping + one)
    assert found.replicated == pytest.approx(found.link + 2 * 3 * 1e-3 + 2**20 * 1e-6)


def test_one_bucket_overlaps_nothing() -> None:
    found = step(10**6, 8, Network(1e9, 1e-5), 1e-9, 4 * MIB)
    assert found.overlapped == found.apart


@pytest.mark.parametrize("ranks", [2, 64, 1024])
@pytest.mark.parametrize("latency", [0.0, 1e-6, 1e-4])
def test_overlapping_is_never_slower_and_never_faster_than_its_parts(
    ranks: int, latency: float
) -> None:
    found = step(10**8, ranks, Network(1e9, latency), 1e-9, MIB)
    assert max(found.link, found.stepping) <= found.overlapped <= found.apart


def test_latency_asks_for_larger_buckets() -> None:
    sizes = [
        best_bucket(10**9, 256, Network(1.25e10, latency), 1e-9) for latency in (0, 1e-6, 1e-4)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] == MIB
    assert sizes[-1] > MIB


def test_memory_is_that_of_the_paper() -> None:
    """7.5e9 parameters on 64 ranks: 31.4 GB of 120, as published for ZeRO's first stage."""
    assert memory_of_zero(7_500_000_000, 1) == pytest.approx(120e9)
    assert memory_of_zero(7_500_000_000, 64) == pytest.approx(31.4e9, rel=1e-3)
    assert memory(1000, 1) == 16_000
    assert memory(1000, 8) == 9_000


def test_a_page_has_the_tables_of_the_last_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- computed -->\nold\n<!-- end of computed -->\nafter\n")
    for _ in range(2):
        main(["--sizes", "1e6", "--page", str(page)])
        written = page.read_text()
        assert written.startswith("before\n<!-- computed -->\n\n1,000,000 parameters")
        assert written.endswith("|\n\n<!-- end of computed -->\nafter\n")
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no place for computed"):
        main(["--sizes", "1e6", "--page", str(page)])


def test_tables_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--sizes", "1e6", "--ns", "1"])
    printed = capsys.readouterr().out
    assert "1,000,000 parameters, 100 Gbit/s, 2 µs, buckets of 4 MiB" in printed
    assert printed.count("| 1024 |") == 3
    assert "| 1 | 0.016 GB | 0.016 GB |" in printed


# -- The arithmetic of the benchmark -----------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_bytes_are_those_of_the_ring(ranks: int) -> None:
    kind = (0, np.dtype(np.float32))
    cut = buckets([100_000, 7, 12_345], [kind] * 3, ranks, 1 << 16)
    found = [one_rank.bytes_of(cut, rank, ranks) for rank in range(ranks)]
    # An element more or less in a rank's share is sent once more or less to each of the others.
    assert sum(sent for sent, _ in found) == pytest.approx(ranks * moved(112_352, ranks), abs=8)
    for sent, received in found:
        assert sent == received == pytest.approx(moved(112_352, ranks), abs=4 * ranks)


def test_overlap_is_a_part_of_the_shorter() -> None:
    assert distributed.overlap(3.0, 1.0, 4.0) == 0
    assert distributed.overlap(3.0, 1.0, 3.0) == 1
    assert distributed.overlap(3.0, 1.0, 3.5) == 0.5


def test_ranks_have_gradients_of_their_own_whose_mean_is_the_case() -> None:
    case = CASES["3e4"]
    found = [one_rank.gradients(case, rank, 3) for rank in range(3)]
    assert not np.array_equal(found[0]["dW0"], found[1]["dW0"])
    for name, g in case.grads().items():
        np.testing.assert_allclose(sum(grads[name] for grads in found) / 3, g, rtol=1e-6)


def test_a_wrong_step_is_refused() -> None:
    case = CASES["3e4"]
    with pytest.raises(RuntimeError, match="W0 of nobody is off its step by"):
        one_rank.refuse_wrong("nobody", case, case.params(), "inside")


def test_tables_without_peers() -> None:
    times = {"q1": 1.0, "median": 2.0, "q3": 3.0}
    result: dict[str, Any] = {
        "case": "3e4",
        "elements": 30_820,
        "ranks": 2,
        "threads": 1,
        "link": None,
        "seconds": {
            "gradstep": times,
            "gradstep, messages": times,
            "gradstep, stepping": {**times, "median": 1.0},
            "gradstep, 8": times,
        },
        "loopback": {},
        "facts": {"gradstep": [{"rank": 0, "sent": 8_000_000, "state": 2_000_000}]},
    }
    assert "| 30,820 | 2 | 1 | 2 s |\n" in distributed.steps_table([result])
    assert "| 2 s | 1 s | 2 s | 100% |\n" in distributed.overlap_table([result], MIB)
    assert "| MPICH in shared memory | 2 s | 2 s |" in distributed.buckets_table([result], [16, 8])
    assert "| 8 MB | – | – | 2 MB | – |" in distributed.bytes_table([result])


def test_a_limited_link_stands_beside_the_model() -> None:
    times = {"q1": 1.0, "median": 0.5, "q3": 3.0}
    seconds = {f"gradstep, TCP{part}": times for part in ("", ", messages", ", stepping")}
    seconds["PyTorch"] = {**times, "median": 1.0}
    # 2**32 bytes there and back, of which a rank of two sends a half, at 2**30 a second; and one more
    # of 16 buckets.
    result: dict[str, Any] = {
        "elements": 2**30, "ranks": 2, "threads": 1, "link": 2**33 / 1e9, "seconds": seconds,
    }  # fmt: skip
    assert "| 500 ms | 1 s | 2.00× |" in distributed.steps_table([result])
    found = distributed.overlap_table([result], 2**28)
    assert "| link of a rank | parameters |" in found
    assert "| 8.58993 Gbit/s | 1,073,741,824 |" in found
    assert "| 500 ms | 500 ms | 500 ms | 100% | 4 s | 4.25 s |" in found


# -- The command -----------------------------------------------------------------------------------


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    if packages.version("mpi4py") is None or distributed.mpirun() is None:
        pytest.skip('needs mpi4py and mpirun: pip install ".[mpi]"')
    return subprocess.run(
        [sys.executable, distributed.__file__, "--rounds", "1", "--cases", "3e4", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_command(tmp_path: Path) -> None:
    file = tmp_path / "distributed.json"
    done = run("--ranks", "1", "2", "--without-tcp", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "All answers are right." in done.stdout
    written = json.loads(file.read_text())
    one, two = written["results"]
    assert (one["ranks"], two["ranks"]) == (1, 2)
    whole = 8 * CASES["3e4"].elements
    assert one["facts"]["gradstep"][0]["state"] == whole
    assert sum(fact["state"] for fact in two["facts"]["gradstep"]) == whole
    assert two["facts"]["gradstep"][0]["sent"] == whole / 2
    assert two["seconds"]["gradstep"]["median"] > 0
    again = run("--read", str(file))
    assert again.stdout in done.stdout
    if packages.version("torch"):
        assert sum(fact["state"] for fact in two["facts"]["PyTorch"]) == whole


def test_a_rank_that_does_not_start_ends_the_command(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as server,
        subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process,
    ):
        server.bind(str(tmp_path / "socket"))
        server.listen(1)
        with pytest.raises(RuntimeError, match="not all ranks of gradstep have started"):
            distributed.accepted(server, [process], "gradstep")
