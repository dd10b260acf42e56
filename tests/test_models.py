"""models: every variant against the official figures, and the promises that all networks make alike."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import math
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench import models, protocols
from workbench.models.parts.attention import IMPLEMENTATIONS, MapPoint
from workbench.probes import macs
from workbench.spec import UserError
from workbench.tracing import traced

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")

HERE = Path(__file__).parent
ROOM = Path(models.__file__).parent
GOLDENS: dict[str, dict[str, Any]] = {p.stem: json.loads(p.read_text()) for p in sorted(HERE.glob("goldens/*.json"))}
MODELS = {v.model: v for v in models.VARIANTS.values() if v.scale == 2}
LARGE = {"rcan", "rdn"}
"""Models with so many layers that one golden array, the one with odd sides, has to do."""
SLOW = {"hit-sir", "hit-sng", "hit-srf"}
"""Models whose faithful forward takes seconds for any image. They share what is faithful in it, so that one golden
array of HiT-SRF shows it; it is not taken where both forwards are."""
LONG = {"atd-light", "mambairv2-light"}
"""Models whose lean forward takes tens of thousands of operators for a large image; a small one shows its memory."""
CHAOTIC = {"elan-light"}
"""Models whose softmax is so sharp with the constructor's weights that rounding decides; they get small weights."""
MAPLESS = {"rdn", "rcan", "edsr-baseline", "carn", "carn-m", "imdn", "rfdn", "mambair-light"}
"""Models without attention, so without maps."""


def close(found: Tensor, wanted: Tensor, tolerance: float = 2e-4) -> None:
    """Equal up to float32's noise, measured by how much the wanted values vary."""
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * max(1e-3, wanted.std().item())


def network(model: str) -> Any:
    """The class that builds a model."""
    return importlib.import_module(f"workbench.models.{MODELS[model].family}").MODELS[model][0]


# Against the official implementations


def fill(model: nn.Module, rule: str, frozen: list[str]) -> None:
    """Overwrite all weights with numbers that follow from an entry's place in the sorted state dict.

    `<kind>[_half][_frozenkept][_stablesort]`: the kind scales them; entries that the official code freezes keep
    the constructor's values under `frozenkept`; integer entries and masks always do.
    """
    kind = rule.partition("_")[0]
    for i, (key, entry) in enumerate(sorted(model.state_dict().items())):
        if not entry.is_floating_point() or key.endswith("attn_mask"):
            continue
        if "frozenkept" in rule and key in frozen:
            continue
        scale = {"std02": 0.02, "std10": 0.1, "fanin": 0.02}[kind]
        if kind == "fanin" and entry.dim() >= 2:
            scale = (0.5 if "half" in rule else 1) / math.sqrt(math.prod(entry.shape[1:]))
        drawn = np.random.default_rng(i).standard_normal(tuple(entry.shape)) * scale
        if (entry.dim() == 1 and key.endswith("weight")) or key.endswith("running_var"):
            drawn += 1
        entry.copy_(torch.from_numpy(np.asarray(drawn, dtype=np.float32)))


@cache
def golden_input(name: str) -> Tensor:
    seed, height, width = {"out48": (12345, 48, 48), "out45x51": (54321, 45, 51)}[name]
    return torch.from_numpy(np.random.default_rng(seed).random((1, 3, height, width)).astype(np.float32))


@lru_cache(maxsize=1)
def filled(name: str, forward: str, rule: str) -> nn.Module:
    """A network filled by a rule; the arrays that a rule has stand together."""
    model = models.create(name, forward=forward)
    with torch.no_grad():
        fill(model, rule, GOLDENS[name]["frozen"])
    return model


def cases() -> list[tuple[str, str, str]]:
    """Variant, array and forward of every comparison: the last array, of the hardest fill, in both forwards."""
    found = []
    for name, golden in GOLDENS.items():
        model = name.rpartition("-x")[0]
        arrays = [a for a in golden["outputs"] if model not in LARGE or a.startswith("out45x51")]
        found += [(name, array, "lean") for array in arrays]
        found += [(name, arrays[-1], "faithful")] if model == "hit-srf" or model not in SLOW else []
    return found


@pytest.mark.untraced
@pytest.mark.parametrize(("name", "array", "forward"), cases())
def test_output_equals_the_official_one(name: str, array: str, forward: str) -> None:
    image, _, rule = array.partition("__")
    wanted = GOLDENS[name]["outputs"][array]
    with torch.no_grad():
        out = filled(name, forward, rule)(golden_input(image))
    assert list(out.shape) == wanted["shape"]
    out = out.double()
    found = {
        "values": out.flatten()[:: wanted["stride"]],
        "block_means": F.adaptive_avg_pool2d(out, math.isqrt(len(wanted["block_means"]) // 3)).flatten(),
        "mean": out.mean(),
        "std": out.std(correction=0),
    }
    for what, numbers in found.items():
        error = (numbers - torch.tensor(wanted[what], dtype=torch.float64)).abs().max().item()
        assert error <= wanted["gate"], what


@pytest.mark.parametrize("name", GOLDENS)
def test_parameters_and_state_equal_the_official_ones(name: str) -> None:
    golden, model = GOLDENS[name], models.create(name, device="meta")
    state = dict(sorted(model.state_dict().items()))
    listing = "".join(
        f"{k} {'x'.join(map(str, t.shape))} {str(t.dtype).removeprefix('torch.')}\n" for k, t in state.items()
    )
    assert len(state) == golden["state_entries"]
    assert hashlib.sha256(listing.encode()).hexdigest() == golden["state_sha256"]
    assert sum(p.numel() for p in model.parameters()) == golden["params_total"]
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == golden["params_trainable"]
    if golden["params_trainable"] < golden["params_total"]:  # RCAN's code means to freeze its mean shifts, and does not
        assert sorted(k for k, p in model.named_parameters() if not p.requires_grad) == golden["frozen"]


@pytest.mark.untraced
@pytest.mark.parametrize("name", GOLDENS)
def test_memory_and_operators_of_the_faithful_forward_equal_the_official_ones(name: str) -> None:
    golden = GOLDENS[name]
    fused = "flex" if models.find(name).family == "esc" else "naive"  # what the official code runs for its memory
    x = torch.empty(golden["lr_input"], device="meta")
    faithful, lean = (models.create(name, "meta", fused, forward) for forward in ("faithful", "lean"))
    peak = traced(faithful, x).peak
    assert peak / 2**20 == pytest.approx(golden["live_peak_mb"], rel=0.01)
    small = torch.empty(1, 3, 64, 64, device="meta") if models.find(name).model in LONG else x
    assert traced(lean, small).peak <= traced(faithful, small).peak
    plain = faithful if fused == "naive" else models.create(name, "meta", "naive", "faithful")
    counted = macs.measure(plain, x, protocols.find("esc")).details["by_operator"]
    precision = {"einsum": 1e-3}  # whose prices fvcore reads from texts of four digits
    official = {k: pytest.approx(n, rel=precision.get(k, 1e-6)) for k, n in golden["fvcore_by_op"].items()}
    assert {k: n / 1e9 for k, n in counted.items()} == official


def test_every_model_has_its_golden() -> None:
    assert GOLDENS.keys() == {name for name, v in models.VARIANTS.items() if v.scale == 4}


# What all networks promise


class Subject:
    """A variant's network in its lean forward, an input with two images of odd sides, and what it makes of it."""

    def __init__(self, name: str):
        torch.manual_seed(0)
        self.name = name
        self.variant = models.find(name)
        self.model = models.create(name)
        if self.variant.model in CHAOTIC:
            with torch.no_grad():
                fill(self.model, "std02_frozenkept", GOLDENS[f"{self.variant.model}-x4"]["frozen"])
        self.x = torch.rand(2, 3, 15, 17)
        self.out = self.run(self.model)

    def run(self, model: nn.Module, x: Tensor | None = None) -> Tensor:
        with torch.inference_mode():
            return model(self.x if x is None else x)

    def again(self, attention: str = "naive", forward: str = "lean") -> nn.Module:
        """The same weights in another build."""
        model = models.create(self.name, attention=attention, forward=forward)
        model.load_state_dict(self.model.state_dict())
        return model


@pytest.fixture(scope="module", params=[n for n, v in models.VARIANTS.items() if v.scale == 2])
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(request.param)


@pytest.mark.untraced
@pytest.mark.parametrize("subject", [n for n, v in models.VARIANTS.items() if v.scale < 4], indirect=True)
def test_output_is_larger_by_the_scale(subject: Subject) -> None:
    """The scale is known to the upsampler alone: all that follows is shown at x2, and x4 by the golden arrays."""
    scale = subject.variant.scale
    assert subject.out.shape == (2, 3, 15 * scale, 17 * scale)
    assert subject.out.isfinite().all()


def test_a_network_is_made_without_memory(subject: Subject) -> None:
    made = models.create(subject.name, device="meta").state_dict()
    assert {t.device.type for t in made.values()} == {"meta"}
    assert {k: t.shape for k, t in made.items()} == {k: t.shape for k, t in subject.model.state_dict().items()}


def test_a_network_is_walked_without_memory(subject: Subject) -> None:
    walked = subject.run(models.create(subject.name, device="meta", forward="faithful"), subject.x.to("meta"))
    assert walked.shape == subject.out.shape


@pytest.mark.untraced
def test_images_of_a_batch_do_not_meet(subject: Subject) -> None:
    close(subject.run(subject.model, subject.x[1:]), subject.out[1:])


@pytest.mark.untraced
def test_both_forwards_and_all_attentions_are_one_function(subject: Subject) -> None:
    if subject.variant.model not in SLOW:
        close(subject.run(subject.again(forward="faithful")), subject.out)
    for attention in models.supported(subject.name)[1:]:
        close(subject.run(subject.again(attention)), subject.out)


@pytest.mark.untraced
def test_float64_agrees(subject: Subject) -> None:
    wide = subject.run(subject.again().double(), subject.x[:1].double())
    assert wide.dtype == torch.float64
    close(subject.out[:1].double(), wide, 1e-3)


def test_maps_can_be_captured(subject: Subject) -> None:
    points = [m for m in subject.model.modules() if isinstance(m, MapPoint)]
    seen: list[Tensor] = []
    hooks = [p.register_forward_hook(lambda module, args, out: seen.append(out)) for p in points]
    out = subject.run(subject.model, subject.x[:1])
    for hook in hooks:
        hook.remove()
    assert len(seen) >= len(points)
    assert bool(points) == (subject.variant.model not in MAPLESS)
    close(out, subject.out[:1])


@pytest.mark.untraced
def test_a_checkpoint_brings_the_weights_back(subject: Subject, tmp_path: Path) -> None:
    wanted = subject.model.state_dict()
    torch.save({"params_ema": wanted}, tmp_path / "weights.pth")
    found = models.load_checkpoint(models.create(subject.name), tmp_path / "weights.pth").state_dict()
    assert all(torch.equal(found[k], wanted[k]) for k in wanted)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_reach_every_trainable_parameter(model: str) -> None:
    """In the lean forward, which `create` gives; both are one function."""
    net = models.create(f"{model}-x2").train()
    torch.autograd.backward(net(torch.rand(1, 3, 16, 16)).square().mean())
    unused = (
        ("upsample.up3.", "upsample.up4.") if model.startswith("carn") else ()
    )  # multi-scale: other scales' ladders
    without = [k for k, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert [k for k in without if not k.startswith(unused or "-")] == []


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 18)])
def test_small_images_work_or_are_refused_in_a_sentence(subject: Subject, height: int, width: int) -> None:
    try:
        out = subject.run(subject.model, torch.rand(1, 3, height, width))
    except UserError as refused:
        refusal = str(refused)
    else:
        refusal = ""
        assert out.shape == (1, 3, 2 * height, 2 * width)
    if refusal:
        assert f"was given {height}x{width} pixels; " in refusal
        assert "each side needs at least" in refusal


# The catalogue


@pytest.mark.parametrize("model", MODELS)
def test_an_attention_that_a_model_lacks_is_refused_with_the_reason(model: str) -> None:
    known = models.supported(f"{model}-x2")
    assert known[0] == "naive"
    for attention in set(IMPLEMENTATIONS) - set(known):
        with pytest.raises(UserError) as refused:
            models.create(f"{model}-x2", attention=attention)
        note = network(model).ATTENTION_NOTE
        assert str(refused.value) == (
            f"{model}-x2 has no attention implementation {attention!r}: {note} Known for it: {', '.join(known)}."
        )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match=r"No variant 'esc_lite_x2'. Did you mean 'esc-light-x2'"):
        models.create("esc_lite_x2")
    with pytest.raises(UserError, match=r"No forward 'quick'; a network works 'faithful' or 'lean'\."):
        models.create("imdn-x2", forward="quick")
    with pytest.raises(UserError, match=r"^esc-x2 has no attention implementation 'flash'\. Known for it: naive, sdpa"):
        models.create("esc-x2", attention="flash")
    with pytest.raises(UserError, match=r"^rcan-x2 has no attention implementation 'flash'\. Known for it: naive\.$"):
        models.create("rcan-x2", attention="flash")


@pytest.mark.parametrize("name", [None, 4, [], b"x"])
def test_what_is_no_name_is_refused_like_a_strange_one(name: Any) -> None:
    with pytest.raises(UserError, match=rf"^No variant {re.escape(repr(name))}\. .* list them: workbench variants$"):
        models.create(name)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", "vulkan", None, 3.5])
def test_a_device_that_torch_cannot_use_is_refused_with_those_that_always_work(device: Any) -> None:
    sentence = f"No network can be made on device {device!r}: torch {torch.__version__} cannot put a tensor there."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)} 'cpu' and 'meta' work with every torch;.*: workbench"):
        models.create("rfdn-x2", device=device)


# The house's rules for a model file


def impurities(source: str) -> list[str]:
    """What a network must not do: swallow options, talk, compile, choose a device, run as a script."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=name, args=ast.arguments(kwarg=ast.arg())):
                found.append(f"{name} takes **")
            case ast.Lambda(args=ast.arguments(kwarg=ast.arg())):
                found.append("a lambda takes **")
            case ast.Call(func=ast.Name(id="print" | "compile" as name)):
                found.append(f"{name}()")
            case ast.Attribute(value=ast.Name(id="torch" | "jit" | "self" | "model"), attr="compile"):
                found.append("compile")
            case ast.Attribute(attr="cuda" | "mps" | "xpu" as name):
                found.append(f".{name}")
            case ast.Constant(value=str(value)) if value.split(":")[0] in ("cuda", "mps", "xpu", "__main__"):
                found.append(value)
    return found


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOM)))
def test_model_files_are_pure(path: Path) -> None:
    assert impurities(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "def f(**options): ...",
        "f = lambda **k: k",
        "print(1)",
        "net = torch.compile(net)",
        "x = x.cuda()",
        "x = x.to('cuda:0')",
        "ok = torch.backends.mps.is_available()",
        "if __name__ == '__main__': pass",
    ],
)
def test_the_check_for_purity_can_fail(line: str) -> None:
    assert impurities(line)
    assert not impurities("import re\npattern = re.compile('a')\ny = f(**options)\n")
