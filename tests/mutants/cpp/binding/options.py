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
            "bounds stay as they began",
            "if (!bound->function.is_none()) *bound = bound_of(name, bound->function, t);",
            "",
            "a schedule of max_norm does nothing",
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
    *in_file(
        "cpp/binding/options.hpp",
        ONE_STEP,
        Mutant(
            "no check without a norm",
            "return max_norm.value || nonfinite != propagate;",
            "return max_norm.value.has_value();",
            "steps that are not finite are taken",
        ),
        Mutant(
            "no norm without a check",
            "return max_norm.value || nonfinite != propagate;",
            "return nonfinite != propagate;",
            "nothing is clipped",
        ),
        Mutant(
            "a schedule of clip_value alone",
            "return !max_norm.function.is_none() || !clip_value.function.is_none();",
            "return !max_norm.function.is_none();",
            "a schedule of clip_value does nothing",
        ),
    ),
]
