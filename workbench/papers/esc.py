"""ESC: "Emulating Self-attention with Convolution for Efficient Image Super-Resolution" (ICCV 2025)."""

from __future__ import annotations

from workbench.spec import Column, Figure, Table

from .printed import rows

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

GPU = "a CUDA GPU and a probe that this version does not have"
COST = (
    Column("latency_ms", "Latency", "ms", "latency", 1e-3, "low", GPU),
    Column("memory_mb", "Memory", "MB", "memory", 2**20, "low", GPU),
    Column("flops_g", "FLOPs", "G", "macs", 1e9, "low", "nothing"),
    Column("params_k", "Params", "K", "params", 1e3, "low", "nothing"),
)

SETS = {"set5": "Set5", "set14": "Set14", "b100": "B100", "urban100": "Urban100", "manga109": "Manga109"}
QUALITY = tuple(
    Column(
        f"{key}_{measure.lower()}",
        f"{title} {measure}",
        "dB" if measure == "PSNR" else "",
        "quality",
        1,
        "high",
        f"{title}, trained weights and a probe that this version does not have",
    )
    for key, title in SETS.items()
    for measure in ("PSNR", "SSIM")
)

TABLE2 = Table(
    id="esc-table2",
    title="Comparison on classic SR, trained on DIV2K; cost for an HR output of 1280x720",
    paper="ESC",
    source="ESC (ICCV 2025), Table 2",
    protocol="esc",
    alternatives=("esc+ceil", "esc+no-layer-norm", "esc+scan"),
    columns=COST + QUALITY,
    rows=rows("esc_table2.csv", MODELS, COST + QUALITY),
)

TABLES = (TABLE2,)

FIGURES = (
    Figure(
        id="esc-table2-agreement",
        title="ESC, Table 2: what was measured against what is printed",
        table="esc-table2",
        kind="agreement",
        columns=("flops_g", "params_k"),
    ),
)
