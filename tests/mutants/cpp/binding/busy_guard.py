"""Ways to break cpp/binding/busy_guard.hpp."""

from listing import AVERAGED, ERRORS, FORK, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/busy_guard.hpp",
        ERRORS,
        Mutant(
            "turns are not taken",
            "if (!acquired) state.refuse();",
            "",
            "two threads step one optimizer at once",
        ),
        Mutant(
            "the reason stays",
            "state_.reason.store(nullptr, std::memory_order_relaxed);",
            "",
            "an average that can never be read again",
            AVERAGED,
        ),
        Mutant(
            "a child steps on averages",
            "if (!acquired && abandoned && !state.reason.load()) {",
            "if (!acquired && abandoned) {",
            "a forked child trains the averages",
            FORK,
        ),
    ),
]
