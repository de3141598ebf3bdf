"""Ways to break cpp/binding/averaged.cpp."""

from listing import AVERAGED, AVERAGING, ERRORS, OPTIMIZER, REBINDING, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/averaged.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "averages corrected by the next step",
            "0.0 : correction(group, steps));",
            "0.0 : correction(group, steps + 1));",
            "averages too low at first",
            AVERAGING,
        ),
        Mutant(
            "put in: corrections of the first group",
            "const std::int64_t steps = averages.t() - group.start;",
            "const std::int64_t steps = averages.t();",
            "averages of later groups are too low",
            AVERAGED,
        ),
        Mutant(
            "put in: zeros",
            "if (steps == 0) continue;",
            "",
            "parameters are zero inside averaged()",
            AVERAGED,
        ),
        Mutant(
            "rebound: averaged does not look",
            "stepper.require_same_arrays();",
            "",
            "a model is judged that is not the average",
            REBINDING,
        ),
    ),
]
