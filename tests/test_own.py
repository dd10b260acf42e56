"""Networks that are not of the catalogue: what is typed for them, what is told of them, and what is wrong with them."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from workbench import execute, models, own, probes, protocols
from workbench.own import extrapolation, references
from workbench.own.references import Reference
from workbench.spec import UserError

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, scale, dim=8):
        super().__init__()
        self.first = nn.Conv2d(3, dim, 3, padding=1)
        self.last = nn.Conv2d(dim, 3 * scale * scale, 3, padding=1)
        self.up = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.up(self.last(self.first(x)))
"""


def params(scale, dim=8):
    """By hand: two convolutions of 3x3 with their biases."""
    return (27 * dim + dim) + (9 * dim * 3 * scale**2 + 3 * scale**2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to stand in, with a file net.py in it."""
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(folder, text, name="net.py"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + text)


def find(reference="./net.py:Net", scale=None, *arguments, timeout=60):
    return models.find(reference, own.Asked(scale, arguments, timeout))


def measured(variant, probe, protocol="esc"):
    return execute.measure(execute.Request(variant, protocols.find(protocol), probes.find(probe)))


# --- what is typed


@pytest.mark.parametrize(
    ("text", "kind", "place", "name", "arguments", "scale"),
    [
        ("mypkg.mymodel:build", "module", "mypkg.mymodel", "build", (), None),
        ("mypkg:nets.Net-x3", "module", "mypkg", "nets.Net", (), 3),
        ("./net.py:Net", "file", "./net.py", "Net", (), None),
        ("net.py", "file", "net.py", "", (), None),
        ("a/b-x2/net.py:Net(dim=64, norm='layer')-x4", "file", "a/b-x2/net.py", "Net",
         (("dim", "64"), ("norm", "'layer'")), 4),
        ("spandrel:models/4x-Any.pth", "spandrel", "models/4x-Any.pth", "", (), None),
    ],
)  # fmt: skip
def test_a_reference_is_taken_apart(text, kind, place, name, arguments, scale):
    found = references.parse(text)
    assert (found.kind, found.place, found.name, found.arguments, found.scale) == (kind, place, name, arguments, scale)
    if scale:
        assert references.written(found, scale) == text


@pytest.mark.parametrize("name", ["esc-x4", "esc*-x[24]", "no-such-thing", "esc_x4", ""])
def test_what_is_no_reference_is_none(name):
    assert references.parse(name) is None


def test_arguments_are_literals_of_python_and_else_text():
    told = references.told(["dim=64", "sizes=[1, 2]", "norm=layer", "name='x'", "on=True", "empty=", "a=b=c"])
    assert dict(told) == {
        "dim": "64", "sizes": "[1, 2]", "norm": "'layer'", "name": "'x'", "on": "True", "empty": "''", "a": "'b=c'",
    }  # fmt: skip


@pytest.mark.parametrize("word", ["dim", "=4", "1x=4"])
def test_an_argument_without_a_name_is_refused(word):
    with pytest.raises(UserError, match=rf"--arg '{word}' cannot be read; .*--arg dim=64"):
        references.told([word])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("C:x y", "cannot be read. A network of your own is one of: mypkg.mymodel:build, ./net.py:Net, spandrel:"),
        ("./net.py:Net(64)", "cannot be read; write names and Python literals, such as ./net.py:Net(dim=64)."),
        ("./net.py:Net(dim=os)", "cannot be read; write names and Python literals"),
    ],
)
def test_what_cannot_be_read_is_said(text, told):
    with pytest.raises(UserError) as error:
        references.parse(text)
    assert told in str(error.value)


# --- what is found


def test_a_class_a_function_and_a_network_that_is_there_are_found(here):
    add(here, "def build(scale):\n    return Net(scale, dim=4)\nready = Net(3)\n")
    net, built, ready = find(scale=4), find("./net.py:build", 4), find("./net.py:ready")
    assert [(v.name, v.scale, v.family) for v in (net, built, ready)] == [
        ("./net.py:Net-x4", 4, "own"), ("./net.py:build-x4", 4, "own"), ("./net.py:ready-x3", 3, "own"),
    ]  # fmt: skip
    assert [measured(v, "params").value for v in (net, built, ready)] == [params(4), params(4, 4), params(3)]
    assert net.source.seen == {"class": "net.Net"}


def test_its_name_can_be_typed_for_the_same_network(here):
    one = find("./net.py:Net", 2, "dim=5")
    assert one.name == "./net.py:Net(dim=5)-x2"
    assert find(one.name) == one
    assert measured(one, "params").value == params(2, 5)


def test_nothing_of_it_is_imported_here(here):
    variant = find(scale=2)
    record = measured(variant, "macs")
    assert "net" not in sys.modules
    assert record.details["how"] == "meta"
    height, width = 360, 640
    assert record.value == height * width * (9 * 3 * 8 + 9 * 8 * 12)  # by hand: one multiply-add for each weight


def test_a_package_and_a_file_of_one_that_imports_by_a_dot(here):
    add(here, "", "mypkg/__init__.py")
    add(here, "from .blocks import up\n" + NET.replace("nn.PixelShuffle(scale)", "up(scale)"), "mypkg/nets.py")
    add(here, "from torch import nn\ndef up(scale): return nn.PixelShuffle(scale)\n", "mypkg/blocks.py")
    package, file = find("mypkg.nets:Net", 2), find("mypkg/nets.py:Net", 2)
    assert [Path(path).name for path, _ in package.source.files] == ["__init__.py", "blocks.py", "nets.py"]
    assert package.source.files == file.source.files


def test_a_changed_file_makes_records_stale_and_so_does_one_that_it_imports(here):
    add(here, "import beside\n")
    add(here, "X = 1\n", "beside.py")
    first = find(scale=2)
    assert find(scale=2) == first
    add(here, "Y = 2\n", "beside.py")
    second = find(scale=2)
    asked = [execute.Request(v, protocols.find("esc"), probes.find("params")) for v in (first, second)]
    assert asked[0].identity != asked[1].identity
    assert execute.missing(asked[1:], {asked[0].identity: measured(second, "params")}) == asked[1:]
    stale = measured(first, "params")
    assert (stale.status, stale.reason) == ("unsupported", "beside.py was changed while it was measured; "
                                            "run the command again.")  # fmt: skip


def test_the_same_files_elsewhere_are_the_same_source(here):
    add(here, NET, "elsewhere/net.py")
    assert find("elsewhere/net.py:Net", 2).source.digest == find(scale=2).source.digest


def test_an_entry_point_of_an_installed_package(here, monkeypatch):
    add(here, NET, "site/theirs/__init__.py")
    add(here, "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", "site/theirs-1.0.dist-info/METADATA")
    points = "[workbench.models]\nmynet = theirs:Net\nesc-fp-x4 = theirs:Net\n"
    add(here, points, "site/theirs-1.0.dist-info/entry_points.txt")
    monkeypatch.syspath_prepend(str(here / "site"))
    assert references.parse("mynet-x3") == Reference("mynet", "entry point", "theirs", "Net", "theirs", (), 3)
    with pytest.raises(UserError, match="'esc-fp-x4' is a network of the catalogue, and theirs has an entry point"):
        find("esc-fp-x4")
    assert find("esc-fp-x2") is models.VARIANTS["esc-fp-x2"]


SPANDREL = """
import torch
from torch import nn
__version__ = "0.0.made"
class UnsupportedModelError(Exception): pass
class ImageModelDescriptor:
    input_channels = output_channels = 3
    scale = 2
    class architecture: name = "Made"
    model = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
class ModelLoader:
    def __init__(self, device): pass
    def load_from_file(self, path):
        if path.stat().st_size > 3: raise UnsupportedModelError
        return ImageModelDescriptor()
"""


def test_spandrel_is_a_source_where_it_can_be_imported(here, monkeypatch):
    add(here, "abc", "any.pth")
    add(here, "abcd", "other.pth")
    monkeypatch.setattr(own, "_looked", looked_with_spandrel)
    add(here, SPANDREL, "stub/spandrel.py")
    found = find("spandrel:any.pth")
    assert (found.name, found.scale) == ("spandrel:any.pth", 2)
    assert found.source.seen == {"class": "Made", "spandrel": "0.0.made"}
    with pytest.raises(UserError, match=r"spandrel 0.0.made knows no architecture of which other.pth is a checkpoint"):
        find("spandrel:other.pth")


def looked_with_spandrel(source, *rest):
    sys.path.insert(0, f"{source.folder}/stub")
    from workbench.own import looking

    return looking.look(source, *rest)


def test_spandrel_that_is_not_there_is_said(here):
    add(here, "abc", "any.pth")
    with pytest.raises(
        UserError, match=r"takes the package spandrel, which is not installed here .*pip install spandrel"
    ):
        find("spandrel:any.pth")
    with pytest.raises(UserError, match=r"No file 'none.pth' in .*; name a checkpoint"):
        find("spandrel:none.pth")


# --- by which tensors it is counted

WAYS = """
class Own(Net):
    def __init__(self, scale):
        super().__init__(scale)
        self.mean = torch.full((1, 3, 1, 1), 0.5)  # no buffer: it stays on the CPU

    def forward(self, x):
        return super().forward(x - self.mean)

class Content(Net):
    def forward(self, x):
        h, w = x.shape[-2:]
        x = nn.functional.pad(x, (0, -w % 16, 0, -h % 16), mode="reflect")
        y = super().forward(x)
        y = y if y.mean().item() < 1e9 else -y
        return y[..., : h * self.up.upscale_factor, : w * self.up.upscale_factor]

class Global(Net):
    def forward(self, x):
        flat = x.flatten(2)
        x = x + (flat.mT @ flat @ flat.mT).mT.view_as(x) * float(x.mean() * 0)
        return super().forward(x)

class Whimsical(Net):
    def forward(self, x):
        for _ in range(int(x[0, 0, -1, -1].item() * 1000) % 7):
            x = x + nn.functional.conv2d(x, torch.zeros(3, 3, 1, 1))
        return super().forward(x)
"""
EACH = 9 * 3 * 8 + 9 * 8 * 12


def test_where_meta_fails_it_is_faked_and_the_count_is_the_same(here):
    add(here, WAYS)
    record = measured(find("./net.py:Own", 2), "macs")
    assert (record.details["how"], record.value) == ("fake", 360 * 640 * EACH)
    assert "meta" in record.details["why"]["meta"]


def test_where_values_are_asked_for_it_is_run_small_and_the_count_laid_through_that(here):
    add(here, WAYS)
    record = measured(find("./net.py:Content", 2), "macs")
    assert record.details["how"] == "real+extrapolated"
    assert record.value == 368 * 640 * EACH  # padded to whole windows of 16
    assert record.details["degree"] == 1
    assert all(h % 32 == 360 % 32 and w % 32 == 640 % 32 for h, w in record.details["counted_at"])
    small = measured(find("./net.py:Content", 2), "macs", "cpu")
    assert (small.details["how"], small.value) == ("real", 48 * 48 * EACH)  # HR 96x96


def test_squares_of_the_sides_are_found_too(here):
    add(here, WAYS)
    record = measured(find("./net.py:Global", 4), "macs")
    pixels = 180 * 320
    assert record.details["degree"] == 2
    assert record.value == pixels * (9 * 3 * 8 + 9 * 8 * 48) + 2 * 3 * pixels**2


def test_work_that_goes_by_content_is_counted_by_nothing(here):
    add(here, WAYS)
    record = measured(find("./net.py:Whimsical", 2), "macs")
    assert record.status == "unsupported"
    assert "does not follow from smaller inputs" in record.reason
    assert "640x360" in record.reason


def test_a_polynomial_is_exact_and_anything_else_is_none():
    assert extrapolation.extrapolate(lambda h, w: 3 * h * w + 5 * h + 7, 180, 320).value == 3 * 180 * 320 + 5 * 180 + 7
    assert extrapolation.extrapolate(lambda h, w: (h * w) ** 2 - w, 180, 320).value == (180 * 320) ** 2 - 320
    assert extrapolation.extrapolate(lambda h, w: 2.0**h, 180, 320) is None
    windows = extrapolation.extrapolate(lambda h, w: -(-h // 64) * -(-w // 64), 180, 321)
    assert (windows.value, windows.checked) == (3 * 6, (180, 193))
    assert extrapolation.extrapolate(lambda h, w: h * w, 180, 320, largest=100) is None


def test_a_side_is_congruent_and_never_tiny():
    assert list(extrapolation._sides(180, 32, 3)) == [20, 52, 84]
    assert list(extrapolation._sides(320, 32, 3)) == [32, 64, 96]


# --- what it does to its process


def test_what_is_switched_for_the_whole_process_is_told_and_put_back(here, capsys):
    add(here, """
torch.set_default_dtype(torch.float64)
torch.backends.cudnn.benchmark = True
class Rude(Net):
    def __init__(self, scale):
        torch.set_num_threads(2)
        super().__init__(scale)
    def forward(self, x):
        torch.set_grad_enabled(True)
        torch.use_deterministic_algorithms(True)
        return super().forward(x)
""")  # fmt: skip
    seen = find("./net.py:Rude", 2).source.seen
    assert re.sub(r", threads \d to 2", "", capsys.readouterr().err).splitlines() == [
        "workbench: ./net.py:Rude switches for its whole process: cudnn.benchmark False to True, default dtype float32 "
        "to float64. That is put back before it is measured.",
        "workbench: ./net.py:Rude switches in its forward, for its whole process: deterministic algorithms False to "
        "True. It is measured with that.",
    ]
    assert seen["switched"]["default dtype"] == "float32 to float64"
    assert seen["switched"]["cudnn.benchmark"] == "False to True"
    assert seen["switched in forward"]["deterministic algorithms"] == "False to True"
    record = measured(find("./net.py:Rude", 2), "memory", "cpu")
    assert record.details["own"]["switched"] == seen["switched"]
    assert record.details["weights_bytes"] == 4 * params(2)


def test_what_it_prints_goes_to_standard_error(here, capfd):
    add(here, "import os\nprint('}{')\nos.write(1, b'][')\n")
    assert measured(find(scale=2), "params").value == params(2)
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.count("}{") == told.err.count("][") == 2


def test_a_sweep_measures_it_once(here, workbench):
    words = "measure", "./net.py:Net", "--scale", "2", "--probe", "params", "--records", here / "records", "--json"
    first = workbench(*words)
    assert json.loads(first.out)[0]["values"] == [params(2)]
    again = workbench(*words)
    assert "0 measured" not in first.err
    assert "measure: " not in again.err  # nothing was missing
    assert again.out == first.out


def test_who_asks_the_network_is_told_of(here, capsys):
    add(here, """
import socket
try: socket.getaddrinfo("weights.invalid", 443)
except OSError: pass
""")  # fmt: skip
    assert find(scale=2).source.seen["asked the network"] == ["weights.invalid"]
    assert "./net.py:Net asked the network for weights.invalid while it was looked at.\n" in capsys.readouterr().err


# --- what is wrong with it, in one line

WRONG = {
    "another scale": ("", "./net.py:Net(scale=2)-x4",
        r"Net puts out 64x48 of an input of 32x24, and x4 was asked, which is 128x96\. --scale 2 would fit"),
    "a side too short": ("class Bad(Net):\n def forward(s, x): return super().forward(x)[..., 1:]", "./net.py:Bad-x2",
        "puts out 63x48 of an input of 32x24, which is no whole multiple"),
    "one channel": ("class Bad(Net):\n def forward(s, x): return super().forward(x)[:, :1]", "./net.py:Bad-x2",
        r"makes \(1, 1, 48, 64\) of \(1, 3, 24, 32\)"),
    "a tuple": ("class Bad(Net):\n def forward(s, x): return super().forward(x), 1", "./net.py:Bad-x2",
        "puts out a tuple of 2 and no tensor; have its forward return the image alone"),
    "no number": ("class Bad(Net):\n def forward(s, x): return super().forward(x) / 0", "./net.py:Bad-x2",
        "puts out 9216 numbers of 9216 that are NaN or infinite"),
    "a forward that fails": ("class Bad(Net):\n def forward(s, x): return x @ torch.ones(7)", "./net.py:Bad-x2",
        r"does not run: RuntimeError: .*\(net.py, line \d+\)\. What is asked of it: \(B,3,H,W\)"),
    "a need for CUDA": ("class Bad(Net):\n def forward(s, x): return super().forward(x.cuda())", "./net.py:Bad-x2",
        r"does not run: .*\(net.py, line \d+\)\. It needs a CUDA device, and there is none here"),
    "no syntax": ("\ndef bad(:\n", "./net.py:Net-x2", r"has a syntax error in net.py, line \d+: .*'def bad\(:'"),
    "an import of what is not there": ("import einopsy.layers", "./net.py:Net-x2",
        r"cannot be imported: ModuleNotFoundError: .*\(net.py, line \d+\)\. Install 'einopsy' where"),
    "a failing import": ("1 / 0", "./net.py:Net-x2", r"cannot be imported: ZeroDivisionError: .*\(net.py, line \d+\)"),
    "a program's end": ("raise SystemExit(3)", "./net.py:Net-x2", 'SystemExit: 3 .*if __name__ == "__main__"'),
    "a download": ("import urllib.request as u\nu.urlopen('http://weights.invalid')", "./net.py:Net-x2",
        r"URLError: .*It asks the network, which gives no answer here"),
    "a failing constructor": ("class Bad(Net):\n def __init__(s, scale): raise KeyError('x')", "./net.py:Bad-x2",
        r"cannot be constructed: KeyError: 'x' \(net.py, line \d+\)"),
    "another name": ("", "./net.py:Nett-x2", r"'./net.py' has no 'Nett'\. Did you mean 'Net'\?"),
    "no name": ("", "./net.py", r"names a file and nothing in it; write ./net.py:NAME\. It has: Net\."),
    "no name among many": ("\n".join(f"def f{i}(): 0" for i in range(9)), "./net.py",
        r"It has: Net, f0, f1, f2, f3, f4, f5, f6 and 2 more\."),
    "no file": ("", "./nets.py:Net", r"No file './nets.py' in .*\. Did you mean 'net.py'\?"),
    "no module": ("", "nowhere.nets:Net", r"No module 'nowhere', neither in .* nor installed"),
    "no part of a package": ("", "json.nets:Net", r"cannot be imported: .*No module named 'json.nets'"),
    "another name in a package": ("", "json.decodr:Net",
        r"No module named 'json.decodr'\. Did you mean 'json.decoder'\?"),
    "no scale": ("", "./net.py:Net", r"wants to know its scale, which was not given: --scale 4"),
    "no arguments": ("class Bad(Net):\n def __init__(s, scale, dim, depth): 0", "./net.py:Bad-x2",
        r"is missing dim, depth; give them: --arg dim=\.\.\. --arg depth=\.\.\."),
    "an argument too many": ("", "./net.py:Net(dims=3)-x2", r"no argument 'dims'\. Did you mean 'dim'\? .*scale, dim"),
    "no network": ("def bad(scale): return 3", "./net.py:bad-x2", "gave an int and no nn.Module"),
    "a class of a class": ("def bad(): return Net", "./net.py:bad-x2", "gave the class Net"),
    "nothing to call": ("bad = 3", "./net.py:bad-x2", "is an int, and nothing that could be called"),
    "a process that dies": ("import os; os._exit(7)", "./net.py:Net-x2",
        "its process ended with exit code 7 and no result, while it was imported"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_one_line(here, wrong):
    text, reference, told = WRONG[wrong]
    add(here, f"{text}\n")
    with pytest.raises(UserError, match=told) as error:
        find(reference)
    assert "\n" not in str(error.value)


def test_what_never_returns_is_given_up(here):
    add(here, "class Slow(Net):\n def forward(s, x):\n  import time; time.sleep(60)\n")
    with pytest.raises(UserError, match=r"no result after 0.7 s, while it ran on a small input\. .*--timeout SECONDS"):
        find("./net.py:Slow", 2, timeout=0.7)


def test_two_scales_or_two_sets_of_arguments_are_refused(here):
    with pytest.raises(UserError, match="ask for two scales; keep one"):
        find("./net.py:Net-x2", 3)
    with pytest.raises(UserError, match="has arguments and --arg gives others"):
        find("./net.py:Net(dim=3)-x2", None, "dim=4")


def test_an_output_that_is_wrong_at_full_size_only_is_refused_there(here):
    add(here, "class Bad(Net):\n def forward(s, x): return super().forward(x)[..., :700]\n")
    record = measured(find("./net.py:Bad", 2), "macs")
    assert record.status == "unsupported"
    assert "makes (1, 3, 720, 700) of an input of 640x360, where x2 is (1, 3, 720, 1280)" in record.reason


def test_a_protocol_of_another_form_is_refused(here):
    record = measured(find(scale=2), "macs", "esc+sdpa")
    assert (record.status, "Leave +sdpa out" in record.reason) == ("unsupported", True)
    with pytest.raises(UserError, match=r"has one form; esc\+sdpa asks for another\. Leave \+sdpa out"):
        execute.requests([find(scale=2)], ["params"], ["esc", "esc+sdpa"])  # of which the record of esc would do


# --- commands


def test_mistakes_end_with_2_and_one_line(here, workbench):
    for words, told in {
        ("measure", "./net.py:Nett", "--scale", "2"): "Did you mean 'Net'?",
        ("trace", "./net.py:Net"): "--scale 4",
        ("fits", "./net.py:Net", "--gpu", "1GB"): "--scale 4",
        ("compare", "./net.py:Nett-x2", "imdn-x2"): "Did you mean 'Net'?",
        ("measure", "esc-fp-x4", "--scale", "2"): "--scale is for networks of your own, and esc-fp-x4 names none",
        ("measure", "./net.py:Net-x2", "--timeout", "0"): "--timeout was given 0 seconds",
        ("measure", "./net.py:Net-x2", "--probe", "ssim"): "Leave --probe ssim out for a network of your own",
        ("upscale", "photo.png", "--model", "./net.py:Net-x2", "-o", "large.png"): "which is not taken here; measure,"
        " compare, trace, fits, attention, share and field take it",
    }.items():
        ran = workbench(*words)
        assert (ran.code, ran.out) == (2, ""), ran
        assert told in ran.err, ran.err
        assert ran.err.count("\n") == 1, ran.err


def test_trace_and_fits_say_what_they_say_of_the_catalogue(here, workbench):
    ran = workbench("trace", "./net.py:Net", "--scale", "2", "--json")
    assert json.loads(ran.out)["total"]["multiply_adds"] == 360 * 640 * EACH, ran.err
    ran = workbench("fits", "./net.py:Net-x2", "--gpu", "1GB", "--image", "100x80", "--json")
    assert json.loads(ran.out)[0]["fits"], ran.err
    assert "net" not in sys.modules


def test_two_folders_with_files_of_one_name_are_compared(here, workbench):
    for folder, dim in (("old", 2), ("new", 40)):
        add(here, f"from blocks import DIM\n{NET.replace('dim=8', 'dim=DIM')}", f"{folder}/net.py")
        add(here, f"DIM = {dim}\n", f"{folder}/blocks.py")
    both = "old/net.py:Net", "new/net.py:Net"
    ran = workbench("compare", *both, "--scale", "2", "--budget", "0.5", "--protocol", "cpu", "--json")
    told = json.loads(ran.out)
    assert told["entrants"] == ["old/net.py:Net-x2", "new/net.py:Net-x2"]
    assert told["ratios"][0]["median"] > 1  # twenty times the work
    assert os.getcwd() == str(here)


def test_parameters_that_two_modules_share_are_counted_once(here):
    shared = "self.again = nn.Conv2d(3, dim, 3)\n        self.again.weight = self.first.weight\n        self.up ="
    add(here, NET.replace("self.up =", shared).replace("class Net", "class Tied"))
    assert measured(find("./net.py:Tied", 2), "params").value == params(2) + 8  # a bias more, and no weight
