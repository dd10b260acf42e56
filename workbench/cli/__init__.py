"""The command line: parses, calls, prints. What a command needs is imported inside the command."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from workbench import interrupts
from workbench.spec import UserError

from . import (
    ablating,
    attending,
    auditing,
    checking,
    completing,
    data,
    drawing,
    listing,
    measuring,
    picturing,
    planning,
    reviewing,
    sharing,
    sweeping,
    tabling,
    travelling,
    weights,
)
from .options import Command

GROUPS = (
    measuring,
    tabling,
    sweeping,
    checking,
    drawing,
    auditing,
    reviewing,
    planning,
    ablating,
    attending,
    sharing,
    picturing,
    data,
    weights,
    travelling,
    listing,
)
"""The files that hold commands, in the order of --help."""

app = typer.Typer(
    help="A workbench for lightweight super-resolution networks: measure them, and check what papers printed.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"color": False},
)

INTERRUPTED = 130  # what typer returns after Ctrl-C


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        from workbench import environment

        try:
            told = f"workbench {version('workbench')}"
        except PackageNotFoundError:
            told = "workbench, imported from its folder and not installed"
        of = environment.commit()
        changed = " with changes" if of["dirty"] else ""
        print(told + (f", commit {of['commit'][:12]}{changed}" if of["commit"] else ""))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print version and commit, and end.")
    ] = False,
) -> None:
    """What is asked of the program and not of a command."""


def _within(name: str, commands: Mapping[str, Command], about: str | None) -> None:
    """Add a command that has commands of its own: `workbench data add`."""
    inner = typer.Typer(help=about, rich_markup_mode=None)
    for each, command in commands.items():
        inner.command(each)(command)
    app.add_typer(inner, name=name)


for _group in GROUPS:
    for _name, _command in _group.COMMANDS.items():
        if isinstance(_command, Mapping):
            _within(_name, _command, _group.ABOUT)
        else:
            app.command(_name)(_command)


def main() -> None:
    """Run a command. Exit codes: 0 fine, 2 what the user can mend (one line), 1 a defect (a traceback)."""
    if sys.stderr is None:  # closed; print would take standard output in its place
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # open for as long as the process lives
    if sys.stdout is None:
        _end("Standard output is closed, so nothing can be told; leave it open, or send it to a file or /dev/null.")
    try:
        code = _run()
        sys.stdout.flush()
    except UserError as error:
        _end(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        if near := getattr(error, "possibilities", None):
            said = f"{said.partition(' (')[0]}. Did you mean {' or '.join(map(repr, near))}?"
        said = said if said.endswith((".", "?", "!")) else f"{said}."
        _end(f"{said} See: {context.command_path if context else 'workbench'} --help")
    except BrokenPipeError:
        _let_go_of_stdout()  # whoever read us has seen enough
        raise SystemExit(0) from None
    except OSError as error:
        if "--install-completion" in sys.argv:
            _end(
                f"Completion cannot be installed: {error.strerror}: {error.filename}. Print it with --show-completion, "
                "and put it where your shell reads it."
            )
        why = None if error.filename else _refusal_of_stdout()
        if why is None:
            raise
        _let_go_of_stdout()
        _end(f"Cannot write to standard output: {why}. What was measured is stored; send the output elsewhere.")
    if code == INTERRUPTED:
        _end(interrupts.TOLD)
    raise SystemExit(code)


def _run() -> int:
    """A command's exit code, however it ends."""
    _refuse_empty(sys.argv[1:])
    if completing.VARIABLE in os.environ:
        for group in GROUPS:
            completing.attach(group.COMMANDS)
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="workbench", standalone_mode=False)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        code = ended.code
    return code if isinstance(code, int) else 0


def _refuse_empty(words: Sequence[str]) -> None:
    """No word of any command may be empty: one that is was most often a shell's variable, and means nothing else."""
    for before, word in itertools.pairwise(["workbench", *words]):
        if word.strip() and not re.fullmatch("--[a-z-]+=", word):
            continue
        where = word if word.strip() else before
        raise UserError(
            f"There is an empty word after {where}, as from a shell's variable that is not set; give it a value, or "
            "leave it and its option out."
        )


def _refusal_of_stdout() -> str | None:
    """Why standard output takes nothing; if it takes a line's end, somebody else's error was caught."""
    try:
        print(flush=True)
    except OSError as error:
        return error.strerror
    return None


def _let_go_of_stdout() -> None:
    """What is left in the buffer goes nowhere, and Python's own flush at the end has nothing to complain about."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _end(sentence: str) -> None:
    print("workbench: " + " ".join(sentence.split()), file=sys.stderr)
    raise SystemExit(2) from None
