"""Ways to break cpp/engine/pool.cpp."""

from listing import BITS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/pool.cpp",
        BITS,
        Mutant(
            "nobody waits for helpers",
            "while (gate_.load(std::memory_order_acquire) & inside) spin();",
            "",
            "elements change after the step",
        ),
        Mutant(
            "two jobs at once",
            "if (!job.owns_lock()) {",
            "if (false) {",
            "elements of two optimizers miss steps",
            "tests/process/test_two_threads.py",
        ),
    ),
]
