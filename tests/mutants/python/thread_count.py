"""Ways to break python/gradstep/thread_count.py."""

from listing import PARALLEL, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/thread_count.py",
        f"{PARALLEL} tests/process/test_limits.py",
        Mutant(
            "a block keeps what it found",
            "_open[i + 1].replaced = block.replaced",
            "pass",
            "blocks that overlap leave the number of one of them",
        ),
        Mutant("nested regions are not read", '.split(",")[0]', "", "OMP_NUM_THREADS is ignored"),
    ),
]
