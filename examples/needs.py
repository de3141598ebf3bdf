"""Says what to install where an example's packages are missing, in place of a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def needs(
    packages: str = '".[examples]"', missing: tuple[type[Exception], ...] = (ModuleNotFoundError,)
) -> Iterator[None]:
    """Import inside: where that raises one of `missing`, the program ends with one line."""
    try:
        yield
    except missing as error:
        reason = str(error).partition("\n")[0]
        sys.exit(
            f"{reason}. Install what this example needs, from the checkout: pip install {packages}"
        )
