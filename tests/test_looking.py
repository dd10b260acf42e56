"""What the attention notebook shows: the map of one query in its place, and widgets that draw anew."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from workbench.attention import looking
from workbench.attention.capture import Geometry, Layer
from workbench.attention.pictures import Crop
from workbench.report import lab, queries
from workbench.spec import UserError


def of(shift=0, columns=4):
    return Geometry("window", 2, shift, 1, 4, columns, softmax=True)


def rows(windows=4, columns=4):
    """Every number of a map another one."""
    return torch.arange(windows * 4 * columns, dtype=torch.float64).view(windows, 4, columns)


def test_a_query_looks_at_its_window_and_nowhere_else():
    drawn = looking.placed(rows(), of(), 4, (1, 2))  # the second window of 2x2, of its pixels the third
    assert drawn[:2, 2:].tolist() == [[24, 25], [26, 27]]
    assert np.isfinite(drawn).sum() == 4


def test_in_a_rolled_raster_windows_lie_half_a_window_further_and_reach_around_the_edge():
    drawn = looking.placed(rows(), of(shift=1), 4, (1, 2))  # the first window holds rows and columns 1 and 2
    assert drawn[1:3, 1:3].tolist() == [[4, 5], [6, 7]]
    corner = looking.placed(rows(), of(shift=1), 4, (0, 0))  # the last window: of every corner of the image a pixel
    assert [corner[y, x] for y in (3, 0) for x in (3, 0)] == [60, 61, 62, 63]


def test_a_key_of_several_pixels_gives_each_an_equal_part():
    drawn = looking.placed(rows(columns=1), of(columns=1), 4, (3, 0))
    assert drawn[2:, :2].tolist() == [[2.5, 2.5], [2.5, 2.5]]  # the third window, its third row: 10 for four pixels


def test_a_pixel_outside_is_refused():
    with pytest.raises(UserError, match=r"There is no pixel \(4, 0\) in a crop of 4x4; rows and columns begin with 0"):
        looking.placed(rows(), of(), 4, (4, 0))


def test_the_picture_names_layers_head_and_pixel():
    layers = [Layer(n, n, n, of(shift)) for n, shift in (("g0.b0", 0), ("g0.b1", 1))]
    maps = [looking.placed(rows(), layer.geometry, 4, (1, 2)) for layer in layers]
    drawn = queries.over("net, untrained", Crop("cat", np.zeros((4, 4, 3), np.uint8)), layers, maps, 5, (1, 2))
    assert [axes.get_title(loc="left") for axes in drawn.axes[:2]] == [
        "g0.b0, head 0 of 1",
        "g0.b1 (shifted), head 0 of 1",
    ]
    assert drawn.get_suptitle() == "net, untrained: what the framed pixel (row 1, column 2 of cat) attends to"
    assert drawn.axes[0].images[1].get_clim() == drawn.axes[1].images[1].get_clim() == (0, 27)


def test_widgets_draw_what_was_chosen_and_tell_what_cannot_be_drawn():
    pytest.importorskip("ipywidgets")
    asked = []

    def picture(*chosen):
        asked.append(chosen)
        if chosen[-1] == "bad":
            raise UserError("not this one")
        return SimpleNamespace(data=b"png", width=100)

    known = {"one": [["x", "bad"]], "two": [["y", "z"]]}
    box = lab.controls(["one", "two"], ["layer_a"], known.__getitem__, picture)
    (model, layer), told, place = box.children[0].children, *box.children[1:]
    assert asked == [("one", "x")]
    assert place.value == b"png"
    layer.value = "bad"
    assert told.value == "not this one"
    model.value = "two"
    assert asked[-1] == ("two", "y")
    assert told.value == ""
    assert layer.options == ("y", "z")


def test_a_lab_wants_models_and_weights_of_them():
    with pytest.raises(UserError, match="No model was named"):
        lab.Lab([])
    with pytest.raises(UserError, match="Weights were given for esc-x4, which is not among the models: asid-x4"):
        lab.Lab(["asid-x4"], weights={"esc-x4": "w.pth"})
