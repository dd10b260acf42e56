"""ESC: "Emulating Self-attention with Convolution for Efficient Image Super-Resolution" (ICCV 2025)."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.spec import Figure, Table

from .printed import FLOPS, LATENCY, MEMORY, PARAMS, QUALITY, rows

MODELS = {
    "SwinIR-lt": "swinir-light",
    "ELAN-lt": "elan-light",
    "OmniSR": "omnisr",
    "SRFormer-lt": "srformer-light",
    "ATD-lt": "atd-light",
    "HiT-SRF": "hit-srf",
    "ASID-D8": "asid-d8",
    "MambaIR-lt": "mambair-light",
    "MambaIRV2-lt": "mambairv2-light",
    "RDN": "rdn",
    "RCAN": "rcan",
    "ESC-FP": "esc-fp",
    "ESC-lt": "esc-light",
    "ESC": "esc",
}
"""Names of methods in this paper's tables, and ours."""


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
    rows=rows("esc_table2.csv", MODELS, COST + QUALITY, _protocols),
)

TABLES = (TABLE2,)

FIGURES = (
    Figure(
        id="esc-table2-agreement",
        title="ESC, Table 2: what was measured or planned against what is printed",
        table="esc-table2",
        kind="agreement",
        columns=("flops_g", "params_k", "memory_mb"),
    ),
)
