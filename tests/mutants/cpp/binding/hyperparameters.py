"""Ways to break cpp/binding/hyperparameters.cpp."""

from listing import ERRORS, FORMULAS, GROUPS, ONE_STEP, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/hyperparameters.cpp",
        ERRORS,
        Mutant(
            "schedules: the next count in errors",
            'return " at count " + std::to_string(t);',
            'return " at count " + std::to_string(t + 1);',
            "who looks there finds nothing wrong",
            GROUPS,
        ),
        Mutant(
            "schedules: every error is renamed",
            "if (error.type().ptr() != kind) continue;",
            "",
            "except LookupError no longer catches what a schedule raises",
            GROUPS,
        ),
        Mutant(
            "schedules: errors without their cause",
            "py::raise_from(error, kind, message.c_str());",
            "PyErr_SetString(kind, message.c_str());",
            "the line of the schedule that failed is not in the traceback",
            GROUPS,
        ),
        Mutant("infinity is a number", "std::isfinite(number) && ", "", "NaN in all parameters"),
        Mutant("negative rates", "number >= 0 && ", "", "the loss grows"),
        Mutant(
            "beta of 1",
            "number >= 0 && number < 1,",
            "number >= 0 && number <= 1,",
            "division by zero",
        ),
        Mutant(
            "anything with a float is a number",
            "if (is_number(value)) {",
            "if (true) {",
            "lr=True is 1",
            f"{ERRORS} tests/core/test_any_input.py",
        ),
        Mutant(
            "numbers beyond double",
            "if (too_large) return HUGE_VAL;",
            "",
            "an error that says something else",
        ),
        Mutant(
            "flags of any kind",
            "if (!py::isinstance<py::bool_>(value)) {",
            "if (false) {",
            "'no' means yes",
        ),
        Mutant(
            "a name stands for those that begin with it",
            "if (name == field.name) return &field;",
            "if (name.rfind(field.name, 0) == 0) return &field;",
            "eps means something else",
            FORMULAS,
        ),
        Mutant(
            "bounds below zero",
            'require(number >= 0, ">= 0");',
            "",
            "gradients turn round",
            ONE_STEP,
        ),
        Mutant(
            "scales that are not finite",
            'require(std::isfinite(number), "finite");',
            "",
            "parameters become NaN",
            ONE_STEP,
        ),
    ),
]
