"""One command each: tests, format, lint, types, sanitizers, benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))  # where nox does not look

from tools import native
from tools.compilers import find_tools, gcc_library

nox.options.sessions = ["tests", "without_openmp", "format", "lint", "types", "sanitize"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False

PYTHON = ["python", "tests", "parity", "benchmarks", "examples", "tools", "noxfile.py"]
CPP = sorted(str(path) for path in Path("cpp").glob("*/*.[ch]pp"))
NATIVE = sorted(str(path) for path in Path("tests/native").glob("*.[ch]pp"))
STRICT = "-Ccmake.define.GRADSTEP_WERROR=ON"
PROJECT = nox.project.load_toml("pyproject.toml")["project"]
TEST_NEEDS: list[str] = PROJECT["optional-dependencies"]["test"]
# Without what examples and the networks of scikit-learn need, which is most of it.
EXAMPLES = ("matplotlib", "scikit-learn", "tqdm")
CORE_NEEDS = [need for need in TEST_NEEDS if not need.startswith(EXAMPLES)]


def install_package(session: nox.Session, *others: str, extras: str = "") -> None:
    """Install the package as users get it, with warnings as errors; a wheel of it, if one is named."""
    session.install(f"{os.environ.get('GRADSTEP_WHEEL', '.')}{extras}", STRICT, *others)


@nox.session
def tests(session: nox.Session) -> None:
    """Build with warnings as errors and run the tests, on all cores."""
    install_package(session, extras="[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def endurance(session: nox.Session) -> None:
    """Run the tests of endurance with all that the guarantees promise; it takes long."""
    install_package(session, extras="[test]")
    session.run("pytest", "-m", "endurance", *session.posargs, env={"GRADSTEP_EFFORT": "full"})


@nox.session
def mpi(session: nox.Session) -> None:
    """Run what is spread over MPI ranks, in jobs of up to 7; `-- --short`, most of it in up to 5."""
    install_package(session, extras="[test,mpi]")
    selected = [argument for argument in session.posargs if argument != "--short"]
    effort = {} if "--short" in session.posargs else {"GRADSTEP_EFFORT": "full"}
    session.run(
        "pytest",
        "tests/distributed/test_distributed.py",
        "tests/package/test_snippets.py",
        *selected,
        env=effort,
    )


@nox.session
def mutants(session: nox.Session) -> None:
    """Break the code in many places and see a test notice each; `-- --sample 6` breaks a few.

    `-- --generated 50 --seed 1` breaks it in rote ways instead.
    """
    # It builds its own copies, so the package itself is not installed.
    session.install(*PROJECT["dependencies"], *TEST_NEEDS, "pybind11>=3.1", "cmake", "ninja")
    session.run("python", "tests/mutants/run.py", *session.posargs)


@nox.session
def format(session: nox.Session) -> None:
    """Check the format of everything; with `-- --write`, fix it."""
    session.install("ruff==0.17.6", "clang-format==23.1.5")
    write = "--write" in session.posargs
    session.run("ruff", "format", *([] if write else ["--check"]), *PYTHON)
    session.run("clang-format", *(["-i"] if write else ["--dry-run", "--Werror"]), *CPP, *NATIVE)


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, and clang-tidy where a compiler has written its commands."""
    session.install("ruff==0.17.6", "clang-tidy==23.1.4", "pybind11>=3", "cmake", "ninja")
    session.run("ruff", "check", *PYTHON)
    build = session.create_tmp()
    cmake_dir = subprocess.run(
        [f"{session.bin}/python", "-m", "pybind11", "--cmakedir"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    session.run(
        "cmake", "-S", ".", "-B", build, "-G", "Ninja", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        f"-Dpybind11_DIR={cmake_dir}", "-DGRADSTEP_OPENMP=OFF",
        "-DCMAKE_UNITY_BUILD=OFF",  # a command for each file
        silent=True,
    )  # fmt: skip
    sources = [path for path in CPP if path.endswith(".cpp")]
    session.run("clang-tidy", "--quiet", "-p", build, "--warnings-as-errors=*", *sources)


# What GCC's analyzer gets through: pybind11's templates it does not, in many minutes. To those that
# include them, as to all others, clang-tidy's analyzer looks.
ANALYZED = ["kernels", "strided", "sweep", "pool", "threads", "dispatch"]
ANALYZER = [
    "-fanalyzer",
    "-Werror",
    "-Wno-analyzer-null-argument",  # it takes a function pointer to a lambda for a call without one
    "-Wno-analyzer-possible-null-argument",  # `new` throws and returns no null
    "-Wno-analyzer-malloc-leak",  # the pool lives as long as the process, on purpose
    "-DGRADSTEP_LEVEL=baseline",
    '-DGRADSTEP_ISA="baseline"',
]


@nox.session
def analyze(session: nox.Session) -> None:
    """Run GCC's static analyzer; clang-tidy's is part of `lint`."""
    compiler = find_tools(session, ["g++"])["g++"]
    for name in ANALYZED:
        session.run(
            compiler, "-std=c++17", "-O1", "-fPIC", *ANALYZER, "-Icpp", "-c", f"cpp/engine/{name}.cpp",
            "-o", "/dev/null", external=True,
        )  # fmt: skip


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    # The benchmark's peers are loaded by name, so they need not be here.
    install_package(session, "mypy==2.4.1", "nox", "--no-compile", extras="[test,examples]")
    session.run("mypy", *session.posargs)


# What looks at formulas, bits, special numbers and bad arrays, and starts no process: one would not be
# emulated.
CORE_TESTS = [
    *(f"tests/core/test_{name}.py" for name in ("steps", "bits", "numbers", "errors", "changes")),
    "tests/core/test_memory_of_others.py", "tests/optimizers/test_optimizer.py",
]  # fmt: skip


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the tests of the core under AddressSanitizer and UndefinedBehaviorSanitizer (GCC)."""
    session.install(
        ".", *CORE_NEEDS, "-Ccmake.define.GRADSTEP_SANITIZE=address", "-Cbuild-dir=build/sanitize"
    )
    session.run(
        "pytest",
        # What compares objects, counts processes or memory looks at the ordinary build.
        *CORE_TESTS, "tests/optimizers/test_ewa.py", "tests/batches/test_batches.py",
        "tests/core/test_aliasing.py", "tests/core/test_layouts.py",
        "tests/core/test_guard_pages.py", "tests/core/test_moving_arrays.py", "tests/process/test_two_threads.py",
        "tests/core/test_any_input.py",
        *session.posargs,
        env={
            "LD_PRELOAD": " ".join(map(gcc_library, ("libasan.so", "libubsan.so"))),
            "ASAN_OPTIONS": "detect_leaks=0",  # CPython itself leaves memory at exit
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONMALLOC": "malloc",  # every object gets a redzone of its own
        },
    )  # fmt: skip


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz under Clang's sanitizers, whose coverage guides the search; `-- -runs=10000000` for long."""
    # Atheris has wheels for few versions of Python; it brings the runtime of the sanitizers.
    session.install(
        "atheris==3.0.0", ".", "-Ccmake.define.GRADSTEP_OPENMP=OFF", "-Cbuild-dir=build/fuzz",
        env={
            "CXX": find_tools(session, ["clang++"])["clang++"],
            # Of what guides libFuzzer only the edges that were taken: to note every comparison too
            # costs a seventh of the time.
            "CXXFLAGS": "-fsanitize-coverage=inline-8bit-counters,pc-table "
            "-fsanitize=address,undefined -fno-sanitize-recover=undefined "
            "-fno-sanitize=vptr,function -g",
        },
    )  # fmt: skip
    where = session.run(
        "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True
    )
    corpus = Path("build/fuzz/corpus")  # kept, so that the next run begins where this one ends
    corpus.mkdir(parents=True, exist_ok=True)
    session.run(
        "python", "tests/fuzz/programs.py", "-max_len=64", "-len_control=0", "-entropic=0",
        "-artifact_prefix=build/fuzz/", "-print_final_stats=1",
        *(session.posargs or ["-runs=20000"]), str(corpus),
        env={
            "LD_PRELOAD": f"{str(where).strip()}/asan_with_fuzzer.so",
            # CPython itself leaves memory at exit; where there is none, a MemoryError says so.
            # The rest is speed, threefold: no stacks of allocations, no filling, a small quarantine.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=1:"
            "thread_local_quarantine_size_kb=16:malloc_context_size=0:max_malloc_fill_size=0:"
            "detect_stack_use_after_return=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
    )  # fmt: skip


@nox.session
def fuzz_checkpoints(session: nox.Session) -> None:
    """Load changed and forged checkpoints; `-- --files 10000000 --seed 1` for long."""
    install_package(session)
    session.run("python", "tests/fuzz/checkpoints.py", *(session.posargs or ["--files=50000"]))


@nox.session
def without_openmp(session: nox.Session) -> None:
    """Build without OpenMP, with warnings as errors, and run what depends on threads."""
    session.install(
        ".", *CORE_NEEDS, STRICT, "-Ccmake.define.GRADSTEP_OPENMP=OFF",
        "-Cbuild-dir=build/without_openmp",
    )  # fmt: skip
    session.run("python", "-c", "import gradstep as gs; assert not gs.cpu_info()['openmp']")
    session.run(
        "pytest", "tests/process/test_parallel.py", "tests/process/test_limits.py", "tests/core/test_bits.py",
        *session.posargs,
    )  # fmt: skip


@nox.session
def portable(session: nox.Session) -> None:
    """Compare the bits of other compilers, C libraries and processors, emulated ones (on x86-64)."""
    session.install("cmake", "ninja")
    native.compare_bits(session)


# What `--short` leaves out: every layout, thousands of steps, large arrays, thousands of examples.
LONG = ["every_layout", "zero_gradients", "large_step", "million", "sets_of_bytes", "any_cut"]


@nox.session
def emulated(session: nox.Session) -> None:
    """Run the core's tests on emulated processors without and with AVX2; `-- --short`, most of them."""
    if not shutil.which("qemu-x86_64"):
        session.error("a tool is missing; in Debian: apt-get install qemu-user")
    install_package(session, *CORE_NEEDS)
    selected = [argument for argument in session.posargs if argument != "--short"]
    if "--short" in session.posargs:
        selected += ["-k", f"not ({' or '.join(LONG)})"]
    for processor, levels in (
        ("Nehalem", ["baseline"]),
        ("Haswell", ["baseline", "x86-64-v3"]),
    ):
        python = ["qemu-x86_64", "-cpu", processor, f"{session.bin}/python"]
        # Whatever kernels NumPy's BLAS was told to take on the real processor.
        env = {"OPENBLAS_CORETYPE": processor}
        code = f"import gradstep as gs; assert gs.cpu_info()['isas'] == {levels}, gs.cpu_info()"
        session.run(*python, "-c", code, external=True, env=env)
        session.run(
            *python, "-m", "pytest", "--hypothesis-profile=few", "-p", "no:cacheprovider",
            *CORE_TESTS, *selected, external=True, env=env,
        )  # fmt: skip


@nox.session
def thread_sanitizer_python(session: nox.Session) -> None:
    """Search for races where threads of Python's share what is the core's (GCC's ThreadSanitizer)."""
    session.install(
        ".", *CORE_NEEDS, "-Ccmake.define.GRADSTEP_SANITIZE=thread",
        "-Cbuild-dir=build/thread_sanitizer",
    )  # fmt: skip
    session.run(
        # Randomised addresses may lie where ThreadSanitizer needs its own memory.
        "setarch", "-R", f"{session.bin}/python", "-m", "pytest", "tests/process/test_two_threads.py",
        *session.posargs, external=True,
        env={
            "LD_PRELOAD": gcc_library("libtsan.so"),
            "TSAN_OPTIONS": "halt_on_error=1 exitcode=66 suppressions=tests/process/thread_sanitizer.supp",
        },
    )  # fmt: skip


# An interpreter without its lock: the newest one on the path.
FREE_THREADED = next(filter(shutil.which, ["python3.14t", "python3.13t"]), None)


@nox.session(python=FREE_THREADED)
def free_threaded(session: nox.Session) -> None:
    """Run the tests on a CPython without the interpreter's lock, where there is one."""
    if not FREE_THREADED:
        session.skip(
            "needs python3.14t or python3.13t on the path: `uv python install 3.14t`, or CPython's "
            "sources with ./configure --disable-gil"
        )
    # Without what examples need, some of which has no builds for such interpreters. Of the others, the
    # newest that needs no building: NumPy and hypothesis drop old interpreters, and take long to build.
    session.install(".", STRICT, "--only-binary=numpy,hypothesis", *CORE_NEEDS)
    code = "import sys, gradstep; assert not sys._is_gil_enabled()"
    session.run("python", "-W", "error", "-c", code)
    examples = ("tests/package/test_train_mlp.py", "tests/package/test_landscapes.py")
    session.run("pytest", "tests", *(f"--ignore={path}" for path in examples), *session.posargs)


@nox.session
def thread_sanitizer(session: nox.Session) -> None:
    """Search the threads for races with GCC's ThreadSanitizer, and find one that is planted."""
    session.install("cmake", "ninja")
    native.search_for_races(session)


def run_benchmark(session: nox.Session, extras: str, program: str) -> None:
    """Install the package, and PyTorch where it is asked for, and run a benchmark."""
    session.install(f".{extras}")
    if "--with-torch" in session.posargs:
        session.install("torch==2.13.0")
    arguments = [argument for argument in session.posargs if argument != "--with-torch"]
    session.run("python", program, *arguments)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against others; `-- --with-torch` installs PyTorch, the rest goes to compare.py."""
    run_benchmark(session, "[bench]", "benchmarks/compare.py")


@nox.session
def bench_ranks(session: nox.Session) -> None:
    """Measure steps over MPI ranks of this machine; `-- --with-torch` as in bench."""
    run_benchmark(session, "[bench,mpi]", "benchmarks/distributed.py")


@nox.session
def parity(session: nox.Session) -> None:
    """Compare `gradstep.compat`, schedules and examples with PyTorch, Keras, optax, scikit-learn."""
    # PyTorch alone first: another package's wish for it would bring gigabytes of CUDA. What is imported
    # of so large packages is compiled then.
    session.install("torch==2.13.0", "--no-compile")
    others = ("autograd>=1.8", "jax>=0.4", "keras>=3.15", "optax==0.2.8")
    install_package(session, *others, "--no-compile", extras="[test,examples]")
    session.run("pytest", "parity", "tests/package/test_examples.py", *session.posargs)


@nox.session
@nox.parametrize("version", ["1.6.1", "1.7.2", "1.8.0", "1.9.1"])
def scikit_learn(session: nox.Session, version: str) -> None:
    """Train scikit-learn's networks inside of `accelerate`, and run its own tests there."""
    install_package(session, f"scikit-learn=={version}", extras="[test]")
    session.run(
        "pytest", "tests/compat/test_sklearn.py", "parity/test_scikit_learn.py", *session.posargs
    )
