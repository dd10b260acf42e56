"""The parameters of a selective scan, and the projections that make its inputs depend on what is scanned."""

# ruff: noqa: N806 (A, B, C and D are called so in the literature and in the checkpoints)

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scan import selective_scan


class Scans(nn.Module):
    """K scans of d channels with N states each; step sizes come through a bottleneck of `rank`."""

    def __init__(self, scans: int, channels: int, states: int, rank: int):
        super().__init__()
        self.splits = [rank, states, states]  # channels of dt, B and C
        self.x_proj_weight = nn.Parameter(torch.empty(scans, rank + 2 * states, channels))
        self.dt_projs_weight = nn.Parameter(torch.empty(scans, channels, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(scans, channels))
        self.A_logs = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(scans * channels, 1))
        self.Ds = nn.Parameter(torch.ones(scans * channels))
        nn.init.uniform_(self.x_proj_weight, -(channels**-0.5), channels**-0.5)
        nn.init.uniform_(self.dt_projs_weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():  # step sizes log-uniform in [1e-3, 0.1] where the projection gives zero
            step = torch.empty_like(self.dt_projs_bias).uniform_(math.log(1e-3), math.log(0.1)).exp_()
            self.dt_projs_bias.copy_(step + (-torch.expm1(-step)).log())

    def sequences(
        self, x: Tensor, prompt: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the official kernel takes for x (B, K, d, L): all scans at once. `prompt` (B, K, N, L) is added to C."""
        x_dbl = torch.einsum("bkdl,kcd->bkcl", x, self.x_proj_weight)
        dts, Bs, Cs = torch.split(x_dbl, self.splits, dim=2)
        dts = torch.einsum("bkrl,kdr->bkdl", dts, self.dt_projs_weight)
        Cs = Cs if prompt is None else Cs + prompt
        A = -self.A_logs.exp()
        return x.flatten(1, 2), dts.flatten(1, 2), A, Bs, Cs, self.Ds, self.dt_projs_bias.flatten()

    def along(self, x: Tensor, k: int = 0, reverse: bool = False, prompt: Tensor | None = None) -> Tensor:
        """Scan k over tokens (B, L, d); cheaper, since channels lie beside each other in memory all the way."""
        dt, B, C = torch.split(F.linear(x, self.x_proj_weight[k]), self.splits, dim=-1)
        delta = F.linear(dt, self.dt_projs_weight[k])
        C = C if prompt is None else C + prompt
        here = slice(k * x.shape[-1], (k + 1) * x.shape[-1])
        A = -self.A_logs[here].exp()
        y = selective_scan(
            x.mT, delta.mT, A, B.mT[:, None], C.mT[:, None], self.Ds[here], self.dt_projs_bias[k], reverse
        )
        return y.mT
