"""Test sets: the known ones, which of them are on this machine, and their low resolution."""

from .fetch import by_hand, fetch
from .known import PHOTOS, SETS, KnownSet
from .lows import lows
from .registry import Image, TestSet, add, check, default, find, names, registered

__all__ = [
    "PHOTOS",
    "SETS",
    "Image",
    "KnownSet",
    "TestSet",
    "add",
    "by_hand",
    "check",
    "default",
    "fetch",
    "find",
    "lows",
    "names",
    "registered",
]
