"""A network's attention measured image by image: each measure of each image is a record, so that runs go on."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench import environment, interrupts, models, sidefiles, store
from workbench.spec import Record, Status, UserError, Variant
from workbench.weights import Weights

from . import passes, streaming
from .capture import Layer, layers
from .measures import MEASURES, VERSION, Measure, compared, neighbours, why_not
from .pictures import Crop
from .rows import Rows
from .settling import settled
from .tapping import Tapped

PROBE = "attention"

SEED = 0
"""Of the weights of an untrained network."""

FITS = 24 * 24
"""An array of more numbers has a file of its own beside the records."""


@dataclass(frozen=True)
class Subject:
    """A network with its weights, and how it is looked at."""

    variant: str
    model: nn.Module
    layers: tuple[Layer, ...]
    weights: str | None
    """The hash of the file; None for an untrained network."""
    all_pairs: bool = False
    """Whether costly measures are taken of all pairs, not of neighbours only."""
    pixels: tuple[float, float] | None = None
    """Black and white as the weights want them, where that is not as the model's others do."""
    own: dict[str, Any] | None = None
    """Of a network of somebody's own, what identifies it and its maps beside its name."""

    @property
    def trained(self) -> bool | None:
        """None where its code makes its weights, and nobody knows what they are."""
        return None if self.own is not None else self.weights is not None

    def conditions(self, measure: Measure, crop: Crop) -> dict[str, Any]:
        """What identifies a record of one measure on one image."""
        weights = {"weights": self.weights} if self.weights else {"weights": None, "seed": SEED}
        said: dict[str, Any] = {"measure": measure.name, "image": crop.sha256, "crop": list(crop.pixels.shape[:2])}
        if measure.near:
            shared = " and who shares their maps" if any(layer.shares for layer in self.layers) else ""
            said["pairs"] = "all" if self.all_pairs else f"neighbours{shared}"
        return weights | said | (self.own or {})


def tapped(variant: Variant, net: Tapped, all_pairs: bool = False) -> Subject:
    """A network of one's own whose maps were found."""
    return Subject(variant.name, net, net.layers, None, all_pairs, (0.0, 1.0), own(variant, net))


def own(variant: Variant, net: nn.Module) -> dict[str, Any]:
    """What identifies a network of one's own in a record: its source, and what was said of its maps."""
    assert variant.source is not None
    return {"source": variant.source.conditions} | ({"maps": net.said} if isinstance(net, Tapped) and net.said else {})


def subject(variant: str, weights: Weights | None = None, all_pairs: bool = False) -> Subject:
    """A network by name, with trained weights if some are given; one without attention is refused."""
    if models.find(variant).model not in (known := models.attentive()):
        raise UserError(f"{variant} has no attention; with attention: {', '.join(known)}.")
    torch.manual_seed(SEED)
    model = models.create(variant)
    found = layers(model)
    if weights is None:
        return Subject(variant, model, found, None, all_pairs)
    models.load_checkpoint(model, weights.path)
    return Subject(variant, model, found, weights.sha256, all_pairs, weights.pixels)


def run(
    subject: Subject,
    crops: Iterable[Crop],
    wanted: Sequence[Measure],
    folder: Path,
    bound: int = passes.BOUND,
    force: bool = False,
    tell: Callable[[str], None] = lambda told: print(told, file=sys.stderr),
) -> list[list[Record]]:
    """The records of every measure, image by image; what a record answers already is not measured again."""
    known = {} if force else store.read(folder).newest()
    answers, rows, found = [], Rows(), None
    with store.Writer(folder) as writer:
        for number, crop in enumerate(crops, start=1):
            identities = {m.name: _identity(subject, m, crop) for m in wanted}
            missing = [m for m in wanted if not _stands(known.get(identities[m.name]))]
            if missing:
                writer.check()
                found = _measure(subject, crop, missing, bound, rows)
                fresh = [_record(subject, crop, m, found, folder) for m in missing]
                interrupts.check()
                writer.append(fresh)
                known.update({identities[m.name]: record for m, record in zip(missing, fresh, strict=True)})
                told = f"{_many(len(missing), 'measure')} in {_many(found.passes, 'pass', 'es')}"
                for name, why in found.broken.items():
                    tell(f"workbench: {crop.name}: {why} at {name}; it is left out of every figure.")
            else:
                told = "known"
            tell(f"[{number}] {crop.name}: {told}")
            answers.append([known[identities[m.name]] for m in wanted])
    if found and not subject.all_pairs:
        _tell_near(found, tell)
    return answers


def _stands(record: Record | None) -> bool:
    return record is not None and record.status in ("ok", "unsupported")


def _identity(subject: Subject, measure: Measure, crop: Crop) -> str:
    return store.identity(subject.variant, PROBE, VERSION, subject.conditions(measure, crop))


def _measure(subject: Subject, crop: Crop, wanted: Sequence[Measure], bound: int, rows: Rows) -> streaming.Found:
    x = input_of(subject, crop)
    return streaming.measure(subject.model, x, subject.layers, wanted, subject.all_pairs, bound, rows)


def input_of(subject: Subject, crop: Crop) -> Tensor:  # (1, 3, H, W)
    """A crop in the range that the network was trained on."""
    black, white = subject.pixels or models.PIXELS.get(models.find(subject.variant).model, (0.0, 1.0))
    x = torch.from_numpy(crop.pixels).permute(2, 0, 1)[None].float() / 255
    return black + (white - black) * x


def _tell_near(found: streaming.Found, tell: Callable[[str], None]) -> None:
    """What a measure that was taken of neighbours would cost for all pairs."""
    gone = {*found.left, *found.broken}
    for name, seconds in found.seconds.items():
        near, every = (
            sum(not {a.name, b.name} & gone for a, b in compared(MEASURES[name], found.layers, all_pairs))
            for all_pairs in (False, True)
        )
        if near and every > near:
            what = "pairs of maps behind the neighbours" if any(x.shares for x in found.layers) else "neighbours"
            guess = f"all {every} pairs (--all-pairs) would take about {seconds / near * every:.0f} s"
            tell(f"{name}: {near} {what} took {seconds:.1f} s an image; {guess}")


def _record(subject: Subject, crop: Crop, measure: Measure, found: streaming.Found, folder: Path) -> Record:
    array = found.values[measure.name]
    figure = summary(measure, subject.layers, array)
    status: Status = "ok"
    reason: str | None = None
    if figure is None:
        status, reason = "unsupported", _reason(subject, measure, found)
        if found.broken:
            status = "failed"
    details: dict[str, Any] = {
        "image": crop.name,
        "layers": [layer.name for layer in subject.layers],
        "broken": dict(found.broken),
        "left": dict(found.left),
        "trained": subject.trained,
        "value": "mean over neighbours" if measure.pair else "mean over layers",
    }
    details |= (
        {"array": sidefiles.put(folder, array.astype(np.float32))} if array.size > FITS else {"values": _plain(array)}
    )
    if measure.name == "profile" and found.profiles is not None:
        details["profiles"] = sidefiles.put(folder, found.profiles.astype(np.float32))
    return Record(
        variant=subject.variant,
        protocol=PROBE,
        probe=PROBE,
        probe_version=VERSION,
        conditions=subject.conditions(measure, crop),
        unit=measure.unit,
        values=() if figure is None else (figure,),
        status=status,
        reason=reason,
        recorded_at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        machine=environment.machine(),
        details=details,
        environment=environment.capture(),
    )


def _reason(subject: Subject, measure: Measure, found: streaming.Found) -> str:
    if found.broken:
        name, why = next(iter(found.broken.items()))
        return f"{why} at {name}"
    whys = [why_not(measure, layer, layer) for layer in subject.layers]
    return next((why for why in [*whys, *found.left.values()] if why), "no two layers can be compared")


def summary(measure: Measure, known: Sequence[Layer], array: streaming.Values) -> float | None:
    """The mean over neighbours, or over layers; None where nothing is defined."""
    values = settled(measure, array[None])[0]
    if measure.pair:
        index = {layer.name: i for i, layer in enumerate(known)}
        values = np.array([values[index[a.name], index[b.name]] for a, b in neighbours(measure, known)])
    figure = float(np.nanmean(values)) if np.isfinite(values).any() else None
    return figure if figure is None or math.isfinite(figure) else None


def _plain(array: streaming.Values) -> Any:
    """A nested list in float32's digits, None for NaN, which JSON has not."""
    if array.ndim:
        return [_plain(part) for part in array]
    return float(str(np.float32(array))) if np.isfinite(array) else None


def values(record: Record, folder: Path) -> streaming.Values:
    """The array of a record, from its details or from the file beside it."""
    if "array" in record.details:
        return np.asarray(sidefiles.get(folder, record.details["array"]), dtype=np.float64)
    return np.array(record.details["values"], dtype=np.float64)


def reasons(record: Record) -> Mapping[str, str]:
    """Layers of a record that have no figures, and why."""
    return {**record.details["left"], **record.details["broken"]}


def _many(count: int, what: str, ending: str = "s") -> str:
    return f"{count} {what}{'' if count == 1 else ending}"
