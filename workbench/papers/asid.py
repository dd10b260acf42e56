"""ASID: "Efficient Attention-Sharing Information Distillation Transformer" (AAAI 2025); no table of it is held here."""

from __future__ import annotations

from workbench.published import Claim, Figure, Side, Table

TABLES: tuple[Table, ...] = ()
FIGURES: tuple[Figure, ...] = ()


def _cheaper(id: str, sentence: str, without: str) -> Claim:
    """A claim that an idea saves computing: the network without it, an ablation, has more of it."""
    note = "counted are the multiply-adds of whole networks; by how much, the abstract does not say"
    of, over = Side(without, "flops_g"), Side("asid-x4", "flops_g")
    return Claim(id, "ASID", sentence, "1", "more", "x", "esc-table2", of, over, note=note)


CLAIMS = (
    *(
        Claim(f"asid-size-x{scale}", "ASID", f"about 300K parameters, at x{scale}", "300", "about", "K", "esc-table2",
              Side(f"asid-x{scale}", "params_k"))
        for scale in (2, 3, 4)
    ),
    *(
        Claim(f"asid-fewest-x{scale}", "ASID",
              f"significantly fewer parameters than CNN- and Transformer-based methods, at x{scale}", "1", "least", "x",
              "esc-table2", Side(f"asid-x{scale}", "params_k"), apart=("ASID-D8",),
              note="of the tables that are held here; how much is significant, the abstract does not say")
        for scale in (2, 3, 4)
    ),
    _cheaper("asid-sharing", "attention shared by all groups costs less computing, at x4", "asid-unshared-x4"),
    _cheaper("asid-distillation", "information distillation costs less computing, at x4", "asid-undistilled-x4"),
)  # fmt: skip
