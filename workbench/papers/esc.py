"""ESC: "Emulating Self-attention with Convolution for Efficient Image Super-Resolution" (ICCV 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from workbench.spec import Figure, Table

from .printed import FLOPS, LATENCY, MEMORY, PARAMS, QUALITY, Claim, across, marks, rows, turned


def _protocols(method: str) -> Mapping[str, str]:
    """The paper's own networks run flex attention; their operations are counted with plain attention."""
    return {"latency_ms": "esc+flex", "memory_mb": "esc+flex"} if method.startswith("ESC") else {}


COST = (LATENCY, MEMORY, FLOPS, PARAMS)

TABLE2 = Table(
    id="esc-table2",
    title="Comparison on classic SR, trained on DIV2K; cost for an HR output of 1280x720",
    paper="ESC",
    source="ESC (ICCV 2025), Table 2",
    protocol="esc",
    columns=COST + QUALITY,
    rows=rows("esc_table2.csv", COST + QUALITY, _protocols),
    training="DIV2K",
    bold=marks("esc_table2_marks.csv"),
)
"""ASID-D8's FLOPs are marked in print as counted anew by ESC's authors."""

DFLIP = tuple(
    replace(c, probe="quality-dflip", needs=c.needs.replace("trained weights", "weights trained on DFLIP"))
    for c in QUALITY
)
"""Image quality of other weights: what is measured with those for DIV2K does not answer it."""

TABLE4 = Table(
    id="esc-table4",
    title="Comparison on classic SR, trained on DFLIP (DIV2K, Flickr2K, LSDIR, DiverSeg-IP)",
    paper="ESC",
    source="ESC (ICCV 2025), Table 4",
    protocol="esc",
    columns=COST + DFLIP,
    rows=rows("esc_table4.csv", COST + DFLIP, _protocols),
    training="DFLIP",
)

PSNR = tuple(c for c in QUALITY if c.id.endswith("_psnr") and not c.id.startswith("manga109"))

TABLE6 = Table(
    id="esc-table6",
    title="Arbitrary scale with LTE as upsampler; x2, x3, x4 are seen in training, x6 and x8 are not",
    paper="ESC",
    source="ESC (ICCV 2025), Table 6",
    protocol="esc",
    columns=PSNR,
    rows=across("esc_table6.csv", PSNR, (2, 3, 4, 6, 8)),
)

_COLUMNS7, _ROWS7 = turned("esc_table7.csv", 4)

TABLE7 = Table(
    id="esc-table7",
    title="Real-world SR: measures with and without a reference",
    paper="ESC",
    source="ESC (ICCV 2025), Table 7",
    protocol="esc",
    columns=_COLUMNS7,
    rows=_ROWS7,
)

TABLES = (TABLE2, TABLE4, TABLE6, TABLE7)

CLAIMS = (
    Claim("+0.27 dB on Urban100 x4", "esc-table2", "urban100_psnr", 4, "ESC", "HiT-SRF", "difference", "0.27"),
    Claim("3.7 times the speed at x4", "esc-table2", "latency_ms", 4, "HiT-SRF", "ESC", "ratio", "3.7"),
    Claim("6.2 times less memory at x4", "esc-table2", "memory_mb", 4, "HiT-SRF", "ESC", "ratio", "6.2"),
)
"""What the abstract says against HiT-SRF. Its figures for window 32 are of an ablation that is not held."""

FIGURES = (
    Figure(
        id="esc-table2-agreement",
        title="ESC, Table 2: what was measured or planned against what is printed",
        table="esc-table2",
        kind="agreement",
        columns=("flops_g", "params_k", "memory_mb"),
    ),
)
