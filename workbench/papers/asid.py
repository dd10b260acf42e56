"""ASID: "Efficient Attention-Sharing Information Distillation Transformer" (AAAI 2025); no table of it is held here."""

from __future__ import annotations

from workbench.spec import Claim, Figure, Side, Table

TABLES: tuple[Table, ...] = ()
FIGURES: tuple[Figure, ...] = ()

CLAIMS = (
    *(
        Claim(f"asid-size-x{scale}", "ASID", f"about 300K parameters, at x{scale}", "300", "about", "K", "esc-table2",
              Side(f"asid-x{scale}", "params_k"))
        for scale in (2, 3, 4)
    ),
    *(
        Claim(f"asid-fewest-x{scale}", "ASID",
              f"significantly fewer parameters than CNN- and Transformer-based methods, at x{scale}", "1", "least", "x",
              "esc-table2", Side(f"asid-x{scale}", "params_k"), apart=("ASID-D8",))
        for scale in (2, 3, 4)
    ),
)  # fmt: skip
