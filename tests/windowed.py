"""Somebody's network: attention in windows of 4x4, every second raster rolled, its softmax written in several ways."""

import torch
import torch.nn.functional as F
from torch import nn

WINDOW, HEADS, DIM = 4, 2, 8


@torch.jit.script
def scripted(logits):
    return torch.softmax(logits, dim=-1)


def partition(x):  # (B, H, W, C) -> (B * windows, 16, C)
    b, h, w, c = x.shape
    x = x.view(b, h // WINDOW, WINDOW, w // WINDOW, WINDOW, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, WINDOW**2, c)


def merge(x, h, w):
    x = x.view(-1, h // WINDOW, w // WINDOW, WINDOW, WINDOW, x.shape[-1]).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, h, w, x.shape[-1])


def apart(h, w, shift, like):
    """(windows, 16, 16): -100 between pixels that only the roll brought together."""
    label = torch.zeros(h, w)
    for i, rows in enumerate((slice(0, -WINDOW), slice(-WINDOW, -shift), slice(-shift, None))):
        for j, columns in enumerate((slice(0, -WINDOW), slice(-WINDOW, -shift), slice(-shift, None))):
            label[rows, columns] = 3 * i + j
    label = partition(label[None, :, :, None])[..., 0]
    return ((label[:, None] != label[:, :, None]) * -100.0).to(like)


class Attention(nn.Module):
    def __init__(self, style, shift):
        super().__init__()
        self.style = style
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.softmax = nn.Softmax(dim=-1)
        if style == "ours":
            from workbench.models.parts.attention import MapPoint

            self.map = MapPoint("window", WINDOW, shift, heads=HEADS)

    def forward(self, x, mask):  # (windows, 16, 8)
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        scale = 0.5
        if self.style == "sdpa":
            out = F.scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None], scale=scale)
        else:
            logits = q @ k.transpose(-2, -1) * scale
            logits = logits if mask is None else logits + mask[:, None]
            way = {"module": self.softmax, "method": lambda t: t.softmax(-1), "scripted": scripted}
            attn = way.get(self.style, lambda t: F.softmax(t, dim=-1))(logits)
            if self.style == "ours":
                attn = self.map(attn)
            out = attn @ v
            if self.style == "rude":
                attn.zero_()
        return out.transpose(1, 2).reshape(x.shape)


class Whole(nn.Module):
    """The same attention by nn.MultiheadAttention."""

    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        with torch.no_grad():
            self.inner.out_proj.weight.copy_(torch.eye(DIM))

    def forward(self, x, mask):
        tiled = None if mask is None else mask.repeat_interleave(HEADS, 0)
        return self.inner(x, x, x, attn_mask=tiled, need_weights=False)[0]


class Block(nn.Module):
    def __init__(self, style, shift):
        super().__init__()
        self.shift = shift
        self.attn = Whole() if style == "mha" else Attention(style, shift)

    def forward(self, x):  # (B, H * W, C) of a square
        side = int(x.shape[1] ** 0.5)
        y = x.view(-1, side, side, DIM).roll((-self.shift, -self.shift), (1, 2))
        mask = apart(side, side, self.shift, x) if self.shift else None
        y = merge(self.attn(partition(y), mask), side, side).roll((self.shift, self.shift), (1, 2))
        return x + y.reshape(x.shape)


class Net(nn.Module):
    def __init__(self, scale=2, style="function"):
        super().__init__()
        self.first = nn.Conv2d(3, DIM, 3, padding=1)
        self.blocks = nn.ModuleList(Block(style, shift) for shift in (0, 2, 0, 2))
        self.last = nn.Conv2d(DIM, 3 * scale**2, 3, padding=1)
        self.up = nn.PixelShuffle(scale)

    def forward(self, x):
        y = self.first(x)
        tokens = y.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.up(self.last(tokens.transpose(1, 2).view_as(y)))


class Twice(Net):
    """One block, run twice, and a softmax that is no attention."""

    def forward(self, x):
        y = self.first(x)
        tokens = self.blocks[0](self.blocks[0](y.flatten(2).transpose(1, 2)))
        y = tokens.transpose(1, 2).view_as(y) * y.mean((2, 3), keepdim=True).softmax(1)
        return self.up(self.last(y))


class Plain(nn.Sequential):
    """No attention at all."""

    def __init__(self, scale=2):
        super().__init__(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
