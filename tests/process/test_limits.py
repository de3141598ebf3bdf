"""What the system grants: cores, a container's quota, threads, and what OpenMP was told."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import gradstep as gs
from gradstep import _core
from gradstep.thread_count import container_quota
from support.processes import STEP, output

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits and affinity are Linux's; run there"
)
openmp = pytest.mark.skipif(
    not _core.has_openmp(), reason="built without OpenMP; install it and build again"
)
COUNT = "import gradstep; print(gradstep.get_num_threads())"

# --- cores ------------------------------------------------------------------------------------


@linux
def test_affinity_is_the_default() -> None:
    one = min(os.sched_getaffinity(0))
    assert output(f"import os; os.sched_setaffinity(0, [{one}])\n{COUNT}") == "1"


@linux
def test_taskset_is_obeyed() -> None:
    if not shutil.which("taskset"):
        pytest.skip("needs taskset; apt-get install util-linux")
    command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), sys.executable, "-c", COUNT]
    assert output(f"import os; os.execvp('taskset', {command!r})") == "1"


@linux
def test_affinity_is_looked_at_once() -> None:
    # What narrows it later changes neither the number of threads nor any bit.
    code = (
        STEP
        + """
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
assert gs.get_num_threads() == 3
opt.step(g)
assert np.allclose(w, -0.5)
print("done")
"""
    )
    assert output(code) == "done"


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/\n", {"cpu.max": "250000 100000"}, 2.5),
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "50000 100000"}, 0.5),
        ("0::/of/the/host\n", {"cpu.max": "200000 100000"}, 2.0),
        (
            "4:cpu,cpuacct:/x\n1:name=systemd:/\n",
            {"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        (
            "4:cpu,cpuacct:/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            None,
        ),
        # Nested: the tightest of all above.
        (
            "5:cpuacct,cpu:/a/b\n",
            {
                "cpuacct,cpu/a/cpu.cfs_quota_us": "150000",
                "cpuacct,cpu/a/cpu.cfs_period_us": "100000",
                "cpuacct,cpu/a/b/cpu.cfs_quota_us": "900000",
                "cpuacct,cpu/a/b/cpu.cfs_period_us": "100000",
            },
            1.5,
        ),
        # Hybrid: one mount of either kind.
        (
            "4:cpu:/\n0::/x\n",
            {
                "cpu/cpu.cfs_quota_us": "300000",
                "cpu/cpu.cfs_period_us": "100000",
                "unified/x/cpu.max": "200000 100000",
            },
            2.0,
        ),
        # A process that was moved out of the container's own subtree.
        ("0::/../other\n", {"cpu.max": "200000 100000"}, 2.0),
        ("0::/a:b\n", {"a:b/cpu.max": "200000 100000"}, 2.0),
        ("0::/\n", {"cpu.max": "200000 0"}, None),
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        (None, {}, None),
    ],
)
def test_the_containers_quota(
    tmp_path: Path, cgroup: str | None, files: dict[str, str], expected: float | None
) -> None:
    if cgroup is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert container_quota(str(tmp_path)) == expected


def test_a_quota_below_one_core_still_gives_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADSTEP_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for quota, expected in [(0.5, 1), (1.9, 1), (1000.0, None)]:
        monkeypatch.setattr("gradstep.thread_count.container_quota", lambda q=quota: q)
        found = gs.thread_count.default_num_threads()
        assert found == expected if expected else found >= 1


@linux
@pytest.mark.parametrize(
    ("cores", "quota", "expected"),
    [(4, 2.5, 2), (2, 8.0, 2), (3, None, 3), (1, 0.5, 1), (8, 0.5, 1), (8, 8.0, 8)],
)
def test_the_tighter_of_mask_and_quota_is_the_default(
    monkeypatch: pytest.MonkeyPatch, cores: int, quota: float | None, expected: int
) -> None:
    for name in ("GRADSTEP_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr("gradstep.thread_count.container_quota", lambda: quota)
    assert gs.thread_count.default_num_threads() == expected


@openmp
def test_a_limit_set_on_openmp_is_obeyed() -> None:
    code = """
import numpy, gradstep, threadpoolctl
from gradstep import _core
gradstep.set_num_threads(4)
_core.set_work_per_thread(1, 1)
assert _core.team_size(10**6) == 4
with threadpoolctl.threadpool_limits(1):
    assert _core.team_size(10**6) == 1
assert _core.team_size(10**6) == 4
print("done")
"""
    assert output(code) == "done"


# --- threads ----------------------------------------------------------------------------------

# Ways to leave room for so many more threads and no more: `room(n)`, and `room(None)` for as many
# as there were.
ADDRESSES = """
import resource
stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
stack = stack if 0 < stack < 1 << 30 else 2 << 20  # what the C library takes where it is unlimited
def room(threads):
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if threads is None:
        return resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + threads * stack + stack // 2, hard))
"""
PROCESSES = """
import resource
os.setuid(60_000 + os.getpid() % 5_000)  # a user that has no other process
def room(threads):
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    used = len(os.listdir("/proc/self/task"))
    limit = hard if threads is None else used + threads
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, hard))
"""


@linux
@pytest.mark.parametrize("granted", [0, 2])
@pytest.mark.parametrize("limit", ["addresses", "processes"])
def test_a_team_is_as_large_as_the_system_grants(limit: str, granted: int) -> None:
    if limit == "processes" and os.getuid() != 0:
        pytest.skip(
            "becomes a user with no process of its own; sudo pytest tests/process/test_limits.py"
        )
    code = (
        STEP
        + "g[:] = np.random.default_rng(0).standard_normal(w.size)"
        # After all imports: another user may not be allowed to read them.
        + (ADDRESSES if limit == "addresses" else PROCESSES)
        + f"""
serial = np.zeros_like(w)
twin = gs.Adam(serial, lr=0.5)
def step_both():
    opt.step(g)
    gs.set_num_threads(1)
    twin.step(g)
    gs.set_num_threads(5)
    assert np.array_equal(w, serial)
gs.set_num_threads(5)
room({granted})
for _ in range(3):
    assert _core.team_size(w.size) == 1 + {granted}
    step_both()
assert len(os.listdir("/proc/self/task")) == tasks + {granted}
room(None)
assert _core.team_size(w.size) == 5
step_both()
print("done")
"""
    )
    assert output(code) == "done"
