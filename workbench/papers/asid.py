"""ASID: "Efficient Attention-Sharing Information Distillation Transformer for Lightweight SISR" (AAAI 2025).

Of its own tables none is held; rows of ASID-D8 are in ESC's Table 2.
"""

from __future__ import annotations

from workbench.spec import Figure, Table

from .printed import Claim

TABLES: tuple[Table, ...] = ()
FIGURES: tuple[Figure, ...] = ()

CLAIMS = (Claim("about 300K parameters", None, "params_k", None, "ASID", None, "about", "300"),)
