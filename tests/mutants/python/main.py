"""Ways to break python/gradstep/__main__.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/__main__.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: tracebacks on the command line",
            "    except (OSError, ValueError) as error:",
            "    except BrokenPipeError as error:",
            "a traceback for a mistyped name",
        ),
    ),
]
