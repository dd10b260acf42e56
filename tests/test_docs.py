"""The documents: what they tell a reader to type works, what they show is printed, what they name is there."""

import itertools
import os
import re
import runpy
import shlex
import subprocess

import pytest
import typer

from workbench import cli, environment, execute, models, store
from workbench.own import references
from workbench.review import stated

ROOT = environment.SOURCE
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [*sorted(p for p in (*ROOT.glob("*.md"), *ROOT.glob("results/*.md"))), *PAGES]
GUIDES = [ROOT / "README.md", *PAGES]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()

MANY = 3
"""More variants than this are too many to measure here; the command is parsed and its names are resolved."""


CONSOLE = ("console", "sh", "bash", "shell")
BLOCK = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def lines(block):
    """The lines of a block; one that ends in a backslash goes on."""
    return [line.removeprefix("$ ").strip() for line in block.replace("\\\n", " ").splitlines()]


def fenced(text, *languages):
    """The lines of a text's fenced blocks in any of the languages."""
    return [line for language, _, block in BLOCK.findall(text) if language in languages for line in lines(block)]


def titled(text):
    """The files that a text tells its reader to write: by name, their content."""
    return {title: block for _, title, block in BLOCK.findall(text) if title}


def words(line):
    """The words of a command, up to a pipe, a redirection, a second command or a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if set(word) <= set("|&;<>"):
            break
        found.append(word)
    return found


def commands(text):
    """Every `workbench ...` that a text tells its reader to type, without the name of the program."""
    typed = [words(line) for line in fenced(text, *CONSOLE)]
    return [w[1:] for w in typed if w and w[0].rpartition("/")[2] == "workbench"]


def answers(text):
    """What a text shows right below a block of one command: the lines, by the command."""
    found = {}
    blocks = list(BLOCK.finditer(text))
    for asked, shown in itertools.pairwise(blocks):
        typed = commands(asked[0])
        if len(typed) == 1 and shown[1] == "text" and not text[asked.end() : shown.start()].strip():
            found[tuple(typed[0])] = shown[3].splitlines()
    return found


def missing(shown, out):
    """The lines shown that an output has not, in their order; "..." in one stands for anything."""
    there = iter(out.splitlines())
    patterns = [".*".join(map(re.escape, line.split("..."))) for line in shown if line.strip() != "..."]
    return [p for p in patterns if not any(re.fullmatch(p, line.rstrip()) for line in there)]


def targets(text):
    """Every `make ...` in a text, in blocks or in code spans."""
    spans = re.findall(r"`([^`\n]+)`", text) + fenced(text, *CONSOLE)
    made = [words(s) for s in spans if s.startswith("make ")]
    return {word for typed in made for word in typed[1:] if re.fullmatch("[a-z]+", word)}


def parsed(typed):
    """The command and its options as the command line reads them, nothing run."""
    name, *rest = typed
    command = typer.main.get_command(cli.app).commands[name]
    while hasattr(command, "commands"):  # `workbench data add`
        command, rest = command.commands[rest[0]], rest[1:]
    return name, command.make_context(name, rest).params


# --- README's commands


def test_the_reader_of_commands_reads_commands():
    text = "\n".join(
        [
            "```console",
            "$ workbench table a --format \\",
            "md | head -3  # look",
            ".venv/bin/workbench variants > list.txt",
            "make test && workbench tables",
            "```",
            "```python",
            "workbench = 1",
            "```",
            "`make lint` makes `workbench/spec.py`",
        ]
    )
    assert commands(text) == [["table", "a", "--format", "md"], ["variants"]]
    assert targets(text) == {"test", "lint"}


def test_the_readme_opens_with_the_two_commands_and_shows_the_others():
    lines = [line for line in fenced(README, *CONSOLE) if line]
    assert lines[:2] == ["make reproduce", "make test"]
    assert {typed[0] for typed in commands(README)} >= {"variants", "measure", "table", "reproduce", "doctor"}


FILES = {name: content for page in GUIDES for name, content in titled(page.read_text()).items()}
"""What README and the pages tell a reader to write."""

COMMANDS = {tuple(typed): None for page in GUIDES for typed in commands(page.read_text())}
"""Every command of README and the pages, each once."""

ANSWERS = {typed: shown for page in GUIDES for typed, shown in answers(page.read_text()).items()}


def a_reader_s_own(folder):
    """The files that commands take for a reader's own."""
    for name, content in FILES.items():
        (folder / name).write_text(content)
    (folder / "windows.py").write_text((ROOT / "tests" / "windowed.py").read_text())
    (folder / "mypkg").mkdir()
    (folder / "mypkg" / "mymodel.py").write_text("from net import Net as build\n")


def why_not(typed, name, options, variants):
    """Why a command is not run here, having been parsed: its own tests run what takes its time; None where it is.

    What a page shows the answer of is run in any case.
    """
    if typed in ANSWERS:
        return None
    if name in ("reproduce", "compare", "ablate", "share", "field", "fits", "diff", "review") or "latency" in typed:
        return "takes its time"
    if "--on" in typed:
        return "needs a cluster"
    if (name == "explain" and not options["cell"]) or (name == "attention" and not options["measure"]):
        return "takes its time"
    if name in ("upscale", "crops") or tuple(typed[:2]) in (("data", "add"), ("weights", "add")) or "quality" in typed:
        return "needs data that is not here"
    if tuple(typed[:2]) == ("weights", "fetch"):
        return "downloads"
    return "more variants would show nothing new" if len(variants) > MANY else None


@pytest.mark.parametrize("typed", COMMANDS, ids=shlex.join)
def test_a_command_does_what_it_says(workbench, example, tmp_path, monkeypatch, typed):
    name, options = parsed(typed)  # which fails if it could not be typed
    named = options.get("names") if name not in ("data", "weights") else None
    variants = [v.name for v in execute.resolve([n for n in named or [] if references.parse(n) is None])]
    if why := why_not(typed, name, options, variants):
        pytest.skip(f"parsed, its names resolved, and not run: {why}")
    a_reader_s_own(tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in example.iterdir():
        (tmp_path / line.name).write_bytes(line.read_bytes())
    if name == "import":
        workbench("export", "lab.zip", "--records", example)
    records = () if "records" not in options else ("--records", tmp_path)
    assert options.get("records") is None
    data = () if "data" not in options else ("--data", tmp_path / "data")
    results = () if "results" not in options else ("--results", tmp_path)
    ran = workbench(*typed, *records, *data, *results)
    assert ran.code == 0, ran.err
    assert ran.out
    assert missing(ANSWERS.get(typed, ()), ran.out) == []


def test_what_is_shown_is_held_against_what_is_printed():
    shown = answers("```console\nworkbench tables\n```\n\n```text\na  ...\n...\nc\n```\n")
    assert shown == {("tables",): ["a  ...", "...", "c"]}
    assert missing(shown["tables",], "a  1\nb\nc  \n") == []
    assert missing(shown["tables",], "c\na  1\n") == ["c"]  # in their order
    assert missing(["a (1)"], "a (2)") == [r"a\ \(1\)"]
    assert answers("```console\nworkbench tables\n```\nIt prints:\n```text\na\n```\n") == {}
    assert len(ANSWERS) >= 4


def test_the_claims_that_are_shown_are_all_of_one_s_own_that_can_be_made(tmp_path):
    a_reader_s_own(tmp_path)
    assert [c.of for c in stated.read(tmp_path / "claims.toml", 4)] == ["params", "flops", "memory", "latency"]


def test_no_file_is_told_in_two_ways():
    told = [(name, content) for page in GUIDES for name, content in titled(page.read_text()).items()]
    assert len(dict(told)) == len(set(told))
    assert {"net.py", "ours.csv"} <= FILES.keys()


@pytest.mark.parametrize("path", GUIDES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_within_sentences_can_be_typed(path):
    spans = re.findall(r"`workbench ([a-z][^`\n]*)`", BLOCK.sub("", path.read_text()))
    for typed in (words(span.replace("\\|", "|")) for span in spans):
        if "..." not in typed and not any(word.isupper() for word in typed):
            parsed(typed)


@pytest.mark.parametrize("path", [p for p in GUIDES if "```python" in p.read_text()], ids=lambda p: p.stem)
def test_python_in_a_page_runs(monkeypatch, tmp_path, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "default", lambda: tmp_path)
    monkeypatch.setattr(models, "load_checkpoint", lambda model, path: None)  # whose file is not at hand
    blocks = [block for language, _, block in BLOCK.findall(path.read_text()) if language == "python"]
    exec(compile("\n".join(blocks), path.name, "exec"), {"__name__": "a_page"})


def test_commands_named_in_the_table_of_the_readme_are_all_there_are():
    listed = re.findall(r"^\| (`[a-z].*?) \|", README, re.MULTILINE)
    named = {re.match("[a-z]+", span)[0] for entry in listed for span in re.findall(r"`([^`]+)`", entry)}
    there = set(typer.main.get_command(cli.app).commands)
    assert there <= named


def test_the_readme_s_catalogue_is_the_one_that_make_readme_writes():
    written = README.partition("<!-- catalogue -->\n")[2].partition("\n<!-- end of catalogue -->")[0]
    assert written == runpy.run_path(str(ROOT / ".ci" / "readme.py"))["catalogue"]()


# --- make


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_targets_that_are_named_are_there(path):
    assert targets(path.read_text()) <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_bare_make_lists_the_targets():
    fresh = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    listed = subprocess.run(
        ["make"], cwd=ROOT, env=fresh, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    assert [line.split()[:2] for line in listed] == [["make", target] for target in phony]
    assert {"reproduce", "test", "lint", "lab", "clean"} <= set(phony)


def test_ci_runs_what_a_contributor_runs():
    assert {"make test", "make lint"} <= set((ROOT / ".ci" / "run").read_text().splitlines())


# --- links and paths


def anchors(path):
    """What a link may name of a document, as GitHub and mkdocs both make it of its headings."""
    heads = re.findall(r"^#+ (.*)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", path.read_text())
    for link in links:
        if "://" in link or link.startswith("mailto:") or "pictures/" in link:  # which .ci/pages.py puts there
            continue
        name, _, anchor = link.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), link
        if anchor and "<!-- made:" not in there.read_text():  # headings that are made are seen by mkdocs --strict
            assert anchor in anchors(there), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_are_named_are_there(path):
    named = re.findall(r"`((?:workbench|tests|notebooks|\.ci)/[\w./-]*)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_document_is_looked_at():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "docs/howto/latency.md"} <= {
        str(p.relative_to(ROOT)) for p in DOCUMENTS
    }
