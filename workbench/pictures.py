"""Picture files through a trained network: which goes where, and what came of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import models, store, weights
from workbench.images import files
from workbench.spec import Quality, UserError
from workbench.upscaling import Cut, Upscaler


@dataclass(frozen=True)
class Done:
    """What came of one picture."""

    source: Path
    out: Path
    size: tuple[int, int] | None
    """Height and width of what was written; None if nothing was."""
    cut: Cut | None
    why: str = ""
    """Why nothing was written, in a sentence."""

    def __str__(self) -> str:
        height, width = self.size or (0, 0)
        told = f"{self.out}: {width}x{height}"
        if self.cut:
            told += f", in tiles of {self.cut.width}x{self.cut.height} that overlap by {self.cut.overlap}"
        return told

    def as_object(self) -> dict[str, Any]:
        """As `--json` shows it."""
        cut = vars(self.cut) if self.cut else None
        height, width = self.size or (None, None)
        place = {"source": str(self.source), "out": str(self.out)}
        return place | {"width": width, "height": height, "tiles": cut, "why": self.why or None}


def upscale(
    images: Sequence[Path], name: str, asked: str | None, out: Path, ensemble: bool, home: Path
) -> Iterator[Done]:
    """Upscale one picture after the other; one that cannot be read is told, and the others are still made."""
    scale = models.find(name).scale
    ways = _ways(images, out, scale)
    chosen = weights.choose(name, asked, home)
    for _, target in ways:
        store.check_file(target, "-o")
    upscaler = Upscaler(name, chosen, Quality(ensemble="x8" if ensemble else "none"))
    for source, target in ways:
        try:
            made = upscaler(files.read(source))
            files.write(target, made.image)
        except UserError as error:
            yield Done(source, target, None, None, str(error))
        else:
            yield Done(source, target, (made.image.shape[0], made.image.shape[1]), made.cut)


def _ways(images: Sequence[Path], out: Path, scale: int) -> list[tuple[Path, Path]]:
    """Where each picture goes; no two to one place, and none upon a source."""
    single = len(images) == 1 and out.suffix.lower() in files.WRITTEN and not out.is_dir()
    if not single and out.suffix and not out.is_dir():
        raise UserError(
            f"-o was given {out}; for one image give a file that ends in {', '.join(files.WRITTEN)}, for several a"
            " folder."
        )
    ways = [(image, out if single else out / f"{image.stem}-x{scale}.png") for image in images]
    sources = {image.resolve() for image in images}
    seen: dict[Path, Path] = {}
    for source, target in ways:
        if target.resolve() in sources:
            raise UserError(f"{target} would be written over a picture that is read; name another place with -o.")
        if target in seen:
            raise UserError(f"{seen[target]} and {source} would both become {target}; upscale them in two calls.")
        seen[target] = source
    return ways
