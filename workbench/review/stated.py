"""What somebody claims of a network, as a TOML file states it, and the protocol that it names by its conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from workbench import described, protocols
from workbench.described import Section
from workbench.digits import UNITS, parse, split
from workbench.spec import UserError

Of = Literal["params", "flops", "memory", "latency"]
PROBES: Mapping[Of, str] = {"params": "params", "flops": "macs", "memory": "planned-memory", "latency": "latency"}

COUNTERS = {
    "fvcore": "fvcore",
    "torch": "torch",
    "FlopCounterMode": "torch",
    "hooks": "hooks",
    "thop": "hooks",
}
COUNTED = {"total": "fvcore", "trainable": "fvcore+trainable", "hooks": "hooks", "thop": "hooks"}
SWITCHES = {"padding": "unpadded", "layer-norm": "no-layer-norm"}
"""Conditions that hold unless somebody says false, and the modifier of that."""
ATTENTION = ("naive", "sdpa", "flex")
SIZES = {"1280x720": ""} | {f"{w}x{h}": name for name, (h, w) in protocols.SIZES.items()}

INPUT = ("hr", "lr")
KEYS: Mapping[Of, tuple[str, ...]] = {
    "params": ("value", "protocol", "counter"),
    "flops": ("value", "protocol", "counter", *INPUT, "counts", *SWITCHES, "scan", "mode", "attention"),
    "memory": ("value", "protocol", *INPUT, "attention", "forward", "device", "peak"),
    "latency": ("value", "ratio", "vs", "protocol", "device", "warmup", "runs", "statistic", "compile"),
}
BESIDE = ("value", "protocol", "ratio", "vs", "device", "peak", "warmup", "runs", "statistic")
"""Keys that a named protocol goes together with."""


@dataclass(frozen=True)
class Stated:
    """One figure that somebody is about to publish."""

    of: Of
    text: str
    """As it was written."""
    printed: str
    """Its digits."""
    factor: float
    """What they count, in base units; 1 of a ratio."""
    protocol: str
    """What its conditions come to; those that are not stated are taken as papers do most often."""
    said: frozenset[str]
    """The conditions that it states."""
    vs: str | None = None
    """Of a ratio of times, the network that it is to."""
    slower: bool = False
    """Whether the ratio says how many times slower it is."""

    @property
    def probe(self) -> str:
        return PROBES[self.of]

    def shown(self, value: float) -> str:
        """A figure in the unit of the claim, with one digit more than it has."""
        unit = re.sub(r"^[\d.,\s]+", "", self.text)
        decimals = len(self.printed.partition(".")[2]) + 1
        return f"{value / self.factor:,.{decimals}f}{' ' if len(unit) > 1 else ''}{unit}"


def read(path: Path, scale: int) -> tuple[Stated, ...]:
    """The claims of a file on a network of that scale, in the order of `KEYS`."""
    section = described.read(path, "claims", "workbench review --help")
    section.only(*KEYS)
    found = tuple(_stated(inner, of, scale) for of in KEYS if (inner := section.inner(of)) is not None)
    if not found:
        raise UserError(f"{section.file} claims nothing; write a table for a figure: [params] value = '312K'.")
    return found


def _stated(inner: Section, of: Of, scale: int) -> Stated:
    inner.only(*KEYS[of])
    said = frozenset(inner.values) - {"value", "protocol", "ratio", "vs"}
    named = inner.line("protocol")
    if named is not None:
        if more := sorted(said - set(BESIDE)):
            raise inner.wrong(more[0], f"protocol {named!r} says that too; leave one of them out")
        protocol = inner.made("protocol", lambda: protocols.find(named).name)
        said |= {key for key in KEYS[of] if key not in BESIDE}
    else:
        protocol = protocols.find("+".join(filter(None, _parts(inner, of, scale)))).name
    if of == "latency":
        return _latency(inner, protocol, said)
    if "value" not in inner.values:
        raise inner.wrong(
            "value", f"there is none; write the figure as you print it: {'176MB' if of == 'memory' else '312K'!r}"
        )
    text = inner.made("value", lambda: described.digits(inner.values["value"]))
    printed, factor = inner.made("value", lambda: _unit(text, "memory", "MB") if of == "memory" else parse(text))
    if not Decimal(printed):
        raise inner.wrong("value", "nothing is 0 of a network that can be run")
    return Stated(of, text, printed, factor, protocol, said)


def _parts(inner: Section, of: Of, scale: int) -> list[str]:
    """The protocol that conditions come to, word by word."""
    if of == "params":
        return [COUNTED[inner.one_of("counter", COUNTED) or "total"]]
    if of == "latency":
        device, how = inner.line("device"), inner.one_of("compile", ("none", "compile", "graph"))
        return [
            "steady",
            "cuda" if device and "cpu" not in device.lower() else "",
            how if how and how != "none" else "",
        ]
    base = COUNTERS[inner.one_of("counter", COUNTERS) or "fvcore"] if of == "flops" else "fvcore"
    size = SIZES[inner.one_of("hr", SIZES) or "1280x720"]
    attention = inner.one_of("attention", ATTENTION) or "naive"
    parts = [base, size, _rounding(inner, size, scale), attention if attention != "naive" else ""]
    if of == "memory":
        return [*parts, "lean" if inner.one_of("forward", ("faithful", "lean")) == "lean" else ""]
    parts += [modifier for key, modifier in SWITCHES.items() if inner.get(key, bool) is False]
    parts.append("scan" if inner.get("scan", bool) else "")
    parts.append("twice" if inner.one_of("counts", ("multiply-adds", "operations")) == "operations" else "")
    return [*parts, "train" if inner.one_of("mode", ("eval", "train")) == "train" else ""]


def _rounding(inner: Section, size: str, scale: int) -> str:
    """`ceil` where that is stated, or where the stated input is of that size."""
    word = inner.line("lr")
    if word in (None, "floor", "ceil"):
        return "ceil" if word == "ceil" else ""
    made = dict[str, str]()
    for way in ("", "ceil"):
        height, width = protocols.find("+".join(filter(None, ("fvcore", size, way)))).input.lr(scale)
        made[f"{width}x{height}"] = made.get(f"{width}x{height}", way)
    if word not in made:
        raise inner.wrong("lr", f"{word!r} is none; write floor, ceil, or the input: at x{scale} {' or '.join(made)}")
    return made[str(word)]


def _latency(inner: Section, protocol: str, said: frozenset[str]) -> Stated:
    for key in ("warmup", "runs"):
        if key in inner.values and (inner.get(key, int) or 0) < (key == "runs"):
            raise inner.wrong(key, f"{inner.values[key]} is no number of runs")
    inner.one_of("statistic", ("median", "mean"))
    text, vs = inner.line("ratio"), inner.line("vs")
    if "value" in inner.values and (text or vs):
        both = "ratio" if text else "vs"
        raise inner.wrong("value", f"there is {both} too, and one of them would be dropped; leave one of them out")
    if text is None:
        if "value" not in inner.values:
            raise inner.wrong(
                "ratio", "there is none; write how many times faster: vs = 'esc-x4', ratio = '1.7x faster'"
            )
        given = inner.made("value", lambda: described.digits(inner.values["value"]))
        printed, factor = inner.made("value", lambda: _unit(given, "latency", "ms"))
        return Stated("latency", given, printed, factor, protocol, said)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:x|×|times)?\s+(faster|slower)", text.lower())
    if not match or not float(match[1]):
        raise inner.wrong("ratio", f"{text!r} cannot be read; write '1.7x faster', or slower")
    if vs is None:
        raise inner.wrong("ratio", "it is to no network; name one: vs = 'esc-x4'")
    return Stated("latency", text, match[1], 1.0, protocol, said, vs, match[2] == "slower")


def _unit(text: str, probe: str, usual: str) -> tuple[str, float]:
    """A figure with its unit, which has to be written."""
    figure, factor = split(text, probe)
    if factor is None or not re.fullmatch(r"\d+(?:\.\d+)?", figure):
        raise UserError(f"{text!r} cannot be read; write digits and one of {', '.join(UNITS[probe])}: '12.3 {usual}'")
    return figure, factor
