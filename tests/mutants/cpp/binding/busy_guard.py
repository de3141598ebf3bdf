"""Ways to break cpp/binding/busy_guard.hpp."""

from listing import AVERAGED, ERRORS, FORK, STEPS, Mutant, in_file

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
            "turns are not given back",
            "state_.user.store(0, std::memory_order_release);",
            "",
            "one step, then errors",
            STEPS,
        ),
        Mutant(
            "the reason stays",
            "state_.reason.store(nullptr, std::memory_order_relaxed);",
            "",
            "an average that can never be read again",
            AVERAGED,
        ),
        Mutant(
            "no reason is given",
            "state.reason.store(reason, std::memory_order_relaxed);",
            "",
            "errors in averaged() speak of other threads",
            AVERAGED,
        ),
        Mutant(
            "a child steps on averages",
            "if (!acquired && abandoned && !state.reason.load()) {",
            "if (!acquired && abandoned) {",
            "a forked child trains the averages",
            FORK,
        ),
        Mutant(
            "a child cannot take over",
            "if (!acquired && abandoned && !state.reason.load()) {",
            "if (false) {",
            "a forked child can never step",
            FORK,
        ),
    ),
]
