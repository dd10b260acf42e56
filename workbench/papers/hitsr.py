"""HiT-SR: "Hierarchical Transformer for Efficient Image Super-Resolution" (ECCV 2024)."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.published import Claim, Figure, Table

from .printed import FLOPS, PARAMS, QUALITY, RUNTIME, rows

COST = (PARAMS, FLOPS)


def _protocols(method: str) -> Mapping[str, str]:
    """Omni-SR's official tester cuts images into tiles."""
    return {c.id: "hitsr+tiles64" for c in QUALITY} if method == "Omni-SR" else {}


TABLE2 = Table(
    id="hitsr-table2",
    title="Comparison with lightweight networks; cost for an HR output of 1280x720",
    paper="HiT-SR",
    source="HiT-SR (ECCV 2024), Table 2",
    protocol="hitsr",
    training="DIV2K",
    columns=COST + QUALITY,
    rows=rows("hitsr_table2.csv", COST + QUALITY, _protocols),
)

EFFICIENCY = Table(
    id="hitsr-efficiency",
    title="Efficiency at x2 on an A100, output 1280x720",
    paper="HiT-SR",
    source="HiT-SR (ECCV 2024), efficiency bars",
    protocol="hitsr",
    training="DIV2K",
    columns=(*COST, RUNTIME),
    rows=rows("hitsr_efficiency.csv", (*COST, RUNTIME)),
    reference="HiT-SRF",
)

TABLES = (TABLE2, EFFICIENCY)

OWN = ("HiT-SIR", "HiT-SNG", "HiT-SRF")

FIGURES = (
    Figure(
        id="hitsr-table2-agreement",
        title="HiT-SR, Table 2: what was measured against what is printed",
        table="hitsr-table2",
        kind="agreement",
        columns=("flops_g", "params_k"),
    ),
    Figure(
        id="hitsr-front",
        title="HiT-SR, Table 2: what PSNR costs",
        table="hitsr-table2",
        kind="front",
        columns=("params_k", "flops_g", "urban100_psnr"),
        scales=(4,),
        proposed=OWN,
    ),
    Figure(
        id="hitsr-bars",
        title="HiT-SR: cost beside that of the networks it is made from",
        table="hitsr-efficiency",
        kind="bars",
        columns=("params_k", "flops_g", "runtime_ms"),
        proposed=OWN,
    ),
)

CLAIMS: tuple[Claim, ...] = ()
"""Its abstract's figures are not held yet."""
