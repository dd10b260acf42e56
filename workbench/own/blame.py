"""What went wrong in somebody's code, as one line: what it was doing, what was raised, in which line, what to do."""

from __future__ import annotations

import difflib
import pkgutil
import sys
import sysconfig
import traceback
from pathlib import Path

from workbench.spec import Source

HERE = Path(__file__).resolve().parent.parent
NETWORK = ("URLError", "HTTPError", "gaierror", "ConnectionError", "ConnectTimeout", "MaxRetryError", "TimeoutError")
CUDA = ("not compiled with cuda", "nvidia driver", "cuda error", "no cuda gpus", "cuda is not available")
DOING = {
    "import": "cannot be imported",
    "construct": "cannot be constructed",
    "run": "does not run",
}
"""What a stage is called in the sentence for its failure."""


def sentence(error: BaseException, stage: str, source: Source) -> str:
    """`./net.py:Net cannot be imported: ModuleNotFoundError: No module named 'einops' (net.py, line 3). ...`"""
    told = " ".join(str(error).split()) or "without a word"
    if len(told) > LONG:
        told = f"{told[:LONG]} ..."
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).suffix == ".py":
        name = Path(error.filename).name
        text = f" ({error.text.strip()!r})" if error.text and error.text.strip() else ""
        return f"{source.reference} has a syntax error in {name}, line {error.lineno}: {error.msg}{text}."
    where = _line(error, source)
    return f"{source.reference} {DOING[stage]}: {type(error).__name__}: {told}{where}.{_mend(error, told, stage)}"


LONG = 300
"""Characters of somebody's error that are shown."""


def _mend(error: BaseException, told: str, stage: str) -> str:
    names = {kind.__name__ for kind in type(error).__mro__}
    chain = error.__cause__ or error.__context__
    if chain is not None:
        names |= {kind.__name__ for kind in type(chain).__mro__}
    if any(sign in told.lower() for sign in CUDA):
        return (
            " It needs a CUDA device, and there is none here. Leave the device to the caller (x.device, .to), or "
            "measure it where there is one."
        )
    if names & set(NETWORK):
        return " It asks the network, which gives no answer here; have it load what it needs from a file."
    if isinstance(error, SystemExit):
        return ' It ends the program; put what a script does behind if __name__ == "__main__".'
    if isinstance(error, ModuleNotFoundError) and error.name:
        if near := _beside(error.name):
            return near
        return f" Install {error.name.partition('.')[0]!r} where the workbench is installed, or stand where it lies."
    if stage == "run" and "meta" not in told:
        return " What is asked of it: (B,3,H,W) to (B,3,sH,sW), on the CPU."
    return ""


def _beside(name: str) -> str:
    """Of a module that its package has not: what is there under a name like it."""
    package, _, last = name.rpartition(".")
    there = [m.name for m in pkgutil.iter_modules(getattr(sys.modules.get(package), "__path__", ()))]
    near = difflib.get_close_matches(last, there, n=1) if package else []
    return f" Did you mean '{package}.{near[0]}'?" if near else ""


def _line(error: BaseException, source: Source) -> str:
    """The innermost line of the user's own code that the error came through."""
    libraries = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if frame.filename.startswith("<") or path.parent.name == "importlib" or path.is_relative_to(HERE):
            continue
        lines.append((any(path.resolve().is_relative_to(place) for place in libraries), frame))
    own = [frame for library, frame in lines if not library]
    chosen = own or [frame for _, frame in lines]
    return f" ({Path(chosen[-1].filename).name}, line {chosen[-1].lineno})" if chosen else ""
