"""Trained weights: which are published, which this user has, and which network each file fits.

Files are copied into the user's folder under the hash of their content, with what is known of them beside: so nobody's
moving or overwriting of a download changes a measurement, and a copy that was changed is noticed when it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from workbench import store
from workbench.models import VARIANTS
from workbench.passing import Say, unheard
from workbench.spec import UserError, unknown

from .manifest import WEIGHTS, Published, by_hash, of

__all__ = ["UNKNOWN", "WEIGHTS", "Published", "Weights", "add", "choose", "described", "folder", "held", "listed", "of"]

UNKNOWN = "unknown"
"""The training set of weights of which nobody said it."""


@dataclass(frozen=True)
class Weights:
    """One file of trained weights, identified by its content."""

    name: str
    """That of the manifest, or the variant with the beginning of the hash."""
    variants: tuple[str, ...]
    """The variants that it fits."""
    trained_on: str
    """As the manifest says, or else its user; `unknown` if neither does."""
    sha256: str
    file: str
    """The name it came under, without its folder."""
    path: Path
    """Where it lies."""
    pixels: tuple[float, float] | None = None
    """Black and white as these weights want them, where that is not as the model's others do."""


def folder(home: Path) -> Path:
    """Where the weights of a user's folder lie."""
    return home / "weights"


def sha256(path: Path) -> str:
    """The hash of a file's content; a UserError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(f"There is no checkpoint {path}; check the path.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name the checkpoint file in it.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None


def held(home: Path) -> list[Weights]:
    """The weights in a user's folder, by name. What is no note of weights is passed over: it names no file of ours."""
    found = []
    try:
        notes = sorted(folder(home).glob("*.json"))
    except OSError as error:
        raise UserError(f"Cannot read {folder(home)}: {error.strerror}. Name another folder with --data.") from None
    for note in notes:
        try:
            told = json.loads(note.read_text(encoding="utf-8"))
            pixels = told["pixels"] and (float(told["pixels"][0]), float(told["pixels"][1]))
            texts = {key: str(told[key]) for key in ("name", "trained_on", "sha256", "file")}
            found.append(
                Weights(**texts, variants=tuple(told["variants"]), path=note.with_suffix(".pth"), pixels=pixels)
            )
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return sorted((w for w in found if w.path.stem == w.sha256), key=lambda w: w.name)


def read(path: Path, trained_on: str | None = None, published: str | None = None, say: Say = unheard) -> Weights:
    """What a file is, by its content: which variants it fits and, if anybody knows, what it was trained on."""
    from workbench.models import checkpoint

    digest = sha256(path)
    fits = tuple(checkpoint.fitting(path, say))
    entry = by_hash(digest)
    if published is not None:
        entry = _named(published, entry, digest, fits, path)
    if entry is None:
        return Weights(f"{fits[0]}-{digest[:8]}", fits, trained_on or UNKNOWN, digest, path.name, path)
    if trained_on not in (None, entry.trained_on) and entry.trained_on != UNKNOWN:
        raise UserError(
            f"{path} was said to be trained on {trained_on}, but is {entry.name}, trained on {entry.trained_on}"
            f" ({entry.page}); leave --trained-on out."
        )
    return Weights(entry.name, fits, trained_on or entry.trained_on, digest, path.name, path, entry.pixels)


def _named(name: str, entry: Published | None, digest: str, fits: tuple[str, ...], path: Path) -> Published:
    """The manifest's entry that a file is said to be, if nothing contradicts that."""
    if name not in WEIGHTS:
        raise unknown("published weights", name, WEIGHTS, "workbench weights list")
    said = WEIGHTS[name]
    if entry is not None and entry != said:
        raise UserError(f"{path} was said to be {name}, but is {entry.name} by its hash; leave --published out.")
    if said.sha256 not in (None, digest):
        raise UserError(f"{path} is not {name}: its sha256 is {digest[:16]}..., not {str(said.sha256)[:16]}...")
    if not set(said.variants) & set(fits):
        raise UserError(f"{path} is not {name}: it fits {' and '.join(fits)}, not {' and '.join(said.variants)}.")
    return said


def add(
    path: Path,
    home: Path,
    trained_on: str | None = None,
    published: str | None = None,
    name: str | None = None,
    say: Say = unheard,
) -> Weights:
    """Copy a file into the user's folder and note what it is; the same content again changes only what is said of it.

    The first file that is said to be one of the manifest decides the hash of that one, if the manifest has none.
    """
    found = read(path, trained_on, published, say)
    for other in held(home):
        if other.name == found.name and other.sha256 != found.sha256:
            raise UserError(
                f"{path} is not the {found.name} that was used here before: its sha256 is {found.sha256[:16]}..., not"
                f" {other.sha256[:16]}.... If the older one was wrong, remove {other.path} and its .json first."
            )
    kept = replace(found, file=name or found.file, path=folder(home) / f"{found.sha256}.pth")
    if path.resolve() != kept.path.resolve():
        store.replace(kept.path, path.read_bytes(), "--data")
    note = {k: v for k, v in asdict(kept).items() if k != "path"}
    store.replace(kept.path.with_suffix(".json"), json.dumps(note, indent=1) + "\n", "--data")
    return kept


def choose(variant: str, asked: str | None, home: Path) -> Weights:
    """The weights for a variant: those of a name or a file, or else the only ones that the user has for it."""
    mine = held(home)
    if asked is not None:
        named = {w.name: w for w in mine}
        if asked in named:
            chosen = named[asked]
        elif asked in WEIGHTS:
            raise UserError(f"The weights {asked} are not here yet. {_get(WEIGHTS[asked])}")
        elif Path(asked).exists() or "/" in asked or Path(asked).suffix:
            chosen = read(Path(asked))
        else:
            raise unknown("weights", asked, dict.fromkeys([*named, *WEIGHTS]), "workbench weights list")
        if variant not in chosen.variants:
            raise UserError(f"The weights {asked} fit {' and '.join(chosen.variants)}, not {variant}.")
        return _checked(chosen)
    fitting = [w for w in mine if variant in w.variants]
    if len(fitting) > 1:
        names = ", ".join(w.name for w in fitting)
        raise UserError(f"There are {len(fitting)} weights for {variant}: {names}. Name one with --weights.")
    if not fitting:
        entry = next(_published(variant), None)
        raise UserError(
            f"There are no weights for {variant} yet. {_get(entry) if entry else 'workbench weights add FILE'}"
        )
    return _checked(fitting[0])


def described(weights: Weights) -> str:
    """What there is to say of weights that were just added, in a sentence."""
    said = f"{weights.name}, fits {' and '.join(weights.variants)}, trained on {weights.trained_on}"
    if weights.trained_on != UNKNOWN or weights.name in WEIGHTS:
        return said
    names = [w.name for w in WEIGHTS.values() if set(w.variants) & set(weights.variants) and w.sha256 is None]
    mend = f"; if it is one of {', '.join(names)}, say so with --published NAME" if names else ""
    return f"{said}: --trained-on SET says it{mend}"


def _published(variant: str) -> Iterator[Published]:
    return (w for w in WEIGHTS.values() if variant in w.variants)


def _checked(weights: Weights) -> Weights:
    """Refuse a copy that is no longer what it was."""
    if (now := sha256(weights.path)) != weights.sha256:
        raise UserError(
            f"The weights {weights.name} were changed: {weights.path} has the sha256 {now[:16]}..., not"
            f" {weights.sha256[:16]}.... Remove it and add the file again: workbench weights add FILE"
        )
    return weights


def _get(entry: Published) -> str:
    """How somebody comes by published weights."""
    if entry.url:
        return f"Fetch them: workbench weights fetch {entry.name}"
    file = f" as {entry.file}" if entry.file else ""
    return f"They are published at {entry.page}{file}; then: workbench weights add FILE --published {entry.name}"


def listed(home: Path) -> list[dict[str, object]]:
    """Everything that is held or published, as `workbench weights list` shows it."""
    mine = {w.name: w for w in held(home)}
    rows = [_row(w, mine.pop(w.name, None)) for w in WEIGHTS.values()]
    rows += [_row(None, w) for w in mine.values()]
    order = {name: i for i, name in enumerate(VARIANTS)}
    return sorted(rows, key=lambda row: order.get(str(row["variants"]).split(", ")[0], len(order)))


def _row(entry: Published | None, mine: Weights | None) -> dict[str, object]:
    variants = mine.variants if mine else entry.variants if entry else ()
    return {
        "name": mine.name if mine else entry.name if entry else "",
        "variants": ", ".join(variants),
        "trained_on": mine.trained_on if mine else entry.trained_on if entry else UNKNOWN,
        "here": "yes" if mine else "no",
        "get": "" if mine or entry is None else "fetch" if entry.url else "page",
        "page": entry.page if entry else None,
        "file": mine.file if mine else entry.file if entry else None,
        "sha256": mine.sha256 if mine else entry.sha256 if entry else None,
        "note": entry.note if entry else "",
    }
