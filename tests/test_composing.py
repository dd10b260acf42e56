"""Tables with rows of one's own: published ones changed, described ones, and what stands in their cells."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from workbench import composing, judge, own, papers, protocols, report, store
from workbench.composing import changed, columns, file, networks, reported, typed
from workbench.spec import Source, UserError, Variant

TABLE = papers.TABLES["esc-table2"]
OURS = Variant(
    "./net.py:Net(dim=8)-x4", "./net.py:Net", "own", 4, "your own", Source("./net.py:Net", "/", (("dim", "8"),), "abc")
)


@pytest.fixture
def write(tmp_path):
    def make(text, name="mine.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return make


def records_of(composition, value=70_256):
    """A record for everything that added networks lack, all of one value."""
    return {
        r.identity: store.Record(
            r.variant.name, r.protocol.name, r.probe.name, r.probe.version, r.conditions, r.probe.unit, (value,), "ok",
            None, "2026-01-01T00:00:00.000000Z", "a machine",
        )
        for r in composition.requests()
    }  # fmt: skip


def at(cells, method, column, scale=4):
    (cell,) = [c for c in cells if (c.method, c.scale, c.column) == (method, scale, column)]
    return cell


# --- a published table, changed


def test_rows_go_by_spelling_or_variant_and_scales_by_number():
    shown, _ = changed.change(TABLE, changed.Changes(drop=["rdn", "RCAN", "esc-x4", "swinir light"], only=[4, 2]))
    methods = {(r.method, r.scale) for r in shown.table.rows}
    assert {s for _, s in methods} == {2, 4}
    assert not {m for m, _ in methods} & {"RDN", "RCAN", "SwinIR-lt"}
    assert ("ESC", 2) in methods
    assert ("ESC", 4) not in methods
    assert shown.table.title.endswith("; left out: RDN, RCAN, ESC, SwinIR-lt; x2, x4 only")


def test_what_is_kept_is_judged_as_the_published_table_is(make_record):
    known = store.Contents((make_record("esc-x4"), make_record("esc-light-x4", values=(1,))), ()).newest()
    shown, _ = changed.change(TABLE, changed.Changes(drop=["SwinIR-lt"], only=[4]))
    published = {(c.method, c.scale, c.column): c for c in judge.judge(TABLE, known)}
    cells = shown.judged(known)
    assert len(cells) == len(shown.table.rows) * len(TABLE.columns)
    assert all(c == published[c.method, c.scale, c.column] for c in cells)
    assert at(cells, "ASID-D8", "b100_ssim").verdict == "suspect"  # its bold mark is still that of the whole table


def test_a_row_of_one_s_own_is_last_of_its_scale_and_has_what_records_say():
    shown, _ = changed.change(TABLE, changed.Changes([("Ours", OURS)], only=[3, 4]))
    assert shown.table.rows[-1].method == "Ours"
    assert {str(r) for r in shown.requests()} == {
        f"{probe} of ./net.py:Net(dim=8)-x4 under esc" for probe in ("params", "macs", "planned-memory")
    }
    cells = shown.judged(records_of(shown))
    assert at(cells, "Ours", "params_k").measured == 70.256
    assert at(cells, "Ours", "params_k").why == "nothing is reported of it"
    assert at(cells, "Ours", "memory_mb").estimate == 70_256 / 2**20
    latency = at(cells, "Ours", "latency_ms")
    assert latency.verdict == "not measured"
    assert "workbench measure './net.py:Net(dim=8)-x4' --probe latency --protocol esc" in latency.why
    assert latency.why.endswith("--probe latency --protocol cpu")
    assert at(cells, "Ours", "set5_psnr").why == composing.ELSEWHERE
    edited = replace(OURS, source=replace(OURS.source, digest="abd"))
    other, _ = changed.change(TABLE, changed.Changes([("Ours", edited)], only=[4]))
    assert at(other.judged(records_of(shown)), "Ours", "params_k").measured is None  # of another file


def test_an_added_network_of_the_catalogue_is_planned_lean_too():
    shown, _ = changed.change(papers.TABLES["hitsr-efficiency"], changed.Changes([(None, papers_variant("rfdn-x2"))]))
    assert shown.table.rows[-1].method == "RFDN"
    assert [str(r) for r in shown.requests()] == ["params of rfdn-x2 under hitsr", "macs of rfdn-x2 under hitsr"]
    shown, _ = changed.change(TABLE, changed.Changes([(None, papers_variant("rfdn-x2"))]))
    assert "planned-memory of rfdn-x2 under esc+lean" in map(str, shown.requests())
    psnr = at(shown.judged({}), "RFDN", "set5_psnr", 2)
    assert psnr.verdict == "not measured"
    assert psnr.why.endswith(
        "with weights and the images: workbench measure rfdn-x2 --probe quality --protocol esc+set5"
    )


def papers_variant(name):
    return networks.find(name, own.Asked())


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (changed.Changes(drop=["rcann"]), "No method or variant of esc-table2 'rcann'. Did you mean 'rcan'"),
        (changed.Changes(drop=["no-such"]), "'no-such'. 56 are known; list them: workbench table esc-table2"),
        (changed.Changes(only=[5]), "esc-table2 has nothing at x5; it"),
        (changed.Changes(columns=["parms"]), "No column 'parms'. Did you mean 'params"),
        (changed.Changes(columns=["quality"]), "'quality' names no test set; name one, such as quality+set14."),
        (changed.Changes(columns=["quality+set15"]), "names no test set"),
        (changed.Changes(columns=["macs+cell"]), "No modifier of a protocol 'cell'. Did you mean 'ceil'"),
        (changed.Changes([("Ours", OURS)], only=[2]), "./net.py:Net(dim=8)-x4 is of x4, which --only leaves out"),
        (changed.Changes([("ESC", OURS)]), "esc-table2 has a row ESC x4 already"),
        (changed.Changes([("Ours", OURS), ("Ours", OURS)]), "esc-table2 has a row Ours x4 already"),
        (changed.Changes(columns=["FOO"]), "No column 'FOO'. Known: params, macs, latency, memory, "),
        (changed.Changes(drop=[r.method for r in TABLE.rows]), "Of esc-table2 no row is left to show"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_shown_has_its_sentence(wanted, said):
    with pytest.raises(UserError) as told:
        changed.change(TABLE, wanted)
    assert said in str(told.value)


def test_columns_are_picked_by_id_or_by_what_is_in_them_and_others_are_made():
    shown, _ = changed.change(TABLE, changed.Changes(columns=["params", "set14_psnr", "ssim+urban100", "macs+ceil"]))
    assert [c.id for c in shown.table.columns] == ["params_k", "set14_psnr", "urban100_ssim", "flops_g+ceil"]
    assert shown.table.columns[-1].title == "FLOPs +ceil"
    cells = shown.judged({})
    assert at(cells, "ESC", "flops_g+ceil").printed is None
    assert at(cells, "ESC", "params_k").printed == "968"
    assert columns.column("quality+set:mine").title == "mine PSNR"


# --- what is typed


@pytest.mark.parametrize(
    ("word", "label", "network"),
    [
        ("Ours=./net.py:Net", "Ours", "./net.py:Net"),
        ("./net.py:Net(dim=8)", None, "./net.py:Net(dim=8)"),
        ("Ours (dim=8)=./net.py:Net(dim=8, a='=')-x4", "Ours (dim=8)", "./net.py:Net(dim=8, a='=')-x4"),
        (" a\n b =imdn-x4", "a b", "imdn-x4"),
        ("imdn-x4", None, "imdn-x4"),
    ],
)
def test_a_label_ends_at_the_first_equals_sign_outside_brackets(word, label, network):
    assert networks.apart(word) == (label, network)


def test_an_equals_sign_may_be_of_a_path(write, monkeypatch, tmp_path):
    (tmp_path / "a=b").mkdir()
    write("", "a=b/net.py")
    monkeypatch.chdir(tmp_path)
    assert networks.apart("./a=b/net.py:Net") == (None, "./a=b/net.py:Net")


@pytest.mark.parametrize("word", ["=./net.py:Net", "Ours=", " = "])
def test_half_a_label_is_refused(word):
    with pytest.raises(UserError, match="cannot be read; write a label and a network"):
        networks.apart(word)


def test_scales_and_methods_may_be_joined_by_commas():
    given = typed.Typed(drop=["rdn, rcan", "esc"], only=["x4,2"], columns=["params,macs"])
    shown, told = typed.compose("esc-table2", given, own.Asked())
    assert ({r.scale for r in shown.table.rows}, told) == ({2, 4}, [])
    assert [c.id for c in shown.table.columns] == ["params_k", "flops_g"]
    with pytest.raises(UserError, match="--only 'x4x' is no scale; write x4"):
        typed.compose("esc-table2", typed.Typed(only=["x4x"]), own.Asked())


def test_a_network_of_any_scale_is_of_the_one_that_is_shown(monkeypatch):
    asked = []
    monkeypatch.setattr(networks.own, "find", lambda name, given, folder: asked.append(given.scale) or OURS)
    for only, name in ((["x4"], "./net.py:Net"), (["x4", "x2"], "./net.py:Net"), (["x4"], "./net.py:Net-x4")):
        typed.compose("esc-table2", typed.Typed([("Ours", name)], only=only), own.Asked())
    assert asked == [4, None, None]


# --- figures that are reported


def test_reported_figures_fill_rows_in_the_table_s_units_and_others_become_rows(write):
    path = write(
        "method,PSNR Set5,Params (M),Runtime (s)\nours,32.70,0.07,0.0123\nrdn,1,1,1\nESC,1,1,1\nFoo & <b>,30,2,1\n"
    )
    wanted = changed.Changes([("Ours", OURS)], ["RDN"], [4], reported=reported.read(path, 4))
    shown, kept = changed.change(TABLE, wanted)
    cells = shown.judged(records_of(shown))
    assert kept == ["ESC x4"]
    assert {r.method for r in shown.table.rows} >= {"Ours", "Foo & <b>"}
    assert "RDN" not in {r.method for r in shown.table.rows}
    params = at(cells, "Ours", "params_k")
    assert (params.printed, params.verdict) == ("70", "reproduced")  # 0.07 M leaves the last digit of 70 open
    assert at(cells, "Ours", "latency_ms").printed == "12.3"
    assert at(cells, "Ours", "set5_psnr").printed == "32.70"
    assert at(cells, "Ours", "set5_psnr").why == "the quality of a network of your own is not measured here"
    assert at(cells, "Foo & <b>", "params_k").printed == "2000"
    assert at(cells, "ESC", "params_k").printed == "968"
    assert "Foo &amp; &lt;b&gt;" in report.render(shown.table, cells, "html")
    assert r"Foo \& \textless{}b\textgreater{} &" in report.render(shown.table, cells, "tex")


def test_a_figure_that_its_own_row_contradicts_says_who_looks_for_others(write):
    path = write("method,scale,params_k\nOurs,4,80\n")
    shown, _ = changed.change(TABLE, changed.Changes([("Ours", OURS)], only=[4], reported=reported.read(path, None)))
    cell = at(shown.judged(records_of(shown)), "Ours", "params_k")
    assert (cell.verdict, cell.why) == ("differs", "esc gives 70,256; workbench review looks for others that do")


def test_what_nothing_measures_is_marked_and_has_no_rank_wherever_it_is_reported(write):
    names = ["params", "quality+set14", "quality+set14+rgb"]
    path = write("method,scale,Params (K),PSNR Set14\nTheirs,4,-3,266\nOthers,4,500,28.60\n")
    wanted = changed.Changes(drop=[r.method for r in TABLE.rows], columns=names, reported=reported.read(path, None))
    typed_in = f"""columns = {names}
rows = [
  {{label = "Theirs", scale = 4, reported = {{params = -3, "quality+set14" = 266, "quality+set14+rgb" = 266}}}},
  {{label = "Others", scale = 4, reported = {{params = 500, "quality+set14" = 28.60}}}},
]"""
    for shown in (changed.change(TABLE, wanted)[0], file.read(write(typed_in, "mine.toml"))):
        cells = shown.judged({})
        assert at(cells, "Theirs", "params_k").verdict == "suspect"
        text = report.render(shown.table, cells, "md")
        assert "| -3§ |" in text
        assert "| 266§ |" in text
        assert "**500**" in text
        assert "**28.60**" in text
        assert "Theirs x4, set14_psnr, printed 266: impossible (certain): PSNR is from 5 to 80 dB" in text
    assert "Theirs x4, set14_psnr+rgb, printed 266: impossible (certain)" in text


def test_what_is_reported_of_nothing_is_not_printed_and_counted_so(write):
    typed_in = """columns = ["params"]
rows = [{label = "Theirs", scale = 4}, {label = "Others", scale = 4, reported = {params = 500}},
  {model = "imdn-x4", reported = {params = 715}}]"""
    shown = file.read(write(typed_in, "mine.toml"))
    cells = shown.judged({})
    assert (at(cells, "Theirs", "params_k").verdict, at(cells, "Theirs", "params_k").why) == (
        "not printed", "nothing is reported of it"
    )  # fmt: skip
    assert at(cells, "Others", "params_k").verdict == "not measured"
    told = judge.summary(shown.table, cells)
    assert told == "mine: Params: 1/1 not measured, and 1 not printed; shown as reported: Others"


def test_a_figure_in_another_unit_is_judged_by_the_digits_that_it_has(write):
    def verdict(typed_in):
        shown = file.read(write(f"rows = [{{model = 'imdn-x4', reported = {{params = {typed_in}}}}}]", "mine.toml"))
        return at(shown.judged(records_of(shown, 715_176)), "IMDN", "params_k").verdict

    assert [verdict(t) for t in ("'0.72M'", "'0.715M'", "'720K'", "'0.71M'")] == [
        "reproduced", "reproduced", "differs", "explained"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method,scale,Params\nOurs,4,1\n", "names no unit of its Params; write it into the heading: Params (K)"),
        ("method,scale,Params (K)\n", "has no row below its headings; there is no figure in it"),
        ("method,Params (K)\nOurs,1\n", "has no column of scales; head it 'scale', or give one: --scale 4"),
        ("method,scale,Params (K)\nOurs,4,nan1\n", "is no figure"),
    ],
)
def test_a_file_that_reports_nothing_has_its_sentence(write, text, said):
    with pytest.raises(UserError) as told:
        reported.read(write(text), None)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("value", "column", "printed"),
    [("312K", "params", "312"), ("0.31M", "params", "3.1E+2"), (312, "params", "312"), ("22.9G", "macs", "22.9"),
     ("1,234 K", "params", "1234"), ("21.8MB", "planned-memory", "21.8"), ("1.5 GiB", "memory", "1536"),
     ("12.3us", "latency", "0.0123"),
     ("28.90", "quality+set14", "28.90")],
)  # fmt: skip
def test_a_typed_figure_is_put_in_the_unit_of_its_column(value, column, printed):
    assert reported.typed(value, columns.column(column)) == printed


@pytest.mark.parametrize("value", ["nan", "inf", "1e3", "28.9 dB", "", "many"])
def test_what_is_no_typed_figure_is_refused(value):
    with pytest.raises(UserError, match=r"is no figure of Set14 PSNR; write it as it is printed, in dB: 28\.90"):
        reported.typed(value, columns.column("quality+set14"))


# --- a table that a file describes

DESCRIBED = """
caption = "Ours <script>, a_b & 50%"
columns = ["params", "macs", "planned-memory", "quality+set14"]
scales = [4]
rows = [
  {label = "Ours_1", model = "imdn-x4", reported = {params = "715K", "quality+set14" = 28.60}},
  "rfdn-x4",
  {from = "esc-table2", rows = ["ESC", "swinir-light-x4"]},
  {from = "hitsr-table2", rows = ["CARN"]},
  {label = "Theirs", scale = 4, reported = {params = 500}},
  {csv = "mine.csv", rows = ["Foo"]},
]
"""


def test_a_file_describes_rows_columns_and_caption(write):
    write("method,scale,set14_psnr\nFoo,4,28.10\nBar,4,28.20\n")
    shown = file.read(write(DESCRIBED, "mine.toml"))
    assert [r.method for r in shown.table.rows] == ["Ours_1", "RFDN", "ESC", "SwinIR-lt", "CARN", "Theirs", "Foo"]
    assert (shown.table.protocol, shown.table.training) == ("esc", "DIV2K")
    known = records_of(shown, 715_176)
    assert {(r.variant, r.probe) for r in known.values()} == {
        (name, probe) for name in ("imdn-x4", "rfdn-x4") for probe in ("params", "macs", "planned-memory")
    }
    cells = shown.judged(known)
    assert (at(cells, "Ours_1", "params_k").printed, at(cells, "Ours_1", "params_k").verdict) == ("715", "reproduced")
    assert at(cells, "Ours_1", "set14_psnr").printed == "28.60"
    assert at(cells, "ESC", "memory_mb").printed == "215"
    assert at(cells, "CARN", "flops_g").protocol == "hitsr"
    assert at(cells, "Foo", "set14_psnr").printed == "28.10"
    for format in report.FORMATS:
        text = report.render(shown.table, cells, format)
        assert all(re.search(rf"{m}\b", text.replace("\\", "")) for m in ("Ours_1", "RFDN", "CARN", "Theirs", "Foo"))
    assert "<script>, a_b" not in report.render(shown.table, cells, "html")
    tex = report.render(shown.table, cells, "tex")
    assert r"\caption{Ours \textless{}script\textgreater{}, a\_b \& 50\%}" in tex
    assert tex.count(r"\begin{table*}") == tex.count(r"\end{table*}") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mine.toml: rows: there are none; give a list"),
        ("row = []", "line 1: row: there is no such key. Did you mean 'rows'?"),
        ("rows = [1]", "rows: 1 is no row; write 'esc-x4'"),
        ("rows = [{}]", "rows[1] has none of: from, csv, model, label"),
        ("rows = ['esc-x4', {lable = 'a', model = 'b'}]", "rows[2].lable: there is no such key. Did you mean 'label'"),
        ("rows = ['esc-x5']", "rows[1].model: No variant 'esc-x5'. Did you mean"),
        ("rows = [{from = 'esc-table9'}]", "rows[1].from: No table 'esc-table9'. Did you mean"),
        ("rows = [{from = 'esc-table2', rows = ['EXC']}]", "rows[1].rows: No method or variant of esc-table2 'EXC'."),
        ("rows = ['esc-x4']\ncolumns = ['parms']", "line 2: columns: No column 'parms'. Did you mean 'params'"),
        ("rows = ['esc-x4']\ncolumns = []", "columns: there are none; leave it out"),
        ("rows = ['esc-x4']\nprotocol = 'ecs'", "line 2: protocol: No protocol 'ecs'. Did you mean 'esc'"),
        ("rows = ['esc-x4']\nscales = [3]", "scales: 3 is no scale of its rows; they have 4."),
        ("rows = ['esc-x4']\ncaption = ''", "caption: it is empty"),
        ("rows = ['esc-x4', 'esc-x4']", "mine has a row ESC x4 already; call yours otherwise, by a label"),
        ("rows = [{model = 'esc-x4', scale = 2}]", "rows[1].scale: esc-x4 is of x4."),
        ("rows = [{model = 'esc-x4', scale = 0}]", "rows[1].scale: 0 is no scale"),
        ("rows = [{model = 'esc-x4', arguments = {dim = 1}}]", "arguments: they are for a network"),
        ("rows = [{csv = 'own.csv'}]", "or give one: scale = 4."),
        ("rows = [{label = 'A'}]", "a row without a model needs its scale"),
        ("rows = [{label = 'A', scale = 4, reported = {parms = 1}}]", "rows[1].reported.parms: No column 'parms'."),
        ("rows = [{label = 'A', scale = 4, reported = {latency = 1}}]", "latency: the table does not show it"),
        ("rows = [{label = 'A', scale = 4, reported = {params = nan}}]", "params: 'NaN' is no figure of Params"),
        ("rows = [{label = 'A', scale = 4, reported = {params = [1]}}]", "reported.params: [1] is no figure"),
        ("rows = [{csv = 'none.csv'}]", "rows[1].csv: Cannot read "),
        ("protocol = 'steady'\nrows = [{from = 'esc-table2'}]", "figures of esc-table2 are of protocol esc"),
        ("protocol = 'esc+lean'\ncolumns = ['macs+faithful']\nrows = ['esc-x4']", "Protocol 'esc+lean+faithful'"),
    ],
)  # fmt: skip
def test_what_a_file_says_wrong_is_told_with_its_place(write, text, said):
    write("method,params (K)\nFoo,28\n", "own.csv")
    with pytest.raises(UserError) as told:
        file.read(write(text, "mine.toml"))
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_paths_in_a_file_begin_where_it_lies(write, monkeypatch, tmp_path):
    folders = []
    monkeypatch.setattr(networks.own, "find", lambda name, given, folder: folders.append((folder, given)) or OURS)
    file.read(
        write("rows = [{model = './net.py:Net', scale = 4, arguments = {dim = 8, norm = 'a', f = true}}]", "m.toml")
    )
    assert folders == [(tmp_path.resolve(), own.Asked(4, ("dim=8", "norm='a'", "f=True"), None))]


def test_a_forward_that_is_named_in_the_protocol_is_planned_lean_beside_it(write):
    shown = file.read(write("protocol = 'esc+faithful'\nrows = ['imdn-x4']", "mine.toml"))
    assert {str(r) for r in shown.requests()} >= {"planned-memory of imdn-x4 under esc+lean"}
    assert at(shown.judged(records_of(shown)), "IMDN", "planned_mb").lean is not None


# --- the command

NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, scale, dim=8):
        ends = nn.Conv2d(3, dim, 3, padding=1), nn.Conv2d(dim, 3 * scale**2, 3, padding=1)
        super().__init__(*ends, nn.PixelShuffle(scale))
"""


def test_one_s_own_network_is_measured_at_once_and_not_twice(workbench, write, monkeypatch, tmp_path):
    write(NET, "net.py")
    monkeypatch.chdir(tmp_path)
    words = ("table", "esc-table2", "--add", "Ours=./net.py:Net", "--only", "x4", "--columns", "params,macs")
    ran = workbench(*words, "--records", tmp_path / "records", "--json")
    ours = {c["column"]: c for c in json.loads(ran.out) if c["method"] == "Ours"}
    params = (27 * 8 + 8) + (9 * 8 * 48 + 48)  # two convolutions of 3x3 with their biases
    assert ran.code == 0
    assert ours["params_k"]["measured"] * 1e3 == params
    assert ours["flops_g"]["measured"] * 1e9 == (27 * 8 + 9 * 8 * 48) * 320 * 180
    again = workbench(*words, "--records", tmp_path / "records", "--tex")
    assert again.err == ""
    row = next(line for line in again.out.splitlines() if line.startswith("Ours & "))
    assert row == (r"Ours & $\times$4 & \textcolor{gray}{--} & \textbf{3.73} & \textcolor{gray}{--} & \textbf{0.21} \\")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("esc-table2", "--tex", "--json"), "--json and --tex ask for two formats"),
        (("esc-table2", "--tex", "--format", "md"), "--tex and --format md ask for two formats"),
        (("esc-table2", "--scale", "4"), "and none is added; name one: --add ./net.py:Net"),
        (("esc-table2", "--add", "imdn-x4", "--scale", "4"), "--scale is for networks of your own"),
        (("esc-table2", "--add", "imdm-x4"), "No variant 'imdm-x4'. Did you mean 'imdn-x4'"),
        (("esc-table2", "--add", "imdn-x4", "--bounds", "a100"), "--bounds is of a published table as it is"),
        (("esc-table2", "--only", ","), "--only was given nothing; name something, or leave --only out."),
        (("none.toml",), "Cannot read none.toml: No such file or directory. Name a TOML file that describes a table."),
        (("none.toml", "--only", "x4"), "none.toml says itself which rows and columns it has"),
        (("esc-table2", "--add", "imdn-x4", "--reported", "none.csv"), "Cannot read none.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_slip_is_one_line_and_nothing_is_measured(workbench, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    ran = workbench("table", *words, "--records", tmp_path / "records")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert said in ran.err
    assert not (tmp_path / "records").exists()


def test_the_protocols_of_published_tables_that_may_be_mixed_count_alike():
    assert {t.protocol for t in papers.TABLES.values()} == {"esc", "hitsr"}
    assert protocols.find("esc").counting == protocols.find("hitsr").counting


def test_its_latex_compiles(write, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here")
    write("method,scale,set14_psnr\nFoo,4,28.10\n")
    shown = file.read(write(DESCRIBED, "mine.toml"))
    packages = r"\usepackage[utf8]{inputenc}\usepackage{booktabs,xcolor,graphicx}"
    body = report.render(shown.table, shown.judged({}), "tex")
    write(rf"\documentclass{{article}}{packages}\begin{{document}}{body}\end{{document}}", "t.tex")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
