"""The pages of docs/: everything there is has its place in them, and what is built of them needs no network."""

import importlib.util
import json
import re
import runpy
import subprocess
import sys

import browser
import pytest
import typer
import yaml

from workbench import cli, devices, environment, judge, papers, probes, protocols
from workbench.attention.measures import MEASURES

ROOT = environment.SOURCE
DOCS = ROOT / "docs"
MADE = runpy.run_path(str(ROOT / ".ci" / "pages.py"))
PAGES = sorted(DOCS.rglob("*.md"))
API = (DOCS / "reference" / "api.md").read_text()
FILLED = {page.relative_to(DOCS).as_posix(): MADE["filled"](page.read_text()) for page in PAGES}


def listed(nav):
    """The pages of a navigation, however deep."""
    for entry in nav:
        (inside,) = entry.values()
        yield from [inside] if isinstance(inside, str) else listed(inside)


def commands():
    """Every command as it is typed: `measure`, `data add`."""
    for name, top in typer.main.get_command(cli.app).commands.items():
        yield from (path for path, _ in MADE["leaves"](name, top))


def test_every_page_is_in_the_navigation_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(listed(nav)) == sorted(FILLED)


def test_every_command_and_every_option_is_in_the_reference():
    text = FILLED["reference/cli.md"]
    assert re.findall(r"^## `(.*)`$", text, re.MULTILINE) == list(commands())
    assert "| `--precision FRACTION` | Width of" in text
    assert "workbench data add" in text
    assert "Exit codes: 0 fine; 2 what you can mend" in text


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("reference/protocols.md", [*protocols.PROTOCOLS, *(f"+{m}" for m in protocols.MODIFIERS)]),
        ("reference/probes.md", [*probes.PROBES, *MEASURES]),
        ("reference/tables.md", [*papers.TABLES, *papers.FIGURES, *devices.DEVICES]),
    ],
)
def test_every_name_is_in_the_reference(page, names):
    assert {f"| `{name}` |" for name in names} <= set(re.findall(r"^(\| `[^`]+` \|)", FILLED[page], re.MULTILINE))


def test_every_verdict_is_explained():
    assert {f"| {verdict} |" for verdict in judge.VERDICTS} <= set(
        re.findall(r"^(\| [a-z ]+ \|)", FILLED["explanation/verdicts.md"], re.MULTILINE)
    )


def test_every_protocol_and_modifier_is_explained_and_not_only_listed():
    pages = ("explanation/counting", "explanation/memory", "explanation/timing", "explanation/image-quality")
    pages += ("howto/latency", "howto/figures")
    text = "".join((DOCS / f"{page}.md").read_text() for page in pages)
    told = {name for span in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"[\w-]+", span)}
    alike = protocols.SETS.keys() | devices.DEVICES.keys()  # one sentence tells all of them
    assert (protocols.PROTOCOLS.keys() | protocols.MODIFIERS.keys()) - told - alike == set()


def test_every_count_that_a_table_disputes_is_told():
    """By the kept verdicts of `make readme`: what is not reproduced stands in the page with its printed digits."""
    kept = json.loads((ROOT / "tests" / "verdicts.json").read_text())
    told, open_ones = FILLED["explanation/counting.md"], 0
    for name, columns in kept.items():
        printed = {f"{r.method} x{r.scale}": r.printed for r in papers.TABLES[name].rows}
        for column, unit in (("flops_g", "G"), ("params_k", "K")):
            for row, verdict in columns.get(column, {}).items():
                if verdict not in ("reproduced", "not printed"):
                    open_ones += 1
                    assert f"{printed[row][column]} {unit}" in told, (name, row)
    assert open_ones >= 20


def test_what_is_asked_of_the_code_is_there_and_stays_in_its_cell():
    with pytest.raises(KeyError):
        MADE["filled"]("<!-- made: nothing -->")
    assert MADE["rows"](["a"], [["x|y `x|y`"]]).splitlines()[-1] == "| x&#124;y `x|y` |"
    assert MADE["sentences"]("a <b>\n *c* [d]") == r"a &lt;b&gt; \*c\* \[d\]"
    assert MADE["written"]("NAME <str>", "argument") == "NAME"
    assert MADE["written"]("--probe <list[str]>", "option") == "--probe <str>"
    assert [name for name, text in FILLED.items() if "<!-- made:" in text] == []


# --- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages as `make docs` builds them."""
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("mkdocs is not installed; make docs installs it")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]  # --quiet unsays strict
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_asks_nothing_of_a_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)  # with that of what is not found
    for page in pages:
        tags = re.findall(r"<(?:script|img|iframe|source|link)\b[^>]*>", page.read_text())
        assert [tag for tag in tags if re.search(r"(?:src|href)=\"?(?:https?:)?//", tag)] == []


def test_the_site_has_docstrings_and_what_the_code_knows(site):
    text = (site / "reference" / "api.html").read_text()
    asked = re.findall(r"^::: (\S+)\n(?:    options:\n      members: \[(.*)\]\n)?", API, re.MULTILINE)
    names = {f"{room}.{name}" for room, inside in asked for name in inside.split(", ") if name}
    assert len(names) > 10
    assert {name for name in names if f'id="{name}"' not in text} == set()
    assert "An untrained network in eval mode" in text
    assert "+sdpa" in (site / "reference" / "protocols.html").read_text()
    kinds = set(re.findall(r"\.(language-\w+)", (DOCS / "pages.css").read_text()))
    assert kinds == {"language-console", "language-text"}  # what the style tells apart, the page has to name
    tutorial = (site / "tutorial.html").read_text()
    assert {kind for kind in kinds if f'<div class="{kind} highlight">' not in tutorial} == set()


FOUND = """
new Promise(done => {
  const field = document.querySelector("[data-md-component=search-query]")
  field.focus()
  field.value = "caching allocator"
  field.dispatchEvent(new Event("input", { bubbles: true }))
  field.dispatchEvent(new KeyboardEvent("keyup", { bubbles: true }))
  const look = () => document.querySelector(".md-search-result__link")
  const wait = n => look() || !n ? done(look()?.getAttribute("href") || "") : setTimeout(wait, 100, n - 1)
  wait(100)
})
"""


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_browser_shows_it_from_its_folder_and_finds_words_in_it(site, tmp_path, width, scheme):
    binary = browser.find()
    if binary is None:
        pytest.skip("no chromium on this machine")
    with browser.Browser(binary, tmp_path) as page:
        for name in ("explanation/counting.html", "reference/cli.html", "tutorial.html"):
            page.open((site / name).as_uri(), width, 900, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert page.complaints() == []
        assert "memory.html" in page.evaluate(FOUND)
