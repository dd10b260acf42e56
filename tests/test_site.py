"""The report as a site: links lead somewhere inside it, each cell to its record; a browser complains of nothing."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import browser
import pytest

from workbench import judge, known, papers, report, store
from workbench.published import Row
from workbench.report import frame, html, raw
from workbench.report.site import pictures

TABLE = papers.TABLES["esc-table2"]
STRANGE = "<script>alert(1)</script>"
VOID = ("meta", "link", "br", "img", "hr", "input")


class Page(HTMLParser):
    """A page as a strict reader has it: tags in balance, names of anchors, references, text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []
        self.anchors = [a["id"] for _, a in self.tags if "id" in a]
        self.references = [a[n] for _, a in self.tags for n in ("href", "src", "srcset", "data", "action") if n in a]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data


def astray(folder):
    """Every reference of a folder's pages that leads to nothing inside it."""
    pages = {p: Page(p.read_text()) for p in folder.glob("*.html")}
    lost = []
    for path, page in pages.items():
        for reference in page.references:
            if reference.startswith("data:"):
                continue
            name, _, anchor = reference.partition("#")
            target = (path.parent / unquote(name)).resolve() if name else path
            inside = folder.resolve() in target.parents and target.is_file()
            if not inside or (anchor and anchor not in pages[target].anchors):
                lost.append((path.name, reference))
    return lost


@pytest.fixture(autouse=True, scope="module")
def _two_figures():
    """Of the table's five: a site does not tell its drawings apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(papers, "FIGURES", {n: papers.FIGURES[n] for n in ("esc-table2-agreement", "esc-params")})
        yield


@pytest.fixture(scope="module")
def site(make_record, tmp_path_factory):
    """A site of two tables: one with records of most kinds and a method of an awkward name, one with none."""
    names = ("esc-x2", "omnisr-x2", "rcan-x2", "swinir-light-x2", "esc-x4")
    rows = [r for r in TABLE.rows if r.variant in names]
    table = replace(TABLE, rows=(*rows, Row(STRANGE, 4, "esc-fp-x4", {"flops_g": "60.8", "params_k": "539"})))
    records = (
        make_record("esc-x2", "macs", values=(591_983_033_600,)),
        make_record("omnisr-x2", "macs", values=(190_000_000_000,), machine=STRANGE),
        make_record("rcan-x2", "macs", values=(3_600_000_000_000,)),
        make_record("esc-x2", values=(946_728,)),
        make_record("esc-x4", values=(967_500,), environment={"commit": "0123456789abcdef", "dirty": True}),
        make_record("esc-x2", "planned-memory", "esc+flex", values=(871_866_880,)),
        make_record("esc-x2", "planned-memory", "esc+flex+lean", values=(860_000_000,)),
        make_record("esc-fp-x4", "macs", status="failed", reason=f"Error: {STRANGE}"),
        make_record("esc-x2", "latency", "cpu", values=tuple(0.5 + 0.001 * i for i in range(30))),
    )
    newest = store.Contents(records, ()).newest()
    folder = tmp_path_factory.mktemp("results")
    (folder / "figures").mkdir()
    (folder / "figures" / "of-another-study.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8) + bytes([0, 0, 0, 9] * 2))
    judged = [(t, judge.judge(t, newest)) for t in (table, papers.TABLES["esc-table7"])]
    written = report.write(judged, newest, folder)
    return folder / "report", judged[0][1], written


@pytest.fixture(scope="module")
def pages(site):
    return {p.name: Page(p.read_text()) for p in site[0].glob("*.html")}


# --- links


def test_every_reference_leads_somewhere_inside_the_folder(site):
    assert astray(site[0]) == []


def test_the_test_above_would_see_one_that_does_not(tmp_path):
    (tmp_path.parent / "beside.html").write_text("")
    for text in (
        '<img src="https://example.org/x.png">',
        '<link rel="stylesheet" href="style.css">',
        '<a href="../beside.html"></a>',
        '<a href="#nowhere"></a>',
        '<a href="a.html#nowhere"></a>',
        '<a href="/etc/passwd"></a>',
    ):
        (tmp_path / "a.html").write_text(f'<p id="here"></p>{text}')
        assert len(astray(tmp_path)) == 1, text
    (tmp_path / "a.html").write_text('<p id="here"></p><a href="#here"></a><a href="a.html#here"></a>')
    assert astray(tmp_path) == []


def test_in_a_cell_bold_is_the_best_and_nothing_else():
    style = frame.page("", "").partition("</style>")[0] + html.COLOURS
    heavy = re.findall(r"([^{}]*)\{[^{}]*font-weight: (?:6|7|bold)", style)
    assert heavy
    verdicts = [rule for rule in ", ".join(heavy).split(",") if re.search("differs|contradicted|suspect", rule)]
    assert all(rule.strip().startswith("span.") for rule in verdicts)


def test_styles_fetch_nothing():
    assert not re.search(r"@import|url\(|https?:", frame.page("", "").partition("</style>")[0])


def test_every_page_is_reached_from_the_front_and_leads_back(pages):
    linked = {r.partition("#")[0] for r in pages["index.html"].references}
    assert set(pages) <= linked
    assert all("index.html" in page.references for page in pages.values())
    assert set(pages) == {
        "index.html", "esc-table2.html", "esc-table7.html", "claims.html", "audit.html", "figures.html",
        "latency.html", "records.html",
    }  # fmt: skip


def test_no_anchor_is_there_twice(pages):
    assert [name for name, page in pages.items() if len(page.anchors) != len(set(page.anchors))] == []


# --- what is said


def test_each_figure_leads_to_the_record_that_gives_it(site, pages):
    folder, cells, _ = site
    text = (folder / "esc-table2.html").read_text()
    for shown, unit in (("591.98", 1e9), ("946.7", 1e3), ("831.5", 2**20)):
        name = re.search(rf'<a href="records\.html#(\w+)">(?:<[bu]>)?{re.escape(shown)}</', text)[1]
        record = next(r for c in cells for r in c.records if raw.anchor(r) == name)
        assert abs(record.value / unit - float(shown)) <= 0.05
        assert name in pages["records.html"].anchors
    failed = next(r for c in cells for r in c.records if r.status == "failed")
    assert f'<a href="{raw.link(failed)}">–</a>' in text


def test_a_table_that_is_sent_alone_has_its_records_with_it(site):
    table, cells = TABLE, site[1]
    page = Page(html.render(table, cells))
    leads = [r for r in page.references if r.startswith("#r")]
    assert leads
    assert {lead[1:] for lead in leads} == {a for a in page.anchors if re.fullmatch(r"r[0-9a-f]{12}", a)}
    assert len(page.anchors) == len(set(page.anchors))
    assert "0123456789ab, with changes that were not committed" in page.text


def test_a_figure_that_a_search_found_leads_to_the_search(site, make_record):
    cell = site[1][0]
    own, search = make_record(values=(10,)), make_record(probe="params-search", values=(10, 12))
    failed = make_record(status="failed", reason="x")
    cell = replace(cell, records=(own, search, failed))
    assert known.giving(cell.records, 0.010, 1e3) is own
    assert known.giving(cell.records, 0.012, 1e3) is search
    assert known.giving(cell.records, 0.013, 1e3) is None
    assert known.giving(cell.records, None, 1e3) is failed


def test_a_record_is_shown_with_protocol_machine_commit_and_samples(pages):
    text = pages["records.html"].text
    for told in (
        "591,983,033,600 count",
        "0123456789ab, with changes that were not committed",
        "a machine",
        "30: 0.5, 0.501",
    ):
        assert told in text
    assert "macs under esc: 591,983,033,600 count" in text


def test_names_are_text_whatever_they_are(site, pages):
    for name, page in pages.items():
        assert sum(tag == "script" for tag, _ in page.tags) == 1, name
    for name in ("esc-table2.html", "records.html", "index.html"):
        assert STRANGE in pages[name].text


def test_an_estimate_is_marked_once(site):
    text = Page((site[0] / "esc-table2.html").read_text()).text
    assert "~831.5" in text
    assert "~~" not in text


def test_the_front_counts_what_the_tables_hold(site, pages):
    total = html.total(replace(TABLE), site[1])
    assert total["reproduced"] == 3
    assert f"{total['reproduced']} reproduced" in pages["index.html"].text
    assert "2 published tables" in pages["index.html"].text
    assert "shown as reported" in pages["index.html"].text


def test_every_finding_of_the_audit_is_listed_and_leads_to_its_row(site, pages):
    found = [f for c in site[1] for f in c.audit]
    rows = [r for r in pages["audit.html"].references if r.startswith("esc-table2.html#row-")]
    assert len(rows) == len(found) > 0


def test_an_empty_store_makes_a_whole_site(tmp_path):
    table = replace(TABLE, rows=TABLE.rows[:2])
    report.write([(table, judge.judge(table, {}))], {}, tmp_path)
    assert astray(tmp_path / "report") == []
    assert "none yet" in (tmp_path / "report" / "index.html").read_text()


def test_a_heavy_drawing_is_shown_as_dots_and_a_raster_is_not_turned_round(tmp_path):
    (tmp_path / "a.svg").write_bytes(b"<svg " + b"x" * pictures.HEAVY)
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "b.svg").write_text('<svg width="72pt" height="36pt"><image/></svg>')
    (tmp_path / "c.svg").write_text('<svg width="72pt" height="36pt"></svg>')
    (tmp_path / "d.pdf").write_text("")
    found = pictures.gather(tmp_path, {"c": "See"})
    assert [(p.name, p.path.suffix, p.drawn, p.size) for p in found.values()] == [
        ("a", ".png", True, None), ("b", ".svg", False, (96, 48)), ("c", ".svg", True, (96, 48)),
    ]  # fmt: skip
    assert found["c"].title == "See"
    assert pictures.gather(tmp_path / "nothing", {}) == {}


# --- in a browser

COLUMN = """
(() => {
  const table = document.querySelector("table.sortable"), head = table.tHead.rows[0].cells[%d];
  const read = () => [...table.tBodies[0].rows].map((row) => row.cells[%d].textContent.trim());
  const seen = [[head.ariaSort, read()]];
  for (let i = 0; i < 3; i++) { head.querySelector("button").click(); seen.push([head.ariaSort, read()]); }
  return seen;
})()
"""
TARGETS = """
(async (names) => {
  const lost = [];
  for (const name of names) {
    location.hash = name;
    await new Promise((done) => setTimeout(done, 0));
    if (document.querySelector(":target")?.id !== name) lost.push(name);
  }
  return lost;
})(%s)
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    binary = browser.find()
    if binary is None:
        pytest.skip(f"no Chromium on this machine: none of {', '.join(browser.NAMES)}")
    with browser.Browser(binary, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.untraced
def test_a_browser_loads_every_page_without_complaint_and_none_is_wider_than_a_phone(site, chromium, tmp_path):
    ways = ((1280, "light"), (1280, "dark"), (400, "light"))
    for path in sorted(site[0].glob("*.html")):
        for width, scheme in ways:
            chromium.open(path.as_uri(), width, scheme=scheme)
            assert chromium.complaints() == [], path.name
            assert chromium.evaluate("document.title").endswith(frame.NAME)
            assert chromium.evaluate("document.documentElement.scrollWidth") <= width, path.name
            assert chromium.evaluate("[...document.images].every(i => i.loading === 'lazy' || i.naturalWidth)")
            chromium.picture(tmp_path / f"{path.stem}-{width}-{scheme}.png")
    assert len(list(tmp_path.glob("*.png"))) == len(ways) * len(list(site[0].glob("*.html")))


@pytest.mark.untraced
def test_the_browser_s_complaints_are_heard(chromium, tmp_path):
    for script in ("console.error('so')", "nothing.at.all", "document.body.append(new Image()).src", "fetch('x:y')"):
        (tmp_path / "a.html").write_text(f"<!doctype html><title>a</title><body><script>{script}</script>")
        chromium.open((tmp_path / "a.html").as_uri())
        assert chromium.complaints(), script


@pytest.mark.untraced
def test_a_browser_follows_every_link(site, pages, chromium):
    wanted = {}
    for name, page in pages.items():
        for reference in (r for r in page.references if not r.startswith(("data:", "tables/"))):  # those it downloads
            file, _, anchor = reference.partition("#")
            wanted.setdefault(file or name, set()).update({anchor} - {""})
    for file, anchors in wanted.items():
        chromium.open((site[0] / file).as_uri())
        if file.endswith(".html"):
            assert chromium.evaluate(TARGETS % json.dumps(sorted(anchors))) == [], file
    assert wanted["records.html"]
    chromium.open((site[0] / "records.html").as_uri())
    assert chromium.evaluate(TARGETS % '["nowhere"]') == ["nowhere"]


@pytest.mark.untraced
def test_columns_sort_by_number_or_by_name_and_come_back(site, chromium):
    chromium.open((site[0] / "esc-table2.html").as_uri())
    heads = chromium.evaluate("[...document.querySelectorAll('th')].map((h) => h.textContent)")

    def number(text):
        return float(re.search(r"-?[\d.]+", text.replace("−", "-"))[0])

    flops = heads.index("FLOPs (G)")
    for at, key in ((0, str.casefold), (flops, number), (flops + 1, number), (flops + 2, number)):
        (none, printed), (up, rising), (down, falling), (last, again) = chromium.evaluate(COLUMN % (at, at))
        assert (none, up, down, last) == (None, "ascending", "descending", None)
        assert printed == again
        told = [t for t in printed if t[-1] != "–"]
        assert len({key(t) for t in told}) > 2
        assert [key(t) for t in rising[: len(told)]] == sorted(map(key, told))
        assert [key(t) for t in falling[: len(told)]] == sorted(map(key, told), reverse=True)
        assert {t[-1] for t in (rising + falling)[len(told) : len(printed)]} <= {"–"}  # what is missing comes last
    assert chromium.complaints() == []
