"""Ways to break cpp/binding/averaged_block.cpp."""

from listing import AVERAGED, ERRORS, OPTIMIZER, REBINDING, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/averaged_block.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "put in: corrections of the first group",
            "const std::int64_t steps = stepper.averages_->t() - group.start;",
            "const std::int64_t steps = stepper.averages_->t();",
            "averages of later groups are too low",
            AVERAGED,
        ),
        Mutant(
            "rebound: averaged does not look",
            "stepper.containers_.require_same_arrays(stepper.model_.parameters);",
            "",
            "a model is judged that is not the average",
            REBINDING,
        ),
    ),
]
