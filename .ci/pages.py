"""What the code knows, put into the pages of docs/ while mkdocs builds them: such parts cannot be stale.

A page has `<!-- made: commands -->` where a part belongs; mkdocs.yml names this file as its hook.
"""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from workbench import cli, devices, judge, models, papers, probes, protocols
from workbench.images.metrics import SPACES

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "results" / "readme"
MARK = re.compile(r"^<!-- made: (\w+) -->$", re.MULTILINE)


def rows(head: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """A table in Markdown; a bar within code ends no cell there, and a backslash before it would be seen."""
    head = list(head)
    cells = [[re.sub(r"(`[^`]*`)|\|", lambda bar: bar[1] or "&#124;", str(entry)) for entry in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *cells))


def code(text: object) -> str:
    return f"`{text}`"


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command, or those that it consists of: `data add`."""
    for inner, each in getattr(command, "commands", {"": command}).items():
        yield f"{name} {inner}".strip(), each


def commands() -> str:
    """Every command of the program: what it does, how it is called, its arguments and options."""
    parts = []
    for name, top in typer.main.get_command(cli.app).commands.items():
        for path, command in leaves(name, top):
            with command.make_context(f"workbench {path}", [], resilient_parsing=True) as context:
                usage = " ".join([f"workbench {path}", *command.collect_usage_pieces(context)])
                told = [(p.param_type_name, p.get_help_record(context)) for p in command.params]
            texts = [f"## `{path}`", sentences(command.help), f"```text\n{usage}\n```"]
            known = [(code(written(record[0], kind)), sentences(record[1])) for kind, record in told if record]
            texts += [rows(["argument or option", "what"], known)] if known else []
            parts.append("\n\n".join(texts))
    return "\n\n".join(parts)


def written(option: str, kind: str) -> str:
    """How an option is written; what of an argument follows its name is its type, which says nothing."""
    return option.partition(" <")[0] if kind == "argument" else re.sub(r"<list\[(\w+)\]>", r"<\1>", option)


def exits() -> str:
    """What exit codes mean, as README has it."""
    told = re.search(r"^Exit codes: .*?(?=\n\n)", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert told is not None, "README says no more what exit codes mean"
    return told[0]


def sentences(text: str | None) -> str:
    """Help as one paragraph of Markdown, in which nothing is a tag or a mark."""
    plain = " ".join((text or "").split()).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[*_\[\]]", r"\\\g<0>", plain)


def ways() -> str:
    """The protocols."""
    return rows(["protocol", "what it is"], ((code(p.name), p.title) for p in protocols.PROTOCOLS.values()))


def modifiers() -> str:
    """The modifiers, and what of a protocol each sets."""
    listed = []
    for m in protocols.MODIFIERS.values():
        sets = (f"`{part}.{key}` = `{value}`" for part, changes in m.parts().items() for key, value in changes.items())
        listed.append((code(f"+{m.name}"), m.title, ", ".join(sets)))
    return rows(["modifier", "what changes", "sets"], listed)


def quantities() -> str:
    """The probes: unit, version, parts of a protocol that they read."""
    lines = []
    for p in probes.PROBES.values():
        said = [
            f"that of `{p.across}` under every protocol that could have made a printed figure" if p.across else "",
            "runs the network" if p.real else "",
            "of this machine" if p.timed else "",
            "in a fresh process" if p.apart else "",
        ]
        lines.append((code(p.name), p.unit, p.version, ", ".join(map(code, p.reads)), "; ".join(filter(None, said))))
    return rows(["probe", "unit", "version", "reads", "how"], lines)


def verdicts() -> str:
    """The words for what a printed figure turned out to be."""
    return rows(["verdict", "said of a cell that is"], judge.VERDICTS.items())


def tables() -> str:
    """The published tables."""
    listed = (
        (code(t.id), t.source, t.title, code(t.protocol), ", ".join(c.title for c in t.columns), len(t.rows))
        for t in papers.TABLES.values()
    )
    return rows(["table", "where", "what", "protocol", "columns", "rows"], listed)


def figures() -> str:
    """The figures that are drawn from them."""
    return rows(
        ["figure", "of", "kind", "what"],
        ((code(f.id), code(f.table), f.kind, f.title) for f in papers.FIGURES.values()),
    )


def cards() -> str:
    """The devices that lower bounds are computed for."""
    return rows(["device", "what", "source"], ((code(d.name), d.title, d.source) for d in devices.DEVICES.values()))


def measures() -> str:
    """What is said of attention maps and features."""
    from workbench.attention.measures import MEASURES  # which costs an import of torch

    lines = ((code(m.name), m.title, m.unit, "two layers" if m.pair else "one layer") for m in MEASURES.values())
    return rows(["measure", "what", "unit", "of"], lines)


def spaces() -> str:
    """The ways to look at a colour image."""
    return rows(["space", "what is compared"], ((code(s.name), s.title) for s in SPACES.values()))


def ablations() -> str:
    """The names of networks with one idea turned."""
    return ", ".join(code(name) for name in dict.fromkeys(v.model for v in models.ABLATED.values()))


def networks() -> str:
    """The catalogue, as README has it."""
    return str(runpy.run_path(str(ROOT / ".ci" / "readme.py"))["catalogue"]())


def summary() -> str:
    """How many printed figures got which verdict, as README has it."""
    kept: Mapping[str, Any] = json.loads((ROOT / "tests" / "verdicts.json").read_text())
    return str(runpy.run_path(str(ROOT / ".ci" / "readme.py"))["summary"](kept))


PARTS: Mapping[str, Callable[[], str]] = {
    part.__name__: part
    for part in (
        commands,
        exits,
        ways,
        modifiers,
        quantities,
        verdicts,
        tables,
        figures,
        cards,
        measures,
        spaces,
        ablations,
        networks,
        summary,
    )
}
"""What can stand in a page, by the name it is asked for."""


def filled(text: str) -> str:
    """A page with its parts made."""
    return MARK.sub(lambda found: PARTS[found[1]](), text)


# --- what mkdocs calls


def on_page_markdown(markdown: str, **_: Any) -> str:
    return filled(markdown)


def on_files(files: Any, config: Any) -> Any:
    """README's two figures are the pages' too."""
    from mkdocs.structure.files import File

    for path in sorted(PICTURES.glob("*.svg")):
        files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files
