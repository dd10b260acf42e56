"""The documents: what they tell a reader to type works, what they name is there, every dependency has its reason."""

import os
import re
import runpy
import shlex
import subprocess
import tomllib
from importlib import metadata

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workbench import cli, environment, execute, models
from workbench.own import references

ROOT = environment.SOURCE
DOCUMENTS = sorted(p for p in (*ROOT.glob("*.md"), *ROOT.glob("*/*.md")) if not p.parent.name.startswith("."))
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}

MANY = 6
"""More variants than this are too many to measure here; the command is parsed and its names are resolved."""


def fenced(text, *languages):
    """The lines of a text's fenced blocks in any of the languages; a line that ends in a backslash goes on."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(block for language, block in blocks if language in languages).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").strip() for line in lines]


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
    typed = [words(line) for line in fenced(text, "console", "sh", "bash", "shell")]
    return [w[1:] for w in typed if w and w[0].rpartition("/")[2] == "workbench"]


def targets(text):
    """Every `make ...` in a text, in blocks or in code spans."""
    spans = re.findall(r"`([^`\n]+)`", text) + fenced(text, "console", "sh", "bash", "shell")
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
    lines = [line for line in fenced(README, "console", "sh", "bash", "shell") if line]
    assert lines[:2] == ["make reproduce", "make test"]
    assert {typed[0] for typed in commands(README)} >= {"variants", "measure", "table", "reproduce", "doctor"}


def a_reader_s_own(folder):
    """The files that the README's commands take for a reader's own."""
    (folder / "mypkg").mkdir()
    (folder / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, scale, dim=8):\n"
        "        ends = nn.Conv2d(3, dim, 3, padding=1), nn.Conv2d(dim, 3 * scale**2, 3, padding=1)\n"
        "        super().__init__(*ends, nn.PixelShuffle(scale))\n"
    )
    (folder / "mypkg" / "mymodel.py").write_text("from net import Net as build\n")


@pytest.mark.parametrize("typed", commands(README), ids=shlex.join)
def test_a_command_of_the_readme_does_what_it_says(workbench, example, tmp_path, monkeypatch, typed):
    name, options = parsed(typed)  # which fails if it could not be typed
    named = options.get("names") if name not in ("data", "weights") else None
    catalogue = [n for n in named or [] if references.parse(n) is None]
    if any(references.parse(word) for word in typed if ":" in word and not word.startswith("git:")):
        a_reader_s_own(tmp_path)
        monkeypatch.chdir(tmp_path)
    variants = [v.name for v in execute.resolve(catalogue)]
    slow = name == "explain" and options.get("name") and not options["cell"]
    if (
        name in ("reproduce", "compare", "ablate", "share", "field", "upscale", "crops", "leaderboard", "diff")
        or typed[:2] in (["data", "add"], ["weights", "add"], ["weights", "fetch"])
        or "quality" in typed
        or "latency" in typed
        or len(variants) > MANY
        or slow
    ):
        return  # parsed; their own tests run what takes its time, and more variants would show nothing new
    for line in example.iterdir():
        (tmp_path / line.name).write_bytes(line.read_bytes())
    if name in ("export", "import"):
        monkeypatch.chdir(tmp_path)
        workbench("export", "lab.zip", "--records", example)
    records = () if "records" not in options else ("--records", tmp_path)
    assert options.get("records") is None
    data = () if "data" not in options else ("--data", tmp_path / "data")
    results = () if "results" not in options else ("--results", tmp_path)
    ran = workbench(*typed, *records, *data, *results)
    assert ran.code == 0, ran.err
    assert ran.out


def test_the_readme_s_python_runs(monkeypatch):
    monkeypatch.setattr(models, "load_checkpoint", lambda model, path: None)  # whose file is not at hand
    block = "\n".join(fenced(README, "python"))
    assert "models.create(" in block
    exec(compile(block, "README.md", "exec"), {})


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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", path.read_text())
    local = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_are_named_are_there(path):
    named = re.findall(r"`((?:workbench|tests|notebooks|\.ci)/[\w./-]*)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_document_is_looked_at():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md"} <= {
        str(p.relative_to(ROOT)) for p in DOCUMENTS
    }


# --- dependencies


REQUIRED = [r for requirements in (PROJECT["dependencies"], *EXTRAS.values()) for r in requirements]
ALL = {canonicalize_name(Requirement(r).name) for r in REQUIRED}


def test_every_dependency_has_its_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1]
    told = dict(re.findall(r'^ +"([^"]+)", +# (\S.*)$', block, re.MULTILINE))
    assert list(told) == PROJECT["dependencies"]


def test_every_dependency_has_its_row_in_contributing():
    rows = re.findall(r"^\| ([\w, -]+) \| ", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    told = {canonicalize_name(name) for row in rows for name in row.split(", ")}
    assert ALL - told == set()


def test_every_dependency_is_pinned():
    assert PINS["torch"] == "2.13.0"
    assert ALL - PINS.keys() == set(), "make lock pins them"


def test_what_dependencies_depend_on_is_pinned_too():
    """By what is installed here. What a package pins itself, as torch does its CUDA libraries, needs no pin of ours."""
    todo = [Requirement(r) for r in (*PROJECT["dependencies"], *EXTRAS["dev"])]
    seen = set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        assert name in PINS, f"{name} is not in constraints.txt; make lock writes it"
        needs = [Requirement(r) for r in metadata.requires(name) or ()]
        for need in needs:
            asked = any(need.marker.evaluate({"extra": e}) for e in ("", *wanted.extras)) if need.marker else True
            exact = any(s.operator == "==" and "*" not in s.version for s in need.specifier)
            if asked and not (exact and canonicalize_name(need.name) not in PINS):
                todo.append(need)
    assert len(seen) > len(PROJECT["dependencies"])


def test_nothing_is_pinned_to_a_local_build():
    assert not [pin for pin in PINS.items() if "+" in pin[1]]
