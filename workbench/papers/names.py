"""Names of methods: papers spell one network differently, and one key joins what they print of it."""

from __future__ import annotations

import re

BUILT = {
    "esc": ("ESC",),
    "esc-light": ("ESC-lt", "ESC-light"),
    "esc-fp": ("ESC-FP",),
    "hit-sir": ("HiT-SIR",),
    "hit-sng": ("HiT-SNG",),
    "hit-srf": ("HiT-SRF",),
    "asid": ("ASID",),
    "asid-d8": ("ASID-D8",),
    "omnisr": ("OmniSR", "Omni-SR"),
    "swinir-light": ("SwinIR-lt", "SwinIR-L", "SwinIR-light"),
    "srformer-light": ("SRFormer-lt", "SRFormer-L", "SRFormer-light"),
    "elan-light": ("ELAN-lt", "ELAN-L", "ELAN-light"),
    "atd-light": ("ATD-lt", "ATD-light"),
    "mambair-light": ("MambaIR-lt", "MambaIR-light"),
    "mambairv2-light": ("MambaIRV2-lt", "MambaIRv2-light"),
    "rdn": ("RDN",),
    "rcan": ("RCAN",),
    "edsr-baseline": ("EDSR-B", "EDSR-baseline"),
    "carn": ("CARN",),
    "carn-m": ("CARN-M",),
    "imdn": ("IMDN",),
    "rfdn": ("RFDN",),
}
"""Models of the catalogue by their names there, and how papers spell them."""

REPORTED = {
    "rfdn-l": ("RFDN-L",),  # wider than the catalogue's RFDN
    "latticenet": ("LatticeNet",),
    "srpn-lite": ("SRPN-Lite",),
    "fmen": ("FMEN",),
    "gassl-b": ("GASSL-B",),
    "hnct": ("HNCT",),
    "swinir-ng": ("SwinIR-NG",),
    "rdn+lte": ("RDN+LTE",),
    "atd-light+lte": ("ATD-lt+LTE",),
    "hit-srf+lte": ("HiT-SRF+LTE",),
    "esc+lte": ("ESC+LTE",),
    "real-esrgan+": ("RealESRGAN+", "Real-ESRGAN+"),
    "swinir-real": ("SwinIR-Real",),
    "dasr": ("DASR",),
    "esc-real": ("ESC-Real",),
}
"""Methods that the catalogue lacks and papers report."""

ARCHITECTURES = {
    "CNN": (
        "rdn", "rcan", "edsr-baseline", "carn", "carn-m", "imdn", "rfdn", "rfdn-l", "latticenet", "srpn-lite", "fmen",
        "gassl-b", "rdn+lte", "real-esrgan+", "dasr",
    ),
    "Transformer": (
        "hit-sir", "hit-sng", "hit-srf", "asid", "asid-d8", "omnisr", "swinir-light", "srformer-light", "elan-light",
        "atd-light", "hnct", "swinir-ng", "atd-light+lte", "hit-srf+lte", "swinir-real", "esc", "esc-light", "esc-fp",
        "esc+lte", "esc-real",
    ),
    "state space": ("mambair-light", "mambairv2-light"),
}  # fmt: skip
"""What methods are built of, by key; what has both convolution and attention in its blocks is called a Transformer."""


def _plain(name: str) -> str:
    """A spelling without what does not tell methods apart: case, blanks, hyphens, citations, footnote marks."""
    return re.sub(r"\[[^\]]*\]|[\s_*†‡-]", "", name).casefold()


KEYS = {_plain(name): key for group in (BUILT, REPORTED) for key, names in group.items() for name in (key, *names)}
"""Every spelling, made plain, and its key."""


def key(method: str) -> str:
    """What joins the figures of one method: its key, or for a stranger its name made plain."""
    return KEYS.get(_plain(method), _plain(method))


def variant(method: str, scale: int) -> str | None:
    """The variant that a paper's method is at a scale; None if the catalogue lacks it."""
    found = key(method)
    return f"{found}-x{scale}" if found in BUILT else None


def architecture(method: str) -> str | None:
    """What a method is built of, by any of its spellings; None of a stranger."""
    return next((kind for kind, keys in ARCHITECTURES.items() if key(method) in keys), None)
