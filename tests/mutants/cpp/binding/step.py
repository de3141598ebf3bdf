"""Ways to break cpp/binding/step.cpp."""

from listing import ERRORS, ONE_STEP, OPTIMIZER, REBINDING, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/step.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "gradients are not pinned",
            "    pins.add(s.gradients_[i]);\n",
            "",
            "one that is resized meanwhile is read after its memory has gone",
            "tests/core/test_moving_arrays.py",
        ),
        Mutant(
            "written arrays are judged once",
            "  if (!s.targets_.unchanged()) s.validate();\n",
            "",
            "protected memory changes",
            ERRORS,
        ),
        Mutant(
            "a tiny factor in one piece",
            "std::abs(factor) < tiny && factor != 0;",
            "false;",
            "clipped steps of float32 are too short",
            ONE_STEP,
        ),
        Mutant(
            "clipping forgets the scale",
            "factor *= clipping_factor",
            "factor = clipping_factor",
            "a loss scale is not undone",
            ONE_STEP,
        ),
        Mutant(
            "rebound: a step looks before schedules run",
            "call_schedules();\n  s.containers_.require_same_arrays(s.model_.parameters);",
            "s.containers_.require_same_arrays(s.model_.parameters);\n  call_schedules();",
            "a step of what a schedule has replaced",
            REBINDING,
        ),
        Mutant(
            "gradients are kept",
            "stepper.gradients_.drop();",
            "",
            "memory of gradients is never free",
        ),
        Mutant(
            "gradients are let go early",
            "    if (step.measures()) {\n",
            "    gradients_.drop();\n    if (step.measures()) {\n",
            "memory that was given back is read",
        ),
    ),
]
