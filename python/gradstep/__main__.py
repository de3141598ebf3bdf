"""The command line: ``python -m gradstep inspect FILE`` lists what is inside of a checkpoint."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gradstep.checkpoints.inspection import inspect


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m gradstep", description="Tools of gradstep.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("inspect", help="list what is inside of a checkpoint")
    command.add_argument("file", metavar="FILE")
    file = parser.parse_args(arguments).file
    try:
        encoding = sys.stdout.encoding or "utf-8"
        table = str(inspect(file)).encode(encoding, "backslashreplace").decode(encoding)
        print(table, flush=True)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
