"""Ways to break cpp/binding/group.cpp."""

from listing import ERRORS, FORMULAS, GROUPS, NUMBERS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/group.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "constants of the step before",
            "  is_corrected = false;\n  kernels[float32] = kernels[float64] = nullptr;\n",
            "",
            "corrections and rates of the first step",
            FORMULAS,
        ),
        Mutant(
            "a step's corrections in the caller's mode",
            "const DefaultFloatingPointMode mode;\n  corrected = values;",
            "corrected = values;",
            "other bits where the caller rounds otherwise",
            NUMBERS,
        ),
        Mutant(
            "schedules of betas have no product",
            "products[kind].stored |= schedule.field->name == std::string(Corrections::names[kind]);",
            "static_cast<void>(kind);",
            "corrections of a beta that never was",
            GROUPS,
        ),
        Mutant(
            "what was constant counts as 1",
            "products[kind].value = Powers().power(betas[kind], steps);",
            "static_cast<void>(steps);",
            "corrections begin anew where a schedule is set",
            GROUPS,
        ),
        Mutant(
            "saved products lose their low part",
            "py::make_tuple(product.value.high, product.value.low)",
            "py::make_tuple(product.value.high, 0.0)",
            "a resumed run has other bits",
            GROUPS,
        ),
        Mutant(
            "schedules hide their optimizer",
            "Py_VISIT(schedule.function.ptr());",
            "static_cast<void>(schedule);",
            "memory of an optimizer is never free",
        ),
    ),
]
