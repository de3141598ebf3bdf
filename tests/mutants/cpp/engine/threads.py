"""Ways to break cpp/engine/threads.cpp."""

from listing import PARALLEL, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/threads.cpp",
        PARALLEL,
        Mutant(
            "a child counts on helpers",
            "|| process_generation() > 1)",
            ")",
            "a forked child hangs or steps alone",
            f"tests/process/test_fork.py {PARALLEL}",
        ),
        Mutant(
            "OpenMP's limit is ignored",
            "now < at_start ? now : INT_MAX",
            "INT_MAX",
            "threadpoolctl has no effect",
        ),
    ),
]
