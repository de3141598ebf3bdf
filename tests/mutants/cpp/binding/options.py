"""Ways to break cpp/binding/options.cpp, cpp/binding/options.hpp."""

from listing import ONE_STEP, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/options.cpp",
        ONE_STEP,
        Mutant(
            "a value by the name of the norm",
            'clip_value(bound_of("clip_value", given["clip_value"], t))',
            'clip_value(bound_of("max_norm", given["clip_value"], t))',
            "an error names the wrong option",
        ),
        Mutant(
            "any text for nonfinite",
            "names[i]) == 0",
            "names[i]) >= 0",
            "a misspelt option is taken",
        ),
        Mutant(
            "bounds of another step",
            "scheduled_number(Range::nonnegative_or_inf, name, value, t)",
            "scheduled_number(Range::nonnegative_or_inf, name, value, t + 1)",
            "a schedule runs ahead",
        ),
    ),
]
