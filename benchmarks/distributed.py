"""Measures steps of Adam over ranks on this machine, beside PyTorch's, and prints tables in Markdown.

It starts the ranks itself: `python benchmarks/distributed.py`. What a rank does is in one_rank.py,
what is computed for clusters in ring.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import packages
import page
from distributed_cases import CASES
from link import limited
from machine import machine
from one_rank import step_with
from report import NONE, Result, duration
from ring import Network
from ring import step as computed
from timing import Sampler, measure

HERE = Path(__file__).parent
MIB = 1 << 20
BUCKETS = [4 * MIB, MIB, 16 * MIB]  # the first one is the default, and looked into
# MPICH takes its ranks for ranks of different machines, and sends by TCP, as gloo does. By libfabric, not
# by UCX (UCX_TLS=tcp,self), which took twice as long for a bucket of 4 MiB here.
OVER_TCP = {"MPIR_CVAR_NOLOCAL": "1", "MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp"}
PATIENCE = 300.0  # seconds for all ranks to be there
# Of the longer part: below it, no overlap can be seen. What waits for a link varies less.
WORTH, WORTH_OVER_LINKS = 0.1, 0.02
BUSY = 0.3  # load before anything is measured


@dataclass(frozen=True)
class Way:
    """How ranks are started, and what they are."""

    name: str
    who: str
    about: str
    environment: dict[str, str]

    @property
    def by_tcp(self) -> bool:
        """Whether ranks send over the loopback interface."""
        return self.who == "torch" or bool(self.environment)


WAYS = [
    Way("gradstep", "gradstep", "MPICH in shared memory", {}),
    Way("gradstep, TCP", "gradstep", "MPICH over TCP", OVER_TCP),
    Way("PyTorch", "torch", "ZeroRedundancyOptimizer, Adam(fused=True), gloo over TCP", {}),
]


@dataclass
class Options:
    """What the command line asks for."""

    rounds: int
    cores: int
    python: str  # that has PyTorch
    buckets: list[int]


class Team:
    """Ranks that wait for what they are to do."""

    def __init__(self, connections: list[Any]) -> None:
        self._connections = connections
        self.facts = sorted((c.recv() for c in connections), key=lambda facts: facts["rank"])

    def sampler(self, act: str) -> Sampler:
        """Return the sampler of an act: the seconds are those of the slowest rank."""

        def sample(count: int) -> float:
            for connection in self._connections:
                connection.send((act, count))
            return max(float(connection.recv()) for connection in self._connections)

        return sample

    def leave(self) -> None:
        """Let the ranks end."""
        for connection in self._connections:
            connection.send(None)


def mpirun() -> str | None:
    """Return what starts ranks: what stands beside this Python, or else any."""
    beside = Path(sys.executable).with_name("mpirun")
    return str(beside) if beside.exists() else shutil.which("mpirun")


def commands(
    way: Way, case: str, ranks: int, address: str, options: Options
) -> list[tuple[list[str], dict[str, str]]]:
    """Return the processes to start, each with what it finds in its environment."""
    rank = [
        str(HERE / "one_rank.py"), way.who, "--address", address, "--case", case,
        "--threads", str(max(1, options.cores // ranks)),
        "--buckets", *map(str, options.buckets),
    ]  # fmt: skip
    if way.who == "torch":
        world = {"WORLD_SIZE": str(ranks)}
        return [([options.python, *rank], {**world, "RANK": str(i)}) for i in range(ranks)]
    starter = mpirun()
    assert starter is not None
    return [([starter, "-n", str(ranks), sys.executable, *rank], way.environment)]


@contextmanager
def started(way: Way, case: str, ranks: int, options: Options) -> Iterator[Team]:
    """Start ranks; they end with the block."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        address = str(Path(folder) / "socket")
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(address)
        server.listen(ranks)
        processes = []
        for command, environment in commands(way, case, ranks, address, options):
            process = subprocess.Popen(command, env={**os.environ, **environment})
            processes.append(stack.enter_context(process))
            stack.callback(process.terminate)  # does nothing where it has ended by itself
        connections = [accepted(server, processes, way.name) for _ in range(ranks)]
        for connection in connections:
            stack.callback(connection.close)
        team = Team(connections)
        yield team
        team.leave()
        for process in processes:
            process.wait(PATIENCE)


def accepted(server: socket.socket, processes: list[subprocess.Popen[bytes]], name: str) -> Any:
    """Return the connection of one more rank."""
    server.settimeout(0.2)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            return Connection(server.accept()[0].detach())
        except TimeoutError:
            if any(process.poll() for process in processes):
                break
    raise RuntimeError(f"not all ranks of {name} have started")


def loopback() -> int | None:
    """Return the bytes that have gone over the loopback interface, where Linux tells."""
    table = Path("/proc/net/dev")
    lines = table.read_text().splitlines() if table.exists() else []
    counts = [line.split(":")[1].split() for line in lines if line.strip().startswith("lo:")]
    return int(counts[0][0]) if counts else None


def over_loopback(sampler: Sampler, ranks: int, steps: int) -> float | None:
    """Return the bytes that a rank sends in one step, on the average of all ranks."""
    before = loopback()
    sampler(steps)
    after = loopback()
    return None if before is None or after is None else (after - before) / steps / ranks


def overlap(messages: float, stepping: float, together: float) -> float:
    """Return which part of the shorter one of two has passed during the other."""
    return (messages + stepping - together) / min(messages, stepping)


def measured(
    case: str, ranks: int, link: float | None, ways: Sequence[Way], options: Options
) -> Result:
    """Measure all ways in turn; all ranks of all of them are there from the first to the last."""
    if ranks == 1:  # sends nothing, by whatever way
        ways = [way for way in ways if not way.environment]
    with ExitStack() as stack:
        teams = {way.name: stack.enter_context(started(way, case, ranks, options)) for way in ways}
        samplers: dict[str, Sampler] = {}
        for way in ways:
            team = teams[way.name]
            if way.who == "torch":
                samplers[way.name] = team.sampler("step")
                continue
            samplers[way.name] = team.sampler(step_with(options.buckets[0]))
            samplers[f"{way.name}, messages"] = team.sampler("messages")
            samplers[f"{way.name}, stepping"] = team.sampler("stepping")
            for bucket in options.buckets[1:]:
                samplers[f"{way.name}, {bucket}"] = team.sampler(step_with(bucket))
        seconds = measure(samplers, options.rounds)
        moved = {
            way.name: over_loopback(samplers[way.name], ranks, 3) for way in ways if way.by_tcp
        }
        return {
            "case": case,
            "elements": CASES[case].elements,
            "ranks": ranks,
            "threads": max(1, options.cores // ranks),
            "link": link,
            "seconds": seconds,
            "loopback": moved,
            "facts": {name: team.facts for name, team in teams.items()},
        }


# -- Tables ----------------------------------------------------------------------------------------


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown under its title."""
    lines = [row(headings), "|" + "---|" * len(headings), *(row(cells) for cells in rows)]
    return "\n".join([f"{title}:", "", *lines, ""])


def median(result: Result, name: str) -> float | None:
    times = result["seconds"].get(name)
    return None if times is None else float(times["median"])


def shown(seconds: float | None) -> str:
    return NONE if seconds is None else duration(seconds)


def times(a: float | None, b: float | None) -> str:
    return NONE if a is None or b is None else f"{a / b:.2f}×"


def megabytes(count: float | None) -> str:
    return NONE if count is None else f"{count / 1e6:.4g} MB"


def start_of(result: Result) -> list[str]:
    link = [] if result["link"] is None else [f"{result['link']:g} Gbit/s"]
    return [*link, f"{result['elements']:,}", str(result["ranks"])]


def start(results: Sequence[Result]) -> list[str]:
    link = [] if all(result["link"] is None for result in results) else ["link of a rank"]
    return [*link, "parameters", "ranks"]


def network(gigabits: float) -> Network:
    return Network(gigabits * 1e9 / 8, 0.0)


def steps_table(results: Sequence[Result]) -> str:
    ways = [way for way in WAYS if any(way.name in result["seconds"] for result in results)]
    ours = [way.name for way in ways if way.who == "gradstep"]
    peers = [way.name for way in ways if way.who != "gradstep"]
    pairs = [(peer, name) for peer in peers for name in ours]
    rows = [
        [
            *start_of(result),
            str(result["threads"]),
            *(shown(median(result, way.name)) for way in ways),
            *(times(median(result, peer), median(result, name)) for peer, name in pairs),
        ]
        for result in results
    ]
    headings = [*start(results), "threads of each", *(way.name for way in ways)]
    headings += [f"{peer}/{name}" for peer, name in pairs]
    return table("A step, the slowest rank's median", headings, rows)


def overlap_table(results: Sequence[Result], bucket: int) -> str:
    """Return what passes at the same time; over a limited link, beside what the model says of it."""
    rows = []
    limited = any(result["link"] is not None for result in results)
    worth = WORTH_OVER_LINKS if limited else WORTH
    for result in results:
        for way in WAYS:
            parts = [median(result, f"{way.name}{end}") for end in (", messages", ", stepping", "")]
            if result["ranks"] > 1 and None not in parts:
                messages, stepping, together = (part for part in parts if part is not None)
                share = overlap(messages, stepping, together)
                # Of what takes no time, nothing can be said but how much the other one varies.
                judged = min(messages, stepping) > worth * max(messages, stepping)
                cells = [*map(shown, parts), f"{share:.0%}" if judged else NONE]
                if limited:
                    elements, ranks = result["elements"], result["ranks"]
                    seconds = stepping * ranks / elements
                    model = computed(elements, ranks, network(result["link"]), seconds, bucket)
                    cells += map(shown, (model.link, model.overlapped))
                rows.append([*start_of(result), way.about, *cells])
    headings = [*start(results), "how", "messages alone", "stepping alone", "a step", "overlap"]
    headings += ["messages, computed", "a step, computed"] if limited else []
    return table("What passes at the same time", headings, rows)


def buckets_table(results: Sequence[Result], buckets: Sequence[int]) -> str:
    rows = []
    for result in results:
        for way in WAYS[:2]:
            found = {b: median(result, f"{way.name}, {b}") for b in buckets[1:]}
            found[buckets[0]] = median(result, way.name)
            if found[buckets[0]] is not None and len(found) > 1:
                rows.append(
                    [*start_of(result), way.about, *(shown(found[b]) for b in sorted(found))]
                )
    headings = [*start(results), "how", *(f"{b / MIB:g} MiB" for b in sorted(buckets))]
    return table("A step by the size of its buckets", headings, rows)


def bytes_table(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        facts, moved = result["facts"], result["loopback"]

        def largest(name: str, what: str, facts: dict[str, Any] = facts) -> float | None:
            return (
                max((fact[what] for fact in facts[name]), default=None) if name in facts else None
            )

        rows.append(
            [
                *start_of(result),
                megabytes(largest("gradstep", "sent")),
                megabytes(moved.get("gradstep, TCP")),
                megabytes(moved.get("PyTorch")),
                megabytes(largest("gradstep", "state")),
                megabytes(largest("PyTorch", "state")),
            ]
        )
    headings = [*start(results), "sent by a rank, computed", "measured over TCP"]
    headings += ["PyTorch, measured", "state of a rank", "PyTorch, the largest rank's"]
    return table("Bytes of a step, and of the state", headings, rows)


# -- The command -----------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--cases", nargs="+", choices=list(CASES), default=["1e6", "3e7"], help="parameters")
    add("--ranks", nargs="+", type=int, default=[1, 2, 4], metavar="N")
    add("--rounds", type=int, default=21, help="samples of each (default: 21)")
    add("--cores", type=int, default=os.cpu_count(), help="to be shared by the ranks")
    add(
        "--torch-python", default=sys.executable, metavar="FILE",
        help="the Python that has PyTorch, where that is another one",
    )  # fmt: skip
    add("--without-torch", action="store_true", help="leave PyTorch out")
    add(
        "--without-tcp",
        action="store_true",
        help="leave gradstep over TCP out, for other MPIs than MPICH",
    )
    add(
        "--link", nargs="+", type=float, metavar="GBIT",
        help="hold each rank back to so many Gbit/s; takes root, and Linux",
    )  # fmt: skip
    add("--json", metavar="FILE", help="write everything")
    add("--read", metavar="FILE", help="print what --json wrote, and measure nothing")
    add(
        "--page",
        type=Path,
        metavar="FILE",
        help="put the tables there, such as docs/distributed.md",
    )
    return parser.parse_args(arguments)


def has_torch(python: str) -> bool:
    """Return whether a Python has PyTorch."""
    if python == sys.executable:
        return packages.version("torch") is not None
    found = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    return found.returncode == 0


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure what the command line asks for."""
    if packages.version("mpi4py") is None or mpirun() is None:
        raise SystemExit('MPI is missing. Install it from the checkout: pip install ".[mpi]"')
    ways = [way for way in WAYS if not (way.environment and args.without_tcp)]
    if args.link:  # which nothing else goes over
        ways = [way for way in ways if way.by_tcp]
    if args.without_torch or not has_torch(args.torch_python):
        print(f"PyTorch is left out; where it is wanted: {packages.PACKAGES['torch']}")
        ways = [way for way in ways if way.who != "torch"]
    about = machine(args.cores, args.rounds)
    about |= {name: packages.version(name) for name in ("mpi4py", "mpich")}
    about["links"] = args.link
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    if about["load"] > BUSY:
        print(
            f"Others are busy here, load {about['load']}: ranks that wait for each other wait long."
        )
    begin = time.perf_counter()
    options = Options(args.rounds, args.cores, args.torch_python, BUCKETS)
    results = []
    for link, case, ranks in itertools.product(args.link or [None], args.cases, args.ranks):
        with limited(link, ranks):
            results.append(measured(case, ranks, link, ways, options))
        print(f"{case}, {ranks} ranks: {time.perf_counter() - begin:.0f} s", flush=True)
    print(f"\nAll answers are right. {time.perf_counter() - begin:.0f} s\n")
    return {"machine": about, "results": results}


def written(whole: Mapping[str, Any]) -> str:
    """Return all tables, and what they are of."""
    about, results = whole["machine"], whole["results"]
    names = {"numpy": "NumPy", "mpi4py": "mpi4py", "mpich": "MPICH", "torch": "PyTorch"}
    versions = [f"{names[name]} {about[name]}" for name in names if about.get(name)]
    command = f"python benchmarks/distributed.py --rounds {about['rounds']}"
    if about["links"]:
        cases, ranks = ({str(result[key]): None for result in results} for key in ("case", "ranks"))
        links = (f"{link:g}" for link in about["links"])
        command = " ".join([command, "--link", *links, "--cases", *cases, "--ranks", *ranks])
    origin = (
        f"`{command}`, {about['date']}: {about['cpu']}, {about['cores']} cores, "
        f"level {about['level']}, {', '.join(versions)}. Medians of {about['rounds']} interleaved "
        f"rounds; load of others before: {about['load']}."
    )
    tables = [
        steps_table(results),
        overlap_table(results, BUCKETS[0]),
        buckets_table(results, BUCKETS),
    ]
    if not about["links"]:  # over which the same passes
        tables.append(bytes_table(results))
    return "\n".join([textwrap.fill(origin, 100, break_on_hyphens=False), "", *tables])


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    whole = json.loads(Path(args.read).read_text(encoding="utf-8")) if args.read else run(args)
    print(written(whole))
    if args.json:
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        Path(args.json).write_text(text + "\n", encoding="utf-8")
    if args.page:
        page.fill(args.page, "links" if whole["machine"]["links"] else "measured", written(whole))


if __name__ == "__main__":
    main()
