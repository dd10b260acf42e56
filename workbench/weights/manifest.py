"""Which trained weights their authors published, and where: data only.

A file is known by its sha256 where somebody had it at hand; else its hash is written down on its first use, in the
user's folder, and holds from then on. Most authors publish through pages that no program can fetch from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One file of weights, as somebody published it."""

    name: str
    """`<model>-x<scales>-<training set>`: what `workbench weights fetch` takes."""
    variants: tuple[str, ...]
    """The variants that it is for; a network that holds all scales has one file for them."""
    trained_on: str
    """`DIV2K`, `DF2K` or `DFLIP`; `unknown` where its authors do not say."""
    page: str
    """Where it is published."""
    file: str | None = None
    """The name of the file there; None where that is not known."""
    url: str | None = None
    """Where the file itself can be fetched; None where the page has to be visited."""
    sha256: str | None = None
    pixels: tuple[float, float] | None = None
    """Black and white as these weights want them, where that is not as the model's others do."""
    note: str = ""


GITHUB = "https://github.com"
RAW = "https://raw.githubusercontent.com"
IMDN = "Zheng222/IMDN/8f158e6a5ac9db6e5857d9159fd4a6c4214da574/checkpoints"
CARN = "nmhkahn/CARN-pytorch/40d3514f81cccd680d846cd5ab07af35f2c8e0e2/checkpoint"
RFDN = "njulj/RFDN/7cf4e25b6633e81fd7e26891aeee2baca4f8f927/trained_model"
NTIRE = "Amazingren/NTIRE2025_ESR/b69fb668c0362deb696eecbfdebfaa5c2fcdfcb4/model_zoo"
EDSR = "https://cv.snu.ac.kr/research/EDSR/models"

HASHES = {
    "imdn-x2-div2k": "740b39653592bd3f49955a21cd9e16f2d37f2c413368cc09327601b8fbe42ce1",
    "imdn-x4-div2k": "e660c38221147217a136debeb99eb304d62d9c0f73ac421ed66281b619719714",
}


def _each(model: str, page: str, trained_on: str = "DIV2K", **files: str) -> Iterator[Published]:
    """One file for each scale, of names like `x2="..."`; none named: they are not known."""
    for scale in (2, 3, 4):
        name = f"{model}-x{scale}-{trained_on.lower()}"
        file = files.get(f"x{scale}") or None
        yield Published(name, (f"{model}-x{scale}",), trained_on, page, file, sha256=HASHES.get(name))


def _direct(folder: str, page: str, model: str, **files: str) -> Iterator[Published]:
    """The same where the files lie in a folder that anybody can fetch from."""
    for scale, file in files.items():
        name = f"{model}-{scale}-div2k"
        yield Published(name, (f"{model}-{scale}",), "DIV2K", page, file, f"{folder}/{file}", HASHES.get(name))


WEIGHTS: dict[str, Published] = {
    w.name: w
    for w in (
        *_each("esc", f"{GITHUB}/dslisleedh/ESC/releases/tag/1.0.0"),
        *_each("esc", f"{GITHUB}/dslisleedh/ESC/releases/tag/1.0.0", "DFLIP"),
        *_each("esc-light", f"{GITHUB}/dslisleedh/ESC/releases/tag/1.0.0"),
        *_each("esc-fp", f"{GITHUB}/dslisleedh/ESC/releases/tag/1.0.0"),
        *_each("hit-sir", f"{GITHUB}/XiangZ-0/HiT-SR#-models"),
        *_each("hit-sng", f"{GITHUB}/XiangZ-0/HiT-SR#-models"),
        *(w for w in _each("hit-srf", f"{GITHUB}/XiangZ-0/HiT-SR#-models") if w.variants != ("hit-srf-x4",)),
        Published(
            "hit-srf-x4-div2k",
            ("hit-srf-x4",),
            "DIV2K",
            f"{GITHUB}/XiangZ-0/HiT-SR#-models",
            "team54_HITSR.pth",
            f"{RAW}/{NTIRE}/team54_HITSR.pth",
            "dffb47c5a7e1e28755cde32d9fa4c19f14e965d6c63491da39419bf3699ec456",
            note="as submitted to NTIRE 2025",
        ),
        *_each("asid", f"{GITHUB}/saturnian77/ASID"),
        *_each("asid-d8", f"{GITHUB}/saturnian77/ASID"),
        *_each("omnisr", f"{GITHUB}/Francis0625/Omni-SR", **{f"x{s}": f"OmniSR_X{s}_DIV2K.zip" for s in (2, 3, 4)}),
        *_each(
            "omnisr", f"{GITHUB}/Francis0625/Omni-SR", "DF2K", **{f"x{s}": f"OmniSR_X{s}_DF2K.zip" for s in (2, 3, 4)}
        ),
        *_direct(
            f"{GITHUB}/JingyunLiang/SwinIR/releases/download/v0.0",
            f"{GITHUB}/JingyunLiang/SwinIR/releases/tag/v0.0",
            "swinir-light",
            **{f"x{s}": f"002_lightweightSR_DIV2K_s64w8_SwinIR-S_x{s}.pth" for s in (2, 3, 4)},
        ),
        *_each("srformer-light", f"{GITHUB}/HVision-NKU/SRFormer#pretrain-models", x4="SRFormerLight_SRx4_DIV2K.pth"),
        *_each("elan-light", f"{GITHUB}/xindongzhang/ELAN"),
        *_each(
            "atd-light",
            f"{GITHUB}/LabShuHangGU/Adaptive-Token-Dictionary",
            x2="101_ATD_light_SRx2_scratch.pth",
            x3="102_ATD_light_SRx3_finetune.pth",
            x4="103_ATD_light_SRx4_finetune.pth",
        ),
        *_each("mambair-light", f"{GITHUB}/csguoh/MambaIR"),
        *_each(
            "mambairv2-light",
            "https://huggingface.co/cguoh/MambaIR",
            **{f"x{s}": f"mambairv2_lightSR_x{s}.pth" for s in (2, 3, 4)},
        ),
        Published(
            "mambairv2-light-x4-ntire2025",
            ("mambairv2-light-x4",),
            "unknown",
            f"{GITHUB}/Amazingren/NTIRE2025_ESR",
            "team40_mambairv2light.pth",
            f"{RAW}/{NTIRE}/team40_mambairv2light.pth",
            "3e80def799232727ff0663f2b922135ba7d377699ad7b527862256f402414317",
            note="trained for NTIRE 2025 by its team 40",
        ),
        *_each("rdn", f"{GITHUB}/yulunzhang/RDN"),
        *_each("rcan", f"{GITHUB}/yulunzhang/RCAN"),
        *_direct(
            EDSR,
            f"{GITHUB}/sanghyun-son/EDSR-PyTorch",
            "edsr-baseline",
            x2="edsr_baseline_x2-1bc95232.pt",
            x3="edsr_baseline_x3-abf2a44e.pt",
            x4="edsr_baseline_x4-6b446fab.pt",
        ),
        Published(
            "carn-x234-div2k",
            ("carn-x2", "carn-x3", "carn-x4"),
            "DIV2K",
            f"{GITHUB}/nmhkahn/CARN-pytorch",
            "carn.pth",
            f"{RAW}/{CARN}/carn.pth",
        ),
        Published(
            "carn-m-x234-div2k",
            ("carn-m-x2", "carn-m-x3", "carn-m-x4"),
            "DIV2K",
            f"{GITHUB}/nmhkahn/CARN-pytorch",
            "carn_m.pth",
            f"{RAW}/{CARN}/carn_m.pth",
            "d48a759a84509351facb6b7c6d5bd6edec98b98519b8c464ee4ab44d2ba964ff",
        ),
        *_direct(f"{RAW}/{IMDN}", f"{GITHUB}/Zheng222/IMDN", "imdn", **{f"x{s}": f"IMDN_x{s}.pth" for s in (2, 3, 4)}),
        *_each("rfdn", f"{GITHUB}/njulj/RFDN"),
        Published(
            "rfdn-x4-aim2020",
            ("rfdn-x4",),
            "unknown",
            f"{GITHUB}/njulj/RFDN",
            "RFDN_AIM.pth",
            f"{RAW}/{RFDN}/RFDN_AIM.pth",
            "11af8ec8ebd68689e90ef1e29044f9804c72d3bd9f7573820b7b26035782760c",
            pixels=(0.0, 255.0),
            note="the model of the AIM 2020 challenge, on pixels from 0 to 255",
        ),
    )
}


def by_hash(sha256: str) -> Published | None:
    """What the manifest knows of a file."""
    return next((w for w in WEIGHTS.values() if w.sha256 == sha256), None)


def of(variant: str, trained_on: str) -> Published | None:
    """What was published for a variant, trained on that set."""
    return next((w for w in WEIGHTS.values() if variant in w.variants and w.trained_on == trained_on), None)
