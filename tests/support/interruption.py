"""An interruption before any operation of Python."""

from __future__ import annotations

from types import FrameType
from typing import Any


class Interruption:
    """Raises KeyboardInterrupt before the operation of Python with a given number."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self
