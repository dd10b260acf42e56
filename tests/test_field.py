"""Receptive fields and attribution maps: of networks small enough to follow by hand, and of every kind there is."""

import math

import pytest
import torch
from torch import nn

from workbench import models
from workbench.attention import field
from workbench.spec import UserError


def convolution(weight):
    """A convolution between three colours by one kernel, each colour by itself."""
    kernel = torch.tensor(weight, dtype=torch.float32)
    conv = nn.Conv2d(3, 3, kernel.shape[-1], padding=kernel.shape[-1] // 2, groups=3, bias=False)
    with torch.no_grad():
        conv.weight.copy_(kernel.expand(3, 1, -1, -1))
    return conv


ONES = [[1.0] * 3] * 3


# --- effective receptive field


def test_the_field_of_a_convolution_is_its_kernel_turned_round():
    kernel = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
    slopes = field.gradient(convolution(kernel), torch.rand(2, 3, 7, 7))
    assert slopes.shape == (2, 3, 7, 7)
    assert slopes[0, 0, 2:5, 2:5].tolist() == kernel  # a correlation reads above what stands above in its kernel
    assert slopes[0, 0].sum() == 45
    squares = [k * k for row in kernel for k in row]
    expected = torch.tensor(squares, dtype=torch.float64).view(3, 3) / sum(squares)
    assert torch.allclose(field.energy(slopes)[2:5, 2:5], expected)


def test_the_field_of_two_convolutions_by_hand():
    stack = nn.Sequential(convolution(ONES), convolution(ONES))
    slopes = field.gradient(stack, torch.rand(1, 3, 9, 9))[0, 0]
    line = torch.tensor([0, 0, 1, 2, 3, 2, 1, 0, 0.0])
    assert torch.equal(slopes, line[:, None] * line[None, :])


def test_the_centre_is_one_pixel_of_the_output():
    upscale = nn.Upsample(scale_factor=3, mode="nearest")
    slopes = field.gradient(upscale, torch.rand(1, 3, 4, 5))
    expected = torch.zeros(1, 3, 4, 5)
    expected[..., 2, 2] = 1
    assert torch.equal(slopes, expected)


def test_energy_is_averaged_over_images_and_not_their_slopes():
    slopes = torch.zeros(2, 3, 3, 3)
    slopes[0, 0, 1, 1], slopes[1, 0, 1, 1] = 1, -1
    slopes[1, 2, 0, 0] = 1
    assert field.energy(slopes)[1, 1] == pytest.approx(2 / 3)
    assert field.energy(slopes)[0, 0] == pytest.approx(1 / 3)
    assert field.energy(torch.zeros(1, 3, 2, 2)).sum() == 0


def test_areas_and_sides_by_hand():
    even = torch.zeros(9, 9)
    even[3:6, 3:6] = 1 / 9
    assert [field.area(even, s) for s in (0.2, 0.5, 0.9, 1.0)] == [2, 5, 9, 9]
    assert [field.side(even, s) for s in (0.1, 0.2, 1.0)] == [1, 3, 3]
    apart = torch.zeros(9, 9)
    apart[4, 4], apart[0, 8] = 0.6, 0.4
    assert [field.area(apart, s) for s in (0.5, 0.6, 0.61)] == [1, 1, 2]
    assert [field.side(apart, s) for s in (0.6, 0.61)] == [1, 9]


def test_sides_are_counted_from_the_centre_in_images_of_even_side():
    off = torch.zeros(4, 6)
    off[2, 3] = 1
    assert field.side(off, 0.9) == 1
    off[0, 3] = 1  # two rows above
    assert field.side(off, 0.9) == 5


# --- blur path and attribution


def test_the_path_ends_with_the_image_and_begins_with_what_scipy_blurs():
    from scipy import ndimage

    x = torch.rand(1, 3, 12, 10)
    images = list(field.path(x, steps=4, sigma=1.2))
    assert len(images) == 5
    assert images[-1] is x
    oracle = ndimage.gaussian_filter(x[0].double().numpy(), (0, 1.2, 1.2), mode="nearest", radius=(0, 5, 5))
    assert torch.allclose(images[0][0].double(), torch.tensor(oracle), atol=1e-6)


def test_detail_is_the_length_of_the_slope():
    ramp = torch.arange(4.0)[:, None] * 3 + torch.arange(4.0)[None, :] * 4
    assert field.detail(ramp) == pytest.approx(9 * 5, rel=1e-6)
    flat = torch.zeros(3, 3, requires_grad=True)
    field.detail(flat).backward()
    assert torch.equal(flat.grad, torch.zeros(3, 3))


class Square(nn.Module):
    """Four times as large, and not linear, so that steps make an error."""

    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=4, mode="nearest").square()


def test_attributions_add_up_to_the_change_and_better_so_with_more_steps():
    torch.manual_seed(0)
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        ends = [field.detail(field.patch(Square()(image))) for image in (field.blurred(x, 1.2), x)]
    few, many = (field.attribute(Square(), x, steps=n) for n in (4, 64))
    assert many.change == pytest.approx(float(ends[1] - ends[0]), rel=1e-5)
    assert float(many.map.sum()) == pytest.approx(many.change, rel=2e-3)
    assert many.gap < few.gap / 4
    assert few.gap == pytest.approx(abs(float(few.map.sum()) / few.change - 1), abs=1e-6)


def test_only_what_the_patch_sees_is_attributed_anything():
    torch.manual_seed(0)
    map = field.attribute(Square(), torch.rand(1, 3, 16, 16), steps=4).map
    seen = torch.zeros(16, 16, dtype=torch.bool)
    seen[6:10, 6:10] = True  # 16 output pixels are 4 of the input
    assert (map[:, ~seen] == 0).all()
    assert (map[:, seen] != 0).any()


def test_a_range_of_255_is_attributed_as_one_of_1():
    torch.manual_seed(0)
    x, up = torch.rand(1, 3, 8, 8), nn.Upsample(scale_factor=4, mode="bilinear")
    one, many = field.attribute(up, x, steps=4), field.attribute(up, 255 * x, steps=4, reach=255)
    assert many.change == pytest.approx(one.change, rel=1e-3)
    assert torch.allclose(one.map, many.map, atol=1e-4)


def test_gini_and_diffusion_by_hand():
    assert field.gini(torch.ones(10)) == pytest.approx(0)
    assert field.gini(torch.tensor([0.0, 0, 0, 5])) == pytest.approx(0.75)
    values = torch.tensor([1.0, 2.0, 4.0])
    apart = sum(abs(a - b) for a in values for b in values) / (2 * 9 * values.mean())
    assert field.gini(values) == pytest.approx(float(apart))
    assert field.diffusion(values) == pytest.approx(100 * (1 - float(apart)))
    assert field.gini(torch.zeros(3)) == 0


def test_refusals():
    with pytest.raises(UserError, match="16x16 output pixels, and the output has 12x40; take larger crops: --crop 64"):
        field.patch(torch.zeros(1, 3, 12, 40))
    broken = nn.Conv2d(3, 3, 1)
    nn.init.constant_(broken.weight, math.inf)
    with pytest.raises(UserError, match="A derivative of the centre's output is not finite"):
        field.gradient(broken, torch.rand(1, 3, 4, 4))


class Cut(nn.Conv2d):
    """A network whose output autograd cannot follow back to its input, in one of three ways."""

    def __init__(self, way):
        super().__init__(3, 3, 1)
        self.way = way

    def forward(self, x):
        if self.way == "constant":
            return torch.ones_like(x)
        with torch.set_grad_enabled(self.way != "no_grad"):
            return super().forward(x.detach())


@pytest.mark.parametrize("way", ["no_grad", "detach", "constant"])
def test_a_network_without_gradient_to_its_input_is_told_what_to_leave_out(way):
    told = "its output has no gradient with respect to its input. Leave out torch.no_grad"
    for look in (field.gradient, field.attribute):
        with pytest.raises(UserError, match=told):
            look(Cut(way), torch.rand(1, 3, 20, 20))


# --- every architecture

TWINS = {"esc", "esc-fp", "hit-sir", "asid-d8", "carn-m"}
"""Networks of the same modules as another one of their family, with other numbers of them."""

NAMES = sorted({f"{v.model}-x4" for v in models.VARIANTS.values() if v.model not in TWINS})


CHOOSES = ("atd-light", "mambairv2-light")
"""Networks that sort tokens into categories: the derivative of their choice is that of a softmax, by convention."""


@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_is_that_of_the_output_which_everybody_gets(name):
    """Of the lean forward without gradients, which works otherwise: in place, in slabs."""
    torch.manual_seed(0)
    net = models.create(name).requires_grad_(False).double()
    wide = name == "rfdn-x4" or name.removesuffix("-x4") in models.attentive()  # by windows, or by a pooling of 7x7
    side = 16 if wide else 8
    x = torch.rand(1, 3, side - 1, side, dtype=torch.float64)
    slopes = field.gradient(net, x)
    assert (slopes != 0).any()
    if not name.startswith(CHOOSES):
        step = 1e-9 * torch.randn_like(x)
        with torch.inference_mode():
            ends = [net(x + sign * step)[..., 4 * (side - 1) // 2, 2 * side].sum() for sign in (1, -1)]
        assert float((slopes * step).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2, rel=1e-3)
