"""Attention looked at from outside: what its maps and features are, and how much those of two layers repeat."""

from .capture import Geometry, Layer, Seen, capture, layers, watch

__all__ = ["Geometry", "Layer", "Seen", "capture", "layers", "watch"]
