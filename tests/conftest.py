"""What several rooms' tests share: made records, and the command line, here or in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from workbench import cli, execute, models, passing, probes, protocols, store, turns
from workbench.spec import Record

torch.set_num_threads(1)  # as the golden arrays were made: ELAN's std10 ones turn on the order of a sum

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = Path(__file__).parent / "records"


@pytest.fixture(autouse=True, scope="session")
def turns_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test waits for what somebody else measures on this machine."""
    turns.PLACE = tmp_path_factory.mktemp("turns")


@pytest.fixture(autouse=True, scope="session")
def nothing_in_passing() -> None:
    """However slow a test's machine is, no line says what it is at."""
    passing.PATIENCE = float("inf")


@contextmanager
def untraced() -> Iterator[None]:
    """Coverage sees nothing in here. pytest-cov's own marker, `no_cover`, fails where coverage is switched off."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What the marker says, of a test and the fixtures that it is the first to ask for."""
    with untraced() if item.get_closest_marker("untraced") else nullcontext():
        return (yield)


@pytest.fixture(autouse=True, scope="session")
def _drawing_untraced() -> Iterator[None]:
    """What matplotlib does when it draws is none of our lines, and coverage would double what it takes."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (Figure, "draw_without_rendering"),
            (FigureCanvasAgg, "print_png"),
            (FigureCanvasPdf, "print_pdf"),
            (FigureCanvasSVG, "print_svg"),
        ):
            patch.setattr(owner, name, untraced()(getattr(owner, name)))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def example() -> Path:
    """A small committed store: real records of schema 1, and lines that are none."""
    return EXAMPLE


@pytest.fixture(scope="session")
def request_for() -> Callable[..., execute.Request]:
    """A request by names."""

    def make(variant: str = "esc-fp-x4", probe: str = "params", protocol: str = "esc") -> execute.Request:
        return execute.Request(models.find(variant), protocols.find(protocol), probes.find(probe))

    return make


@pytest.fixture(scope="session")
def make_record(request_for: Callable[..., execute.Request]) -> Callable[..., Record]:
    """A record that answers a request of today's probes; `changes` overwrites any field."""

    def make(variant: str = "esc-x4", probe: str = "params", protocol: str = "esc", **changes: Any) -> Record:
        asked = request_for(variant, probe, protocol)
        fields: dict[str, Any] = {
            "variant": variant,
            "protocol": protocol,
            "probe": probe,
            "probe_version": asked.probe.version,
            "conditions": asked.conditions,
            "unit": asked.probe.unit,
            "values": (967500,),
            "status": "ok",
            "reason": None,
            "recorded_at": "2026-01-01T00:00:00.000000Z",
            "machine": "a machine",
        }
        if changes.get("status", "ok") != "ok":
            fields["values"] = ()
        return Record(**fields | changes)

    return make


@pytest.fixture
def filled(tmp_path: Path) -> Callable[..., Path]:
    """Write records into a folder of this test's own, and name the folder."""

    def fill(*records: Record) -> Path:
        folder = tmp_path / "records"
        with store.Writer(folder) as writer:
            writer.append(records)
        return folder

    return fill


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def workbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`workbench ...` in this process, which has paid for its imports already."""

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["workbench", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else int(bool(code)), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def python() -> Callable[..., Ran]:
    """A script in a fresh interpreter that finds this checkout."""

    def run(script: str, *words: object) -> Ran:
        command = [sys.executable, "-c", script, *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
