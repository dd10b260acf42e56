"""EDSR-baseline: residual blocks without batch normalisation (CVPR Workshops 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from .parts.edsr import CHANNELS, Frame

BLOCKS = 16
RES_SCALE = 1.0  # EDSR proper, 256 channels wide, has 0.1


class Block(nn.Module):
    """Convolution, ReLU, convolution, residual; nothing after the sum."""

    def __init__(self, lean: bool):
        super().__init__()
        self.lean = lean
        self.body = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        if not self.lean:  # the official code multiplies by 1, too
            out = out * RES_SCALE
        out += x
        return out


class EDSR(Frame):
    """EDSR-baseline; images in 0..255."""

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        super().__init__(scale, (Block(lean) for _ in range(BLOCKS)), lean)


MODELS: dict[str, tuple[type[EDSR], dict[str, int]]] = {"edsr-baseline": (EDSR, {})}
