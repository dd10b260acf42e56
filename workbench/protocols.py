"""The named ways to measure. A protocol is data: whoever disputes a figure names another one."""

from __future__ import annotations

from dataclasses import replace

from workbench.spec import Counting, Input, Protocol, unknown

ESC = Protocol(
    "esc",
    "ESC (ICCV 2025): HR 1280x720, LR side floor(side / scale), fvcore's convention, naive attention for counting",
)

PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        ESC,
        replace(
            ESC,
            name="esc-ceil",
            title="as esc, with LR side ceil(side / scale): 427 in place of 426 at x3",
            input=Input(rounding="ceil"),
        ),
        replace(
            ESC,
            name="esc-no-layer-norm",
            title="as esc, layer norms not counted: stock fvcore raises on those of six dimensions",
            counting=Counting(layer_norm=False),
        ),
        replace(
            ESC,
            name="esc-scan",
            title="as esc, with the MambaIR repository's price of a selective scan: 9 B L D N + B D L",
            counting=Counting(selective_scan=True),
        ),
    )
}


def find(name: str) -> Protocol:
    """The protocol of that name, or a UserError with its nearest neighbours."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise unknown("protocol", name, PROTOCOLS, "workbench protocols") from None
