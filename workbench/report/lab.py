"""The attention notebook: one picture per cell; where somebody is looking, with widgets to choose what it shows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import attention, fields, sharing
from .plots import saved
from .queries import over

if TYPE_CHECKING:
    import matplotlib.figure

    from workbench.attention.looking import Looking


class Lab:
    """Networks with attention, and a picture of each question; default choices are shown where nobody chooses."""

    def __init__(
        self,
        models: Sequence[str],
        images: Sequence[str] = (),
        measures: Sequence[str] = (),
        weights: Mapping[str, str] | None = None,
        crop: int | None = None,
        records: str | Path = "records",
        data: str | Path | None = None,
    ):
        from workbench import testsets
        from workbench.attention import choosing, looking
        from workbench.spec import UserError

        if not models:
            raise UserError("No model was named; give variants with attention, such as swinir-light-x4.")
        weights = weights or {}
        if strange := [name for name in weights if name not in models]:
            raise UserError(f"Weights were given for {strange[0]}, which is not among the models: {', '.join(models)}.")
        home = Path(data) if data else testsets.default()
        self.networks: dict[str, Looking] = {}
        for name in models:
            one = looking.Looking(name, images, measures, weights.get(name), crop, Path(records), home)
            print(f"{choosing.told(name, choosing.choose(name, weights.get(name), home))}; {one.fed}")
            self.networks[name] = one

    def matrix(self) -> Any:
        """Layer by layer, in one measure."""
        return self._show(lambda model, measure: attention.styled_heatmap(model.table(measure)), measure=_of_pairs)

    def neighbours(self) -> Any:
        """Every measure from each layer to the next."""
        return self._show(lambda model: attention.styled_curves(model.tables))

    def query(self) -> Any:
        """Where one pixel's attention goes, over the image, in two layers."""
        return self._show(
            _query,
            image=lambda model: [crop.name for crop in model.crops],
            layer_a=lambda model: [layer.name for layer in model.drawable],
            layer_b=lambda model: [layer.name for layer in model.drawable[1:] + model.drawable[:1]],
            head=lambda model: list(range(max((x.geometry.heads for x in model.drawable), default=1))),
            row=lambda model: _from_middle(model.side),
            column=lambda model: _from_middle(model.side),
        )

    def sharing(self) -> Any:
        """What the layers of the first group lose with each other's maps, and a plan."""
        return self._show(lambda model: sharing.draw(model.shares))

    def fields(self) -> Any:
        """The receptive field in effect, and what a patch is attributed to."""
        return self._show(lambda model: fields.draw(model.fields))

    def write(self, results: str | Path) -> list[Path]:
        """CSV and pictures of every measure of every network."""
        return [path for one in self.networks.values() for path in attention.write(one.tables, None, Path(results))]

    def _show(self, draw: Callable[..., matplotlib.figure.Figure], **choices: Callable[[Looking], list[Any]]) -> Any:
        """The picture of the first of all choices; where somebody is looking, with a widget for each."""
        from IPython.display import Image

        @functools.lru_cache(64)
        def picture(model: str, *chosen: Any) -> Image:
            drawn = draw(self.networks[model], **dict(zip(choices, chosen, strict=True)))
            return Image(data=saved(drawn, "png"), format="png", width=round(100 * drawn.get_size_inches()[0]))

        def options(model: str) -> list[list[Any]]:
            return [of(self.networks[model]) for of in choices.values()]

        first = next(iter(self.networks))
        if not watched():
            return picture(first, *(known[0] for known in options(first)))
        return controls(list(self.networks), list(choices), options, picture)


def watched() -> bool:
    """Whether somebody is at the notebook, who can choose: a notebook that is executed may not ask its reader."""
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))


def controls(
    models: Sequence[str],
    names: Sequence[str],
    options: Callable[[str], list[list[Any]]],
    picture: Callable[..., Any],
) -> Any:
    """Widgets above a picture, which is drawn anew when one of them changes; a change of the model changes the others.

    What goes wrong is told in the place of the picture.
    """
    import ipywidgets

    from workbench.spec import UserError

    model = ipywidgets.Dropdown(options=models, description="model")
    others = [ipywidgets.Dropdown(description=name.replace("_", " ")) for name in names]
    place, told = ipywidgets.Image(format="png"), ipywidgets.Label()
    filling = False

    def fill() -> None:
        nonlocal filling
        filling = True
        for widget, known in zip(others, options(model.value), strict=True):
            before = widget.value
            widget.options = known
            widget.value = before if before in known else known[0] if known else None
        filling = False

    def draw(change: Any = None) -> None:
        if filling:
            return
        told.value = "drawing ..."
        try:
            if change is None or change.owner is model:
                fill()
            shown = picture(model.value, *(widget.value for widget in others))
        except UserError as error:
            told.value = str(error)
            return
        place.value, told.value = shown.data, ""
        place.layout.width = f"{shown.width}px"

    for widget in (model, *others):
        widget.observe(draw, names="value")
    draw()
    rows = ipywidgets.HBox([model, *others], layout=ipywidgets.Layout(flex_flow="row wrap"))
    return ipywidgets.VBox([rows, told, place])


def _of_pairs(model: Looking) -> list[str]:
    found = [table.measure.name for table in model.tables if table.measure.pair and table.mean is not None]
    return found or [table.measure.name for table in model.tables if table.measure.pair]


def _from_middle(side: int) -> list[int]:
    """All rows or columns, that in the middle first."""
    return sorted(range(side), key=lambda k: (k != side // 2, k))


def _query(
    model: Looking, image: str, layer_a: str, layer_b: str, head: int, row: int, column: int
) -> matplotlib.figure.Figure:
    number = [crop.name for crop in model.crops].index(image)
    by_name = {layer.name: layer for layer in model.drawable}
    two = [by_name[layer_a], by_name[layer_b]]
    maps = model.query(number, two, head, (row, column))
    return over(model.title, model.crops[number], two, maps, head, (row, column))
