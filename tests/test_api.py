"""The workbench in Python: what comes back, that a network comes back as it was, and what a mistake is told."""

import doctest
import importlib
import json
import pkgutil
import random
import re

import numpy as np
import pandas
import pytest
import torch
from torch import nn

import workbench as wb
from workbench import api, store
from workbench.spec import UserError


class Tiny(nn.Module):
    """Defined in a test, as in a notebook: no file names it."""

    def __init__(self, scale=2, dim=4):
        super().__init__()
        self.first = nn.Conv2d(3, dim, 3, padding=1)
        self.last = nn.Conv2d(dim, 3 * scale**2, 1)
        self.up = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.up(self.last(self.first(x)))


PARAMS = (27 * 4 + 4) + (4 * 12 + 12)
MACS = 360 * 640 * (27 * 4 + 4 * 12)
"""Of Tiny, by hand: at HR 1280x720 the input is 640x360, and each weight is one multiply-add per pixel."""


# --- the package


def test_the_functions_stand_where_a_submodule_could_shadow_them():
    for module in pkgutil.walk_packages(wb.__path__, "workbench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in wb.__all__:
        assert getattr(wb, name) is getattr(api, name)
    assert set(wb.__all__) == set(api.__all__) <= set(dir(wb))


def test_a_name_that_is_not_there_is_no_attribute():
    with pytest.raises(
        AttributeError, match="has no 'mesure'; to be called: UserError, compare, measure, table, trace"
    ):
        wb.mesure  # noqa: B018  # what is tested is the look at it


def test_importing_it_imports_nothing_and_a_table_no_torch(python, example):
    script = (
        "import sys; before = set(sys.modules)\n"
        "import workbench as wb; dir(wb)\n"
        "print(sorted(m for m in set(sys.modules) - before if m.startswith('workbench')))\n"
        "print({'torch', 'pandas', 'numpy'} & set(sys.modules)); sys.modules['torch'] = None\n"
        f"print(len(wb.table('esc-table2', records={str(example)!r})))"
    )
    told = python(script)
    assert told.out.splitlines()[:2] == ["['workbench']", "set()"], told.err
    assert int(told.out.splitlines()[2]) > 100


def test_the_examples_of_the_docstrings():
    found = doctest.testmod(api, raise_on_error=False)
    assert (found.failed, found.attempted > 15) == (0, True)
    assert all(">>> " in getattr(api, name).__doc__ for name in api.__all__ if name != "UserError")


# --- a network that is there


def test_its_counts_are_those_by_hand_and_of_its_own_weights():
    frame = wb.measure(Tiny(), probes=["params", "macs"], scale=2)
    assert frame.to_dict("index") == {"Tiny-x2": {"params": PARAMS, "macs": MACS}}
    assert frame.attrs == {
        "units": {"params": "count", "macs": "count"}, "protocols": {"params": "esc", "macs": "esc"},
    }  # fmt: skip
    assert frame.records["Tiny-x2"]["macs"].details["how"] == "meta"


def state_of(net):
    known = net.state_dict(keep_vars=True)
    return [(n, id(t), t.clone(), t.device, t.dtype, t.requires_grad, t.grad) for n, t in known.items()]


def draws():
    return torch.rand(3).tolist(), random.random(), np.random.random()


@pytest.mark.parametrize("broken", [False, True])
def test_it_comes_back_as_it_was_whatever_happens(broken):
    net = Tiny().half().train()
    net.last.eval()
    net.first.weight.requires_grad_(False)
    seen = []
    if broken:
        net.last.forward = None
    hook = net.register_forward_hook(lambda *_: seen.append(1))
    before, hooks, modes = state_of(net), dict(net._forward_hooks), [m.training for m in net.modules()]
    torch.manual_seed(7), random.seed(7), np.random.seed(7)
    expected = draws()
    torch.manual_seed(7), random.seed(7), np.random.seed(7)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()

    def all_of_it():
        wb.measure(net, probes=["params", "macs", "planned-memory", "memory"], protocol={"memory": "cpu"})
        wb.trace(net)
        wb.compare(net, net, budget=0.01, protocol="cpu")

    if broken:
        with pytest.raises(UserError, match="Tiny does not run: TypeError: 'NoneType' object is not callable"):
            all_of_it()
    else:
        all_of_it()
    assert draws() == expected
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)
    assert [m.training for m in net.modules()] == modes
    assert dict(net._forward_hooks) == hooks == {hook.id: next(iter(hooks.values()))}
    for was, now in zip(before, state_of(net), strict=True):
        assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(was, now, strict=True))
    assert bool(seen) != broken  # its own hooks ran, of the copy


def test_modes_that_somebody_works_in_change_no_figure():
    plain = wb.measure(Tiny(), ["params", "macs", "activations", "planned-memory"])
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.autocast("cpu"), torch.device("meta"):
            net = Tiny().to_empty(device="cpu")
            for parameter in net.parameters():
                parameter.zero_()
            assert wb.measure(net, list(plain)).equals(plain)
            assert (torch.empty(1).device.type, torch.get_default_dtype()) == ("meta", torch.float64)
            assert torch.is_inference_mode_enabled()
            assert torch.is_autocast_enabled("cpu")
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.empty(1).device.type == "cpu"


def test_parameters_that_modules_share_are_counted_once():
    net = Tiny(dim=3)
    net.first = nn.Conv2d(3, 3, 1)
    net.last = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 12, 1))
    net.last[0].weight = net.first.weight
    assert wb.measure(net, "params").iloc[0, 0] == 9 + 3 + 3 + 36 + 12


def test_what_weight_norm_keeps_beside_its_parameters_is_copied_too():
    net = Tiny()
    net.first = torch.nn.utils.weight_norm(net.first)
    net(torch.rand(1, 3, 8, 8))  # leaves a tensor with a history
    assert wb.measure(net, "params").iloc[0, 0] == PARAMS + 4


def test_what_cannot_be_copied_is_refused():
    net = Tiny()
    net.file = open(__file__)  # noqa: SIM115  # closed below; an open file is what cannot be copied
    with net.file, pytest.raises(UserError, match=r"Tiny cannot be copied, .*cannot pickle .*'\./net\.py:Net'"):
        wb.measure(net, "params")


def test_a_compiled_network_is_the_one_that_was_compiled():
    assert list(wb.measure(torch.compile(Tiny()), "params").index) == ["Tiny-x2"]


def test_it_is_timed_here_with_its_interval_and_stored_nowhere(tmp_path):
    frame = wb.measure(Tiny(), ["latency", "memory"], protocol="cpu", records=tmp_path / "records")
    record = frame.records["Tiny-x2"]["latency"]
    assert frame.loc["Tiny-x2", "latency"] == record.value > 0
    assert len(record.values) >= 8
    assert not (tmp_path / "records").exists()
    assert "not stored" in frame.notes[0]
    assert any(note.startswith("latency, memory: protocol cpu (") for note in frame.notes)
    assert any(note.startswith("run on ") and note.endswith("1 thread") for note in frame.notes)


def test_a_network_that_asks_for_values_is_run_and_that_is_said():
    class Branching(Tiny):
        def forward(self, x):
            return super().forward(x if x.mean() > -1 else -x)

    frame = wb.measure(Branching(), "macs")
    assert frame.iloc[0, 0] == MACS
    assert any(
        note.startswith("2: macs counted on real tensors, extrapolated: on meta tensors it said")
        for note in frame.notes
    )


def test_what_has_no_value_is_nan_with_its_reason():
    frame = wb.measure(Tiny(), ["params", "latency"], protocol="esc+cuda")
    assert np.isnan(frame.loc["Tiny-x2", "latency"])
    assert any("latency: unsupported: " in note and "CUDA" in note for note in frame.notes)
    assert "–<sup>1 2</sup>" in frame._repr_html_().replace("–<sup>2</sup>", "–<sup>1 2</sup>")


# --- how networks are named


def test_labels_of_lists_and_dicts(tmp_path):
    nets = [Tiny(), Tiny(dim=8), "esc-fp-x4"]
    assert list(wb.measure(nets, "params", records=tmp_path).index) == ["Tiny-x2", "Tiny-x2 (2)", "esc-fp-x4"]
    named = wb.measure({"mine": nets[0], "theirs": "esc-fp-x4"}, "params", records=str(tmp_path))
    assert list(named.index) == ["mine", "theirs"]
    assert named.records["mine"]["params"].variant == "mine"
    assert named.records["theirs"]["params"].variant == "esc-fp-x4"


def test_names_and_references_go_through_the_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def Net(scale): return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 1), nn.PixelShuffle(scale))\n"
    )
    asked = {"models": ["esc-fp-x[24]", "./net.py:Net"], "probes": "params", "scale": None, "records": "kept"}
    with pytest.raises(UserError, match=r"wants to know its scale, which was not given: scale=4\."):
        wb.measure(**asked)
    asked["models"][1] = "./net.py:Net-x2"
    frame = wb.measure(**asked)
    assert list(frame.index) == ["esc-fp-x2", "esc-fp-x4", "./net.py:Net-x2"]
    assert frame.loc["./net.py:Net-x2", "params"] == 3 * 12 + 12
    assert len(store.read(tmp_path / "kept").records) == 3
    assert wb.measure(**asked).equals(frame)
    assert len(store.read(tmp_path / "kept").records) == 3
    with pytest.raises(UserError, match=r"^\./net\.py:Net-x2 is run in a fresh process, and Tiny-x2 exists"):
        wb.compare(Tiny(), "./net.py:Net-x2")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: wb.measure(Tiny), r"Tiny is a class, and a network of it was asked for; give one: Tiny\(\.\.\.\)"),
        (lambda: wb.measure(3), "^int was given where a network belongs; give an nn.Module, a name"),
        (lambda: wb.measure([]), "No network was named; give an nn.Module"),
        (lambda: wb.measure("esc_x4"), "No variant 'esc_x4'. Did you mean 'esc-x4'"),
        (lambda: wb.measure("esc-x4", scale=2), "esc-x4 was named and scale=2 given"),
        (lambda: wb.measure(Tiny(), scale=3), r"puts out 64x48 of an input of 32x24, and x3 was asked.* scale=2 would"),
        (lambda: wb.measure(Tiny(), scale="2"), "scale was given '2'; give a whole number"),
        (lambda: wb.measure(Tiny(), "parms"), "No probe 'parms'. Did you mean 'params'"),
        (lambda: wb.measure(Tiny(), []), "No probe was named; leave probes out"),
        (lambda: wb.measure(Tiny(), "macs", protocol="ecs"), "No protocol 'ecs'. Did you mean 'esc'"),
        (lambda: wb.measure(Tiny(), "macs", protocol={"mac": "esc"}), "No probe among those asked for 'mac'. Did you"),
        (lambda: wb.measure(Tiny(), "quality"), "cannot be judged: images are those of the catalogue's networks"),
        (lambda: wb.measure("esc-x4", records=""), "records was given ''; name a folder"),
        (lambda: wb.measure({"all": "esc*"}), r"'esc\*' names \d+ networks, and one was asked for"),
        (lambda: wb.measure(nn.Conv2d(3, 4, 3)), r"Conv2d makes \(1, 4, 22, 30\) of \(1, 3, 24, 32\); asked is"),
        (lambda: wb.measure({1: Tiny(), "1": Tiny()}), "Two networks are labelled '1'; give each a label of its own"),
        (lambda: wb.measure(Tiny().to("meta")), r"Tiny lies on the meta device \(first\.weight\), and has no values"),
        (lambda: wb.measure(nn.LazyConv2d(3, 1)), r"LazyConv2d has parameters that its first forward makes \(weight,"),
        (lambda: wb.measure(torch.jit.script(Tiny())), "RecursiveScriptModule is TorchScript, whose operators cannot"),
        (lambda: wb.trace(Tiny(), depth=0), "depth was given 0; modules are told apart by at least 1"),
        (lambda: wb.trace(Tiny(), device="a10"), "No device 'a10'. Did you mean 'a100'"),
        (lambda: wb.compare(Tiny()), "A comparison takes two networks, and 1 was named: Tiny-x2"),
        (lambda: wb.compare(Tiny(), Tiny(), budget=0), "^budget=0 was given; it must be above 0, such as 120"),
        (lambda: wb.compare(Tiny(), Tiny(), precision=2), "^precision=2 was given, which is 200%; give a fraction"),
        (lambda: wb.table("esc-table2", add={"": Tiny()}), "^A network has the empty label ''; give it a name"),
        (lambda: wb.table("esc-table2", drop=4), "^drop was given 4; give a name such as 'SwinIR-lt', or several in a"),
        (lambda: wb.table("esc-table2", columns=[None]), "^columns was given None; give a name such as 'params'"),
        (lambda: wb.table("esc-table2", only="four"), "^only 'four' is no scale; write x4, or several: only x2,x3"),
        (lambda: wb.table("esc-table2", only=4.0), "^only was given 4.0; give a scale such as 4, or several: only="),
        (lambda: wb.trace("imdn-x4", protocol="esc+h100", device="a100"), r"^device a100 and protocol esc\+h100 name"),
        (lambda: wb.table("esc-table1"), "No table 'esc-table1'. Did you mean"),
    ],
)  # fmt: skip
def test_a_mistake_has_one_sentence(call, told):
    with pytest.raises(UserError, match=told) as error:
        call()
    assert "--" not in str(error.value)
    assert error.value._render_traceback_() == [f"UserError: {error.value}"]  # what a notebook shows


# --- what comes back


def test_a_frame_is_shown_with_units_and_notes_and_computes_as_any_other():
    frame = wb.measure({"<a>": Tiny(), "b": Tiny(dim=8)}, ["params", "planned-memory"])
    page = frame._repr_html_()
    assert "<th>params</th><th>planned memory (MiB)</th>" in page
    assert "<td>&lt;a&gt;<sup>1</sup></td><td>172</td>" in page
    assert "<sup>~</sup> planned-memory: planned from shapes, without a device: an estimate</p>" in page
    doubled = frame * 2
    assert type(doubled) is pandas.DataFrame
    assert doubled.loc["<a>", "params"] == 2 * PARAMS
    assert "workbench" not in doubled._repr_html_()
    assert "172" in frame.to_latex()
    frame["ratio"] = frame["params"] / PARAMS
    assert "ratio" in frame._repr_html_()  # and not the page that was made before


def test_scaled_has_the_figures_of_the_page():
    assert wb.measure(Tiny(), "macs").scaled().to_dict("index") == {"Tiny-x2": {"macs (M)": 35.94}}
    assert MACS == 35_942_400
    assert wb.measure(Tiny(), "params").scaled().to_dict("index") == {"Tiny-x2": {"params": PARAMS}}


def test_scaled_keeps_four_digits_of_what_is_small_beside_the_largest():
    from torch import nn

    wide = nn.Sequential(nn.Conv2d(3, 480, 3, padding=1), nn.Conv2d(480, 12, 1), nn.PixelShuffle(2))
    frame = wb.measure({r"$x_1$ ü%": Tiny(), "wide": wide}, "params").scaled()
    assert frame["params (K)"].to_list() == [0.172, 19.21]  # 3 * 480 * 9 + 480, and 480 * 12 + 12: 19,212
    tex = frame.to_latex()
    assert r"\$x\_1\$ ü\% & 0.172 \\" in tex
    assert r"wide & 19.21 \\" in tex
    assert "19.2 " in frame[["params (K)"]].to_latex(float_format="%.1f")
    assert r"none & -- \\" in frame.reindex(["none"]).to_latex()


def test_a_trace_is_frames_and_a_page():
    seen = wb.trace({"mine": Tiny()}["mine"], device="rtx-4090")
    assert seen.operators["multiply_adds"].to_dict() == {"conv2d": MACS, "pixel_shuffle": 0}
    assert seen.modules["seconds"].is_monotonic_decreasing
    assert set(seen.modules.index) == {"first", "last", "up"}
    assert list(seen.top(1, by="operator").index) == [seen.operators.index[0]]
    assert "and 2 more" in seen.top(1)._repr_html_()
    assert "RTX 4090" in seen._repr_html_()
    assert "RTX 4090" in repr(seen)
    most = seen.top(2, "operator", sort="macs")
    assert list(most.index) == ["conv2d", "pixel_shuffle"]
    assert most._repr_html_().index("conv2d") < most._repr_html_().index("pixel_shuffle")
    assert seen.top(3, sort="bytes")["bytes"].is_monotonic_decreasing
    with pytest.raises(UserError, match=r"No order of a trace 'mac'\. Did you mean 'macs'"):
        seen.top(sort="mac")
    with pytest.raises(UserError, match=r"No view of a trace 'modul'\. Did you mean 'module'"):
        seen.top(by="modul")


def test_a_comparison_is_sentences_and_ratios():
    found = wb.compare(Tiny(), Tiny(dim=64), vs="imdn-x4", protocol="cpu", budget=0.2)
    assert list(found.ratios.index) == [("Tiny-x2", "imdn-x4"), ("Tiny-x2 (2)", "imdn-x4")]
    assert list(found.seconds) == ["Tiny-x2", "Tiny-x2 (2)", "imdn-x4"]
    assert len(found.sentences()) == 2
    assert repr(found).splitlines()[:2] == found.sentences()
    assert "protocol cpu: HR 96x96" in found._repr_html_()
    assert json.dumps(found.found)


def test_a_table_is_its_cells_and_the_page_that_was_printed(example):
    frame = wb.table("esc-table2", records=example)
    assert {"method", "printed", "measured", "verdict"} <= set(frame)
    assert set(frame["verdict"]) >= {"reproduced", "not measured"}
    assert "<table" in frame._repr_html_()


def test_a_row_of_a_network_that_is_here_only_stands_in_a_published_table(tmp_path):
    frame = wb.table("esc-table2", add={"Ours": Tiny()}, drop="rdn,rcan".split(","), only=2, columns="params",
                     records=tmp_path / "records")  # fmt: skip
    ours = frame.query("method == 'Ours'")
    assert (ours["measured"].item(), ours["scale"].item(), len(frame)) == (PARAMS / 1e3, 2, 13)
    assert set(frame["column"]) == {"params_k"}
    assert "<td>Ours</td>" in frame._repr_html_()
    assert re.search(r"<b>[\d.]+</b>", frame._repr_html_().partition("<td>Ours</td>")[2])  # the least of all
    assert not (tmp_path / "records").exists()
    unmeasured = wb.table("esc-table2", add={"Ours": Tiny()}, only=2, columns="latency").query("method == 'Ours'")
    assert unmeasured["why"].item() == (
        "needs a CUDA GPU, and is not stored: wb.measure(model, 'latency', protocol='esc')"
    )
    shown = [wb.table("esc-table2", only=s, records=tmp_path) for s in ([2, 4], "x2,4", ["x2", "4"])]
    assert shown[0].equals(shown[1])
    assert shown[0].equals(shown[2])
    assert set(shown[0]["scale"]) == {2, 4}
    with pytest.raises(wb.UserError, match="is of x2, which only leaves out"):
        wb.table("esc-table2", add=Tiny(), only=4)
    with pytest.raises(wb.UserError, match="Did you mean"):
        wb.table("esc-table2", drop="RCAM")


def test_what_is_no_table_and_what_is_several_networks_have_their_sentence():
    with pytest.raises(UserError, match=r"^Conv2d was given where a table belongs; give the name of a published one"):
        wb.table(nn.Conv2d(3, 3, 1))
    with pytest.raises(UserError, match=r"^2 networks were given where one belongs"):
        wb.trace([nn.Conv2d(3, 3, 1)] * 2)


def test_a_time_of_a_gpu_that_is_named_and_not_here_is_refused_and_not_stored(tmp_path):
    with pytest.raises(UserError, match=r"is to be timed on the GPU a100, and this machine is: "):
        wb.measure("imdn-x4", "latency", protocol="steady+a100", records=tmp_path)
    assert list(tmp_path.iterdir()) == []
