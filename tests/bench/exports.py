"""By hand: which networks compile as one graph, and which give the same as ONNX; writes tests/exports.json.

pip install -c constraints.txt -e '.[export]'
python tests/bench/exports.py
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from workbench import models

SIDE = 24
RESULTS = Path(__file__).parent.parent / "exports.json"


def compiled(net: nn.Module, x: Tensor, y: Tensor) -> str:
    """Dynamo's capture as one graph, run by the eager backend."""
    torch._dynamo.reset()
    return agreement(torch.compile(net, backend="eager", fullgraph=True)(x), y)


def exported(net: nn.Module, x: Tensor, y: Tensor) -> str:
    """torch.onnx.export, run by onnxruntime."""
    import onnxruntime

    program = torch.onnx.export(net, (x,), dynamo=True, verbose=False, optimize=False)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "net.onnx")
        program.save(file)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        out = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    return agreement(torch.from_numpy(out), y)


def agreement(out: Tensor, y: Tensor) -> str:
    """ok, or by how much the output is off."""
    off = float((out - y).abs().max() / y.std().clamp_min(1e-3))
    return "ok" if off < 1e-3 else f"runs, but its output is off by {off:.1e} standard deviations"


def attempts(model: str) -> dict[str, str]:
    """Both ways for one model at x2: ok, or what went wrong."""
    torch.manual_seed(0)
    net, x = models.create(f"{model}-x2"), torch.rand(1, 3, SIDE, SIDE)
    found = {}
    with torch.no_grad():
        for parameter in net.parameters():  # small ones: ELAN's softmax is so sharp at first that rounding decides
            if parameter.requires_grad and parameter.dim() > 1:
                parameter.normal_(std=0.02)
        y = net(x)
        for way, attempt in (("compile", compiled), ("onnx", exported)):
            try:
                found[way] = attempt(net, x, y)
            except Exception as error:
                cause = error.__cause__ or error
                found[way] = f"{type(cause).__name__}: {str(cause).splitlines()[0][:160] if str(cause) else ''}"
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    catalogue = [model for family in models.FAMILIES for model in family.models]
    recorded = json.loads(RESULTS.read_text())["models"] if RESULTS.exists() else {}
    for model in sys.argv[1:] or catalogue:
        recorded[model] = attempts(model)
        print(model, recorded[model], flush=True)
        known = {m: recorded[m] for m in catalogue if m in recorded}
        version = torch.__version__.partition("+")[0]
        RESULTS.write_text(json.dumps({"torch": version, "models": known}, indent=1) + "\n")


if __name__ == "__main__":
    main()
