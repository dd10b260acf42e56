"""The commands that make pictures: upscale, crops."""

from __future__ import annotations

from .options import Commands

COMMANDS: Commands = {}
