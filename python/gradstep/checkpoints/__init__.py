"""Checkpoints: all parts in one file, written whole or not at all, and loaded whole or not at all."""

from gradstep.checkpoints.api import load, save
from gradstep.checkpoints.background import BackgroundSave, save_in_background
from gradstep.checkpoints.inspection import Inspection, inspect
from gradstep.checkpoints.loaded import Loaded

__all__ = [
    "BackgroundSave",
    "Inspection",
    "Loaded",
    "inspect",
    "load",
    "save",
    "save_in_background",
]
