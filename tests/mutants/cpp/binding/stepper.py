"""Ways to break cpp/binding/stepper.cpp."""

from listing import ERRORS, GROUPS, OPTIMIZER, REBINDING, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/stepper.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "rebound: an accumulator does not look",
            "  containers_.require_same_arrays(model_.parameters);\n  validate();",
            "  validate();",
            "a batch is lost with the last gradient",
            REBINDING,
        ),
        Mutant(
            "errors wait for the first step",
            "    validate();\n  } catch",
            "  } catch",
            "overlap is found only in training",
            ERRORS,
        ),
        Mutant(
            "two additions at once",
            "if (addition.first != model_.groups.size()) busy_.refuse();",
            "",
            "parameters step by the hyperparameters of others",
            GROUPS,
        ),
        Mutant(
            "saving takes no turn",
            "py::tuple Stepper::snapshot() {\n  const BusyGuard guard(busy_);",
            "py::tuple Stepper::snapshot() {",
            "a checkpoint with the t of one step and the moments of another",
            "tests/process/test_two_threads.py",
        ),
        Mutant(
            "saved state goes on",
            "states) copies.append(copy_of(state));",
            "states) copies.append(state);",
            "a checkpoint changes with later steps",
        ),
    ),
]
