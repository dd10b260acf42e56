"""ESC: "Emulating Self-attention with Convolution for Efficient Image Super-Resolution" (ICCV 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from workbench.published import Claim, Figure, Side, Table

from .printed import FLOPS, LATENCY, MEMORY, PARAMS, QUALITY, across, marks, rows, turned

IMAGES = {"OmniSR": "esc+tiles64", "ASID-D8": "esc+tiles64", "MambaIRV2-lt": "esc+drawn"}
"""How the official testers of these come to their PSNR, where it is not with whole images and nothing drawn."""


def _protocols(method: str) -> Mapping[str, str]:
    """The paper's own networks run flex attention; their operations are counted with plain attention."""
    cost = {"latency_ms": "esc+flex", "memory_mb": "esc+flex"} if method.startswith("ESC") else {}
    return cost | ({c.id: IMAGES[method] for c in QUALITY} if method in IMAGES else {})


COST = (LATENCY, MEMORY, FLOPS, PARAMS)

TABLE2 = Table(
    id="esc-table2",
    title="Comparison on classic SR, trained on DIV2K; cost for an HR output of 1280x720",
    paper="ESC",
    source="ESC (ICCV 2025), Table 2",
    protocol="esc",
    columns=COST + QUALITY,
    rows=rows("esc_table2.csv", COST + QUALITY, _protocols),
    reference="ESC",
    training="DIV2K",
    bold=marks("esc_table2_marks.csv"),
)
"""ASID-D8's FLOPs are marked in print as counted anew by ESC's authors."""

TABLE4 = Table(
    id="esc-table4",
    title="Comparison on classic SR, trained on DFLIP (DIV2K, Flickr2K, LSDIR, DiverSeg-IP)",
    paper="ESC",
    source="ESC (ICCV 2025), Table 4",
    protocol="esc",
    columns=COST + QUALITY,
    rows=rows("esc_table4.csv", COST + QUALITY, _protocols),
    training="DFLIP",
    reference="ESC",
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

OWN = ("ESC", "ESC-lt", "ESC-FP")

FIGURES = (
    Figure(
        id="esc-table2-agreement",
        title="ESC, Table 2: what was measured or planned against what is printed",
        table="esc-table2",
        kind="agreement",
        columns=("flops_g", "params_k", "memory_mb"),
    ),
    Figure(
        id="esc-bubble",
        title="ESC, Table 2: what quality costs; the area of a circle is memory",
        table="esc-table2",
        kind="bubble",
        columns=("latency_ms", "urban100_psnr", "memory_mb"),
        scales=(4,),
        proposed=OWN,
    ),
    Figure(
        id="esc-front",
        title="ESC, Table 2: what PSNR costs",
        table="esc-table2",
        kind="front",
        columns=("params_k", "flops_g", "latency_ms", "urban100_psnr"),
        scales=(4,),
        proposed=OWN,
    ),
    Figure(
        id="esc-params",
        title="ESC, Table 2: quality and cost, scale by scale",
        table="esc-table2",
        kind="front",
        columns=("params_k", "urban100_psnr"),
        proposed=OWN,
    ),
    Figure(
        id="esc-resolution",
        title="Cost over the size of the output, of networks of ESC's Table 2",
        table="esc-table2",
        kind="resolution",
        columns=("flops_g", "memory_mb"),
        scales=(4,),
        proposed=OWN,
        methods=("ESC", "ESC-FP", "HiT-SRF", "ATD-lt", "MambaIRV2-lt", "SwinIR-lt", "ASID-D8", "RCAN"),
        modifiers=("hr360p", "", "hr1080p", "hr2160p"),
    ),
)


def _against_hitsrf(id: str, what: str, printed: str, column: str, reverse: bool) -> Claim:
    """A claim on ESC and HiT-SRF at x4; of a cost, how many times HiT-SRF's is."""
    esc, hitsrf = Side("esc-x4", column), Side("hit-srf-x4", column)
    of, over = (hitsrf, esc) if reverse else (esc, hitsrf)
    relation: Literal["ratio", "difference"] = "ratio" if reverse else "difference"
    return Claim(id, "ESC", what, printed, relation, "x" if reverse else "dB", TABLE2.id, of, over)


def _by_flash(id: str, what: str, printed: str, column: str) -> Claim:
    """A claim on what flash attention saves in windows of 32x32: ESC with plain attention against ESC as it is."""
    plain, flash = Side("esc-x2", column, "esc"), Side("esc-x2", column, "esc+flex")
    note = "the abstract does not say of which network; this is ESC itself, with plain attention over flex attention"
    return Claim(id, "ESC", what, printed, "ratio", "x", TABLE2.id, plain, flash, note=note)


def _repeats(id: str, what: str, printed: str) -> Claim:
    needs = "trained weights: workbench weights fetch swinir-light-x2-div2k, then workbench attention swinir-light-x2"
    return Claim(id, "ESC", what, printed, "about", "%", TABLE2.id, needs=needs)


CLAIMS = (
    Claim(
        "esc-window-psnr",
        "ESC",
        "windows of 32x32 with flash attention raise PSNR on Urban100 x2 by 0.31 dB",
        "0.31",
        "difference",
        "dB",
        TABLE2.id,
        needs="trained weights of one network with smaller and with 32x32 windows, which nobody publishes",
    ),
    _by_flash("esc-flash-latency", "flash attention lowers the latency of 32x32 windows 16 times", "16", "latency_ms"),
    _by_flash("esc-flash-memory", "flash attention lowers the memory of 32x32 windows 12.2 times", "12.2", "memory_mb"),
    _against_hitsrf(
        "esc-hitsrf-psnr", "0.27 dB more than HiT-SRF on Urban100 x4", "0.27", "urban100_psnr", reverse=False
    ),
    _against_hitsrf(
        "esc-hitsrf-latency", "3.7 times less latency than HiT-SRF at x4", "3.7", "latency_ms", reverse=True
    ),
    _against_hitsrf("esc-hitsrf-memory", "6.2 times less memory than HiT-SRF at x4", "6.2", "memory_mb", reverse=True),
    _repeats("esc-maps-repeat", "attention maps of neighbouring layers of SwinIR-light have a cosine of 89 %", "89"),
    _repeats("esc-features-repeat", "features of neighbouring layers of SwinIR-light have a CKA of 87 %", "87"),
)
