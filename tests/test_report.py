"""Reports: every format of the same cells, well formed whatever a paper calls its methods, the same bytes each time."""

import io
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pandas
import pytest

from workbench import judge, papers, report, store
from workbench.published import Column, Row, Table
from workbench.report import layout, plots
from workbench.spec import UserError

AWKWARD = r"M&M_1 100% #2 <b>x</b> | y {z} $u$ ~v ^w \q \"s\" – †"
MACS = Column("flops_g", "FLOPs", "G", "macs", 1e9, "low", "nothing")
PARAMS = Column("params_k", "Params & more", "K", "params", 1e3, "low", "nothing")
PSNR = Column("psnr", "PSNR_1", "dB", "no-such-probe", 1, "high", "a <test> set | and weights")
MEMORY = Column("memory_mb", "Memory", "MB", "no-such-probe", 1.0, "low", "a GPU", estimate="activations")
COLUMNS = (MACS, PARAMS, PSNR, MEMORY)

MADE = Table(
    "made",
    "A title with <, & and |",
    "a paper",
    "A paper, Table 1",
    "esc",
    COLUMNS,
    (
        Row(AWKWARD, 2, "esc-x2", {"flops_g": "592.0", "params_k": "947", "psnr": "38.14", "memory_mb": "100"}),
        Row("Plain", 2, None, {"flops_g": "400.0", "params_k": "500", "psnr": "38.20"}),
        Row(AWKWARD, 3, "esc-x3", {"flops_g": "268.2", "params_k": "955", "psnr": "34.50"}),
        Row("Plain", 3, "hit-srf-x3", {"flops_g": "101.6", "params_k": "853"}),
        Row("Third", 3, "esc-fp-x3", {"flops_g": "90.0", "params_k": "530", "psnr": "34.60"}),
    ),
)


SEARCHED = {"protocols": ["fvcore", "fvcore+ceil"], "tried": 384, "uncounted_heavy": {}}


@pytest.fixture(scope="session")
def records(make_record):
    """Records that give each verdict in turn."""
    return (
        make_record("esc-x2", "macs", values=(591_983_033_600,)),
        make_record("esc-x2", "params", values=(946_728,)),
        make_record("esc-x3", "macs", values=(267_612_860_160,)),
        make_record("esc-x3", "macs-search", values=(267_612_860_160, 268_240_000_000), details=SEARCHED),
        make_record("esc-x2", "activations", values=(101,)),
        make_record("esc-x2", "activations", "esc+lean", values=(50,)),
        make_record("esc-x3", "params", values=(955_383,)),
        make_record("hit-srf-x3", "macs", status="failed", reason="Error: <broken> & | \\ _ of two\nlines"),
        make_record("esc-fp-x3", "macs", values=(110_027_399_680,), details={"uncounted_heavy": ["selective_scan"]}),
    )


@pytest.fixture(scope="session")
def cells(records):
    cells = judge.judge(MADE, store.Contents(records, ()).newest())
    times = {"reference"}  # only they have it: test_here.py
    assert {c.verdict for c in cells} == judge.VERDICTS.keys() - times - {"contradicted"}
    return cells


@pytest.mark.parametrize("format", report.FORMATS)
def test_the_same_records_give_the_same_text(records, cells, format):
    again = judge.judge(MADE, store.Contents(tuple(reversed(records)), ()).newest())
    assert report.render(MADE, cells, format) == report.render(MADE, again, format)


@pytest.mark.parametrize("format", report.FORMATS)
def test_an_empty_store_renders_too(format):
    assert report.render(MADE, judge.judge(MADE, {}), format)


def test_an_unknown_format_has_its_sentence(cells):
    with pytest.raises(UserError) as told:
        report.render(MADE, cells, "pdf")
    assert str(told.value) == "No format 'pdf'. Known: md, csv, tex, html, json."


@pytest.mark.parametrize(
    ("format", "best", "second"),
    [
        ("md", "**{}**", "<ins>{}</ins>"),
        ("html", "<b>{}</b>", "<u>{}</u>"),
        ("tex", r"\textbf{{{}}}", r"\underline{{{}}}"),
    ],
)
def test_the_best_of_a_scale_is_bold_and_the_second_underlined_in_every_format(cells, format, best, second):
    figures = {AWKWARD: 333.0, "Plain": 111.0, "Third": 222.0}
    made = [
        replace(c, measured=figures[c.method], uncounted=()) if (c.column, c.scale) == ("flops_g", 3) else c
        for c in cells
    ]
    text = report.render(MADE, made, format)
    assert [best.format(f"{v:.2f}") in text for v in (111, 222, 333)] == [True, False, False]
    assert [second.format(f"{v:.2f}") in text for v in (111, 222, 333)] == [False, True, False]
    left_out = [replace(c, uncounted=("scan",)) if c.measured == 111 else c for c in made]  # an incomplete count
    assert best.format("222.00") in report.render(MADE, left_out, format)


# --- JSON and CSV


def test_json_is_an_array_of_cells_with_the_public_fields(cells):
    read = json.loads(report.render(MADE, cells, "json"))
    assert len(read) == len(MADE.rows) * len(COLUMNS)
    public = {"method", "scale", "column", "reported", "measured", "unit", "protocol", "verdict", "why"}
    assert all(cell.keys() >= public for cell in read)
    first, explained = read[0], next(c for c in read if c["verdict"] == "explained")
    assert (first["method"], first["reported"], first["measured"]) == (AWKWARD, 592.0, 591.9830336)
    assert (first["unit"], first["protocol"], first["verdict"]) == ("G", "esc", "reproduced")
    assert explained["protocol"] == "fvcore+ceil"
    assert (explained["fits"], explained["distinct"], explained["tried"]) == ("fvcore+ceil", 2, 384)
    assert first["printed"] == "592.0"
    planned = next(c for c in read if c["verdict"] == "planned")
    assert (planned["measured"], planned["estimate"], planned["lean"]) == (None, 101, 50)
    missing = next(c for c in read if c["column"] == "psnr" and c["method"] == "Plain" and c["scale"] == 3)
    assert (missing["reported"], missing["measured"], missing["verdict"]) == (None, None, "not printed")


def test_csv_has_a_line_for_each_cell_and_says_what_json_says(cells):
    frame = pandas.read_csv(io.StringIO(report.render(MADE, cells, "csv")))
    read = json.loads(report.render(MADE, cells, "json"))
    assert list(frame.columns) == list(read[0])
    assert len(frame) == len(read)
    assert list(frame["method"]) == [c["method"] for c in read]
    assert list(frame["verdict"]) == [c["verdict"] for c in read]
    for field in ("reported", "measured"):
        assert [None if pandas.isna(v) else v for v in frame[field]] == [c[field] for c in read]


# --- Markdown


def entries(line):
    """The entries of a line of a Markdown table."""
    assert line.startswith("| ")
    assert line.endswith(" |")
    return re.split(r"(?<!\\)\|", line[1:-1])


def test_markdown_has_an_entry_for_each_column_in_each_row(cells):
    text = report.render(MADE, cells, "md")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(MADE.rows)
    assert len({len(entries(line)) for line in lines}) == 1
    assert all(re.fullmatch(r" -+:? ", rule) for rule in entries(lines[1]))
    assert judge.summary(MADE, cells) in text
    shown = [e.strip() for e in entries(lines[2])]
    assert shown[1:6] == ["x2", "592.0", "<ins>591.98</ins>", "0", "reproduced"]
    assert "\\|" in shown[0]


def test_markdown_says_what_is_behind_each_cell_that_is_not_reproduced(cells):
    text = report.render(MADE, cells, "md")
    notes, gaps = text.split("## Notes")[1].split("## Not measured")
    assert f"- {AWKWARD} x3, flops_g: explained: protocol fvcore+ceil" in notes
    assert "- Third x3, flops_g: differs: esc gives 110,027,399,680; " in notes
    assert "hit-srf-x3 --probe macs" not in notes
    assert "Plain x3: flops_g: failed: Error: <broken> & | \\ _ of two lines\n" in gaps
    assert "this method is not in the catalogue" in gaps
    assert (
        "† the convention left operators of weight uncounted, so this figure is incomplete; left out: selective_scan."
        in gaps
    )


def test_a_reason_of_several_lines_stays_in_its_entry(cells):
    for line in report.render(MADE, cells, "md").split("## Notes")[1].splitlines():
        assert line == "" or line.startswith(("- ", "## ", "†"))


# --- LaTeX

ESCAPED = re.compile(r"\\(?:[&%#_${}]|text(?:asciitilde|asciicircum|backslash|bar|less|greater)\{\})")


def test_latex_has_an_entry_for_each_column_in_each_row(cells):
    text = report.render(MADE, cells, "tex")
    aligned = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    body = text[text.index(r"\toprule") : text.index(r"\end{tabular}")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 2 + len(MADE.rows) + 1
    for line in lines:
        wide = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
        assert ESCAPED.sub("", line).count("&") + 1 + wide == len(aligned)


def test_latex_braces_balance_and_special_characters_are_escaped(cells):
    text = report.render(MADE, cells, "tex")
    for line in text.splitlines():
        if line.startswith("%"):
            continue
        bare = ESCAPED.sub("", line)
        depth = 0
        for character in bare:
            depth += {"{": 1, "}": -1}.get(character, 0)
            assert depth >= 0
        assert depth == 0
        math = re.sub(r"\$[^$]*\$", "", bare)
        assert not set("$#%_~^<>|") & set(math), line
        assert set(re.findall(r"\\([a-z]+)", math)) <= {
            "begin", "end", "toprule", "midrule", "bottomrule", "cmidrule", "multicolumn", "textcolor", "textbf",
            "underline", "footnotesize",
        }, line  # fmt: skip
        assert bare.isascii()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1


def test_latex_says_which_characters_need_another_engine(cells):
    def first(caption):
        return report.render(replace(MADE, caption=caption), cells, "tex").splitlines()[0]

    assert first("∞ 中 times, “naïve” — Dvořák’s") == (
        "% pdflatex cannot set ∞ 中; use XeLaTeX or LuaLaTeX, with a font that has them."
    )
    assert first("“naïve” — Dvořák’s").startswith(f"% {MADE.source}. ")


def test_latex_marks_the_best_and_the_second_of_each_scale(cells):
    lines = [line for line in report.render(MADE, cells, "tex").splitlines() if r"$\times$3" in line]
    assert [(r"\textbf{34.60}" in x, r"\underline{34.50}" in x) for x in lines] == [
        (False, True), (False, False), (True, False),
    ]  # fmt: skip
    assert "& 110.03$^\\dagger$ &" in lines[2]  # fewest multiply-adds of those measured, but not all counted
    assert r"\underline{268.24}$^a$" in lines[0]
    assert r"\textcolor{gray}{\textbf{101.6}} & -- &" in lines[1]  # of which nothing was measured: ranked as printed


def test_every_format_marks_the_same_figures(cells):
    marks = {
        "md": r"(\*\*|<ins>)~?([\d.]+)",
        "html": r"<(b|u)>~?([\d.]+)",
        "tex": r"\\(textbf|underline)\{[^\d}]*([\d.]+)",
    }
    best = ("**", "b", "textbf")
    found = {f: re.findall(mark, report.render(MADE, cells, f)) for f, mark in marks.items()}
    md, html, tex = ([(mark in best, figure) for mark, figure in found[f]] for f in marks)
    assert (True, "101.6") in tex  # printed, in a column that has something beside it
    assert md == html == tex


def test_latex_says_below_the_table_what_its_marks_mean(cells):
    foot = report.render(MADE, cells, "tex").split(r"\bottomrule")[1]
    assert r"$^a$ fvcore+ceil; $^\dagger$ the convention left" in foot
    assert r"$\sim$ an estimate, not measured.}" in foot


@pytest.mark.parametrize("format", ["md", "html", "tex"])
def test_a_figure_of_a_disturbed_machine_is_marked_and_below_the_table_it_is_said_why(cells, format):
    first, *rest = cells
    assert "‡" not in report.render(MADE, cells, format)
    text = report.render(MADE, [replace(first, disturbed=("others kept 1 of 2 cores busy",)), *rest], format)
    mark, figure = (r"$^\ddagger$", "591.98") if format == "tex" else ("‡", "591.98")
    assert f"{figure}{mark}" in text.replace("}", "")
    assert f"{mark} taken on a machine that was busy with something else or held its clocks down" in text
    assert ("others kept 1 of 2 cores busy" in text) == (format != "tex")


# --- HTML


class Page(HTMLParser):
    """Reads a page as strictly as a browser does not."""

    VOID = ("meta", "link", "br", "img", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.tags, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


OF_EACH_KIND = {f.id: f for f in {f.kind: f for f in papers.FIGURES.values()}.values()}
"""One figure of each kind: all of them, in three formats, would take their time and show nothing new."""


@pytest.fixture(scope="module")
def measured(make_record, tmp_path_factory):
    """A folder of records that fill some cells of several tables."""
    folder = tmp_path_factory.mktemp("records")
    names = [f"{model}-x{scale}" for model in ("esc-light", "hit-srf") for scale in (2, 3, 4)]
    with store.Writer(folder) as writer:
        writer.append([make_record("esc-x4"), make_record("esc-x4", "macs", values=(149_190_176_000,))])
        writer.append([make_record(name, "macs", values=(int(name[-1]),)) for name in names])
    return folder


@pytest.fixture(scope="module")
def written(measured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(papers, "FIGURES", OF_EACH_KIND)
        read = [judge.read(table, measured) for table in papers.TABLES]
        paths = report.write(read, store.read(measured).newest(), folder)
    return folder, paths


def test_html_is_balanced_and_has_an_entry_for_each_column_in_each_row(cells):
    page = Page(report.render(MADE, cells, "html"))
    assert len(page.rows) == 1 + len(MADE.rows)
    assert len(set(page.rows)) == 1
    assert AWKWARD in page.text
    assert "<b>" not in "".join(tag for tag, _ in page.tags)
    assert any("failed: Error: <broken> & |" in (a.get("title") or "") for _, a in page.tags)


def test_the_page_says_what_its_marks_mean(cells):
    text = Page(report.render(MADE, cells, "html")).text
    assert "† the convention left operators of weight uncounted" in text
    assert "left out: selective_scan." in text
    for verdict in ("reproduced", "explained", "planned", "differs", "not measured"):
        assert f"{layout.MARKS[verdict]} {verdict}" in text


def test_a_fragment_is_the_bare_table(cells):
    page = Page(report.show(MADE, cells).data)
    assert [t for t, _ in page.tags][:2] == ["style", "table"]
    assert len(set(page.rows)) == 1


# --- what is written

WRITE = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # an import of it fails
from workbench import judge, papers, report, store
from workbench.report import plots
papers.FIGURES = {f.id: f for f in {f.kind: f for f in papers.FIGURES.values()}.values()}
plots.FORMATS = ("png", "svg")  # test_figures.py looks at a PDF
known = store.read(Path(sys.argv[1])).newest()
report.write([judge.read(table, sys.argv[1]) for table in papers.TABLES], known, sys.argv[2])
"""


@pytest.mark.parametrize("table", papers.TABLES)
def test_every_format_and_figure_is_written_and_named(written, table):
    folder, paths = written
    names = {str(p.relative_to(folder)) for p in paths}
    assert names == {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert {f"tables/{table}.{f}" for f in ("md", "csv", "tex", "html")} < names
    for figure in (f for f in OF_EACH_KIND.values() if f.table == table):
        assert {f"figures/{figure.id}.{format}" for format in ("pdf", "png", "svg")} < names
    assert "report/index.html" in names


def test_pictures_are_pictures(written):
    folder, _ = written
    for path in (folder / "figures").iterdir():
        content = path.read_bytes()
        if path.suffix == ".svg":
            assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"
            assert (b"ESC" if "esc" in path.name else b"HiT-SNG") in content  # text stays text
        else:
            assert content.startswith({".png": b"\x89PNG", ".pdf": b"%PDF"}[path.suffix])
        assert len(content) > 5000


def test_a_picture_has_a_point_for_each_figure_that_was_compared_and_shows_its_verdict(make_record):
    published = papers.TABLES["esc-table2"]
    records = (
        make_record("esc-x4", values=(967_500,)),
        make_record("esc-x4", "macs", values=(149_190_176_000,)),
        make_record("esc-light-x4", "macs", values=(1,)),
        make_record("esc-x2", "macs", status="failed", reason="x"),
    )
    cells = judge.judge(published, store.Contents(records, ()).newest())
    panels = plots.draw(report.figures(published)[0], published, cells).axes
    assert [p.get_title(loc="left") for p in panels] == ["×4"]
    points = [[line for line in p.lines if line.get_marker() != "None"] for p in panels]
    assert list(map(len, points)) == [sum(c.difference is not None for c in cells)]
    crossed = [p for p in points[0] if p.get_marker() == "x"]
    assert [round(p.get_xdata()[0]) for p in crossed] == [-100]
    assert sum(p.get_markerfacecolor() == "white" for p in points[0]) == len(crossed)


def test_the_same_records_give_the_same_bytes_without_torch(measured, written, tmp_path, python, monkeypatch):
    """As in this process, whose order of sets is another."""
    monkeypatch.setenv("PYTHONHASHSEED", "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1")
    assert python(WRITE, measured, tmp_path).err == ""
    one, other = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".pdf"}
        for folder in (written[0], tmp_path)
    )
    assert one.keys() == other.keys()
    assert {str(p) for p in one if one[p] != other[p]} == set()
    assert {p.suffix for p in one} >= {".svg", ".png", ".tex", ".html"}


# --- how a figure is written


@pytest.mark.parametrize(
    ("printed", "measured", "shown"),
    [
        ("267.6", 267.61286016, "267.61"),
        ("953", 955.383, "955.4"),
        ("0.9340", 0.93395, "0.93395"),
        (None, 1.25, "1.25"),
    ],
)
def test_a_measured_figure_has_one_digit_more_than_is_printed(cells, printed, measured, shown):
    cell = replace(cells[0], printed=printed, measured=measured)
    assert layout.measured(cell) == shown
    assert layout.measured(replace(cell, uncounted=("selective_scan",))) == shown + "†"
    assert layout.measured(replace(cell, measured=None)) == "–"
    assert layout.measured(replace(cell, measured=None, estimate=measured)) == "~" + shown
    assert layout.lean(replace(cell, lean=measured)) == "~" + shown


@pytest.mark.parametrize(
    ("reported", "measured", "shown"),
    [(100.0, 100.0, "0"), (100.0, 100.004, "0"), (100.0, 101.0, "+1.00 %"), (100.0, 99.0, "−1.00 %"), (None, 1.0, "–")],
)
def test_a_difference_is_in_per_cent_and_nothing_where_there_is_none(cells, reported, measured, shown):
    assert layout.difference(replace(cells[0], reported=reported, measured=measured)) == shown


def test_a_table_with_megabytes_says_how_many_bytes_one_has(example):
    table, cells = judge.read("esc-table2", example)
    for format in ("md", "html"):
        assert "MB as papers and torch print it: 2**20 bytes, a MiB." in report.render(table, cells, format)
    other, cells = judge.read("hitsr-efficiency", example)
    assert layout.megabytes(other) == []
