"""Ways to break cpp/binding/hyperparameters.cpp."""

from listing import ERRORS, FORMULAS, GROUPS, Mutant, in_file

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
    ),
]
