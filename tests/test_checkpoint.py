"""models/checkpoint: what loads, what is refused and in which words, and that nothing in a file is run."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench import models
from workbench.models.checkpoint import WRAPPERS, variants_of
from workbench.spec import UserError

State = dict[str, Tensor]


def drawn(name: str, seed: int = 1) -> State:
    """A state dict of that variant unlike the one its constructor draws."""
    torch.manual_seed(seed)
    return models.create(name).state_dict()


def same(model: nn.Module, state: State) -> bool:
    own = model.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[k], state[k]) for k in own)


def refusal(model: nn.Module, path: Path) -> str:
    """The sentence with which a file is refused, after a check that the model is as it was."""
    before = {k: t.clone() for k, t in model.state_dict().items()}
    with pytest.raises(UserError) as refused:
        models.load_checkpoint(model, path)
    assert same(model, before)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def net() -> nn.Module:
    return models.create("rfdn-x2")


@pytest.fixture
def state() -> State:
    return drawn("rfdn-x2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


# What loads


@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
def test_bare_or_wrapped_with_or_without_prefix(
    net: nn.Module, state: State, file: Path, wrapper: str | None, prefix: str
) -> None:
    named = {prefix + k: t for k, t in state.items()}
    torch.save({wrapper: named, "epoch": 3} if wrapper else named, file)
    assert models.load_checkpoint(net, file) is net
    assert same(net, state)


@pytest.mark.untraced
def test_an_entry_without_the_prefix_of_all_others_is_named(net: nn.Module, state: State, file: Path) -> None:
    prefixed = {f"module.{k}": t for k, t in state.items()}
    torch.save(prefixed | {"iterations": torch.tensor(5.0)}, file)
    assert "does not fit rfdn-x2: 1 entry is unexpected (first 'iterations'); " in refusal(net, file)
    torch.save(prefixed | {"c.0.bias": torch.zeros(50)}, file)
    assert refusal(net, file) == f"{file} holds 'c.0.bias' twice, with and without 'module.'; keep one of them."


def test_the_averaged_weights_are_preferred(net: nn.Module, file: Path) -> None:
    states = {wrapper: drawn("rfdn-x2", seed) for seed, wrapper in enumerate(reversed(WRAPPERS))}
    torch.save(states, file)
    assert same(models.load_checkpoint(net, str(file)), states["params_ema"])
    torch.save(states | {"params_ema": None}, file)
    assert same(models.load_checkpoint(net, file), states["params"])


def test_content_decides_not_the_suffix(net: nn.Module, state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "a.pth")
    assert same(models.load_checkpoint(net, tmp_path / "a.pth"), state)
    torch.save(drawn("rfdn-x2", 2), tmp_path / "b.safetensors", _use_new_zipfile_serialization=False)
    assert same(models.load_checkpoint(net, tmp_path / "b.safetensors"), drawn("rfdn-x2", 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_is_converted(net: nn.Module, state: State, file: Path, dtype: torch.dtype) -> None:
    torch.save({k: t.to(dtype) for k, t in state.items()}, file)
    models.load_checkpoint(net, file)
    assert same(net, {k: t.to(dtype).float() for k, t in state.items()})


def test_index_tables_masks_and_counters_may_be_there_or_not(file: Path) -> None:
    state, net = drawn("hit-sng-x2"), models.create("hit-sng-x2")
    tables = [k for k in state if "relative_position_index" in k]
    assert tables
    torch.save({k: t for k, t in state.items() if k not in tables}, file)
    assert same(models.load_checkpoint(net, file), state)
    extra = {
        "a.attn_mask": torch.zeros(9, 4, 4),
        "relative_position_index_SA": torch.zeros(4, 4, dtype=torch.int64),
        "b.attn.aligned_relative_position_index": torch.zeros(4, dtype=torch.int64),
        "c.num_batches_tracked": torch.tensor(7),
    }
    torch.save(state | extra | {tables[0]: torch.zeros(2, 2, dtype=torch.int64)}, file)
    assert same(models.load_checkpoint(net, file), state)


def test_one_file_of_carn_fits_all_scales(file: Path) -> None:
    torch.save(drawn("carn-m-x2"), file)
    for scale in models.SCALES:
        assert same(models.load_checkpoint(models.create(f"carn-m-x{scale}"), file), drawn("carn-m-x2"))


def test_what_a_lean_forward_keeps_follows_the_weights(file: Path) -> None:
    torch.save(drawn("esc-light-x2", 2), file)
    used, fresh = models.create("esc-light-x2"), models.create("esc-light-x2")
    x = torch.rand(1, 3, 33, 20)
    with torch.inference_mode():
        before = used(x)
        after = models.load_checkpoint(used, file)(x)
        assert torch.equal(after, models.load_checkpoint(fresh, file)(x))
    assert not torch.allclose(before, after)


def test_frozen_entries_stay_frozen(file: Path) -> None:
    torch.save(drawn("edsr-baseline-x2"), file)
    net = models.load_checkpoint(models.create("edsr-baseline-x2"), file)
    assert [k for k, p in net.named_parameters() if not p.requires_grad] == [
        "sub_mean.weight",
        "sub_mean.bias",
        "add_mean.weight",
        "add_mean.bias",
    ]


# What does not fit


def test_another_scale_is_named_not_resized(file: Path) -> None:
    torch.save({"params_ema": drawn("esc-light-x2")}, file)
    assert refusal(models.create("esc-light-x4"), file) == (
        f"{file} does not fit esc-light-x4: 2 entries are of another shape (first 'to_img.weight': 12x64x3x3 in the"
        " file, 48x64x3x3 in the network); this looks like esc-light-x2, so create that variant for it."
    )


def test_another_model_is_named(net: nn.Module, file: Path) -> None:
    torch.save(drawn("imdn-x3"), file)
    sentence = refusal(net, file)
    assert "does not fit rfdn-x2: 120 entries are missing (first 'B1.c1_d.weight')" in sentence
    assert "84 entries are unexpected (first 'IMDB1.c1.weight')" in sentence
    assert "8 entries are of another shape (first 'fea_conv.weight': 64x3x3x3 in the file," in sentence
    assert "this looks like imdn-x3, so" in sentence


def test_models_of_one_shape_are_named_together(net: nn.Module, file: Path) -> None:
    torch.save(drawn("carn-x2"), file)
    assert "this looks like carn-x2, carn-x3 or carn-x4, so" in refusal(net, file)


def test_a_stranger_fits_nothing(net: nn.Module, file: Path) -> None:
    torch.save({"weird": torch.zeros(3)}, file)
    assert "1 entry is unexpected (first 'weird'); it fits no variant of this workbench" in refusal(net, file)
    own = nn.Linear(2, 2)
    assert "does not fit this Linear: 2 entries are missing (first 'weight')" in refusal(own, file)


def test_frozen_mean_shifts_have_to_be_there(file: Path) -> None:
    state = drawn("edsr-baseline-x2")
    del state["sub_mean.bias"]
    torch.save(state, file)
    sentence = refusal(models.create("edsr-baseline-x2"), file)
    assert "1 entry is missing (first 'sub_mean.bias'); it fits no variant" in sentence


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            torch.zeros(50, dtype=torch.int64),
            "dtype (first 'c.0.bias': int64 in the file, floating point in the network",
        ),
        (torch.zeros(7, dtype=torch.bool), "dtype (first 'c.0.bias': bool in the file, floating point in the network"),
        (
            torch.zeros(50).to_sparse(),
            "kind (first 'c.0.bias': a tensor that is sparse or quantized in the file, a plain tensor in the network",
        ),
        (3.5, "kind (first 'c.0.bias': no tensor but float in the file, a plain tensor in the network"),
        (torch.zeros(7), "shape (first 'c.0.bias': 7 in the file, 50 in the network"),
    ],
)
def test_an_entry_of_another_kind(net: nn.Module, state: State, file: Path, value: object, words: str) -> None:
    torch.save({**state, "c.0.bias": value}, file)
    assert f"does not fit rfdn-x2: 1 entry is of another {words}); it fits no variant" in refusal(net, file)


def test_changes_of_several_kinds_are_told_one_kind_after_the_other(net: nn.Module, state: State, file: Path) -> None:
    ints = {k: t.int() for k, t in state.items() if k.startswith("B1.c")}
    torch.save(state | ints | {"c.0.bias": torch.zeros(7)}, file)
    assert (
        f"{len(ints)} entries are of another dtype (first 'B1.c1_d.weight': int32 in the file, floating point in the"
        " network), 1 entry is of another shape (first 'c.0.bias': 7 in the file, 50 in the network); "
    ) in refusal(net, file)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(net: nn.Module, state: State, file: Path, bad: float) -> None:
    state["B2.c4.bias"][:2] = bad
    state["c.0.bias"][0] = bad
    torch.save(state, file)
    assert refusal(net, file) == (
        f"{file} was not loaded: 2 of the 25 values of 'B2.c4.bias' are NaN or infinite in float32, and so are"
        " some of 1 other entry; get another copy, or an earlier one of the training."
    )


def test_weights_that_overflow_the_networks_precision_are_refused(net: nn.Module, state: State, file: Path) -> None:
    state["c.0.bias"][0] = 1e6
    torch.save(state, file)
    assert "1 of the 50 values of 'c.0.bias' are NaN or infinite in float16;" in refusal(net.half(), file)


def test_meta_tensors_hold_no_values(state: State, net: nn.Module, file: Path) -> None:
    torch.save(state, file)
    with pytest.raises(UserError, match="the network's tensors are on the meta device"):
        models.load_checkpoint(models.create("rfdn-x2", device="meta"), file)
    torch.save(models.create("rfdn-x2", device="meta").state_dict(), file)
    assert "the file's tensors are on the meta device" in refusal(net, file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3, "best": 1.5}, "what it holds is entries 'epoch', 'best'."),
        ({"params": {}}, "what it holds is entries 'params'."),
        ([torch.zeros(2)], "what it holds is an object of type list."),
    ],
)
def test_a_file_without_weights(net: nn.Module, file: Path, content: object, words: str) -> None:
    torch.save(content, file)
    sentence = refusal(net, file)
    assert sentence.startswith(f"{file} holds no tensors by name, bare or under params_ema, params, state_dict, ")
    assert sentence.endswith(words)


def test_the_search_draws_no_random_numbers() -> None:
    state = drawn("imdn-x2")
    torch.manual_seed(5)
    assert variants_of(state) == ["imdn-x2"]
    drawn_after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn_after, torch.rand(1))


# What cannot, or must not, be read


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, trap: Path):
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.trap}",)


def save_raw(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def save_old(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, save_old, save_raw])
def test_code_in_a_file_is_not_run(
    net: nn.Module, state: State, file: Path, save: Callable[[object, Path], None]
) -> None:
    trap = file.with_name("trap")
    save({"params": state, "more": Harmful(trap)}, file)
    sentence = refusal(net, file)
    assert not trap.exists()
    assert f"{file} was not read: it holds more than tensors (" in sentence
    assert "which would run as code on this machine; if you trust its source, save its tensors alone" in sentence
    if save is not save_raw:
        assert "system), which" in sentence  # the name is posix.system or nt.system
    pickle.loads(pickle.dumps(Harmful(trap)))
    assert trap.exists(), "the trap is one"


def test_whole_networks_and_programs_are_not_read(net: nn.Module, file: Path) -> None:
    torch.save(nn.Linear(2, 2), file)
    assert "it holds more than tensors (torch.nn.modules.linear.Linear), which" in refusal(net, file)
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated, its files are about
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)
    assert "it holds more than tensors (a TorchScript program), which" in refusal(net, file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; get it again."),
        (b"<!DOCTYPE html><html>Not found</html>", "is a web page, not a checkpoint; download the file itself."),
        (b"\n<HTML><body>", "is a web page, not a checkpoint; download the file itself."),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the checkpoint; fetch the file"),
        (b"PK\x03\x04 no zip", "is no checkpoint that torch or safetensors can read: it is cut short, damaged or"),
        (b"\x10\0\0\0\0\0\0\0{", "is no checkpoint that torch or safetensors can read: it is cut short, damaged or"),
        (bytes(100), "is no checkpoint that torch or safetensors can read: it is cut short, damaged or"),
    ],
)
def test_files_of_another_kind(net: nn.Module, file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    assert refusal(net, file).startswith(f"{file} {words}")


@pytest.mark.parametrize("save", [torch.save, save_old, save_file])
@pytest.mark.parametrize("part", [0.0001, 0.01, 0.5, 0.999])
def test_a_file_cut_short(net: nn.Module, state: State, file: Path, save: Callable[..., None], part: float) -> None:
    save(state, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: max(1, int(part * len(whole)))])
    assert "it is cut short, damaged or something else; get it again." in refusal(net, file)


def test_no_file(net: nn.Module, tmp_path: Path) -> None:
    assert refusal(net, tmp_path / "no.pth") == f"There is no checkpoint {tmp_path / 'no.pth'}; check the path."
    assert refusal(net, Path("")).startswith(". is a folder")
    with pytest.raises(UserError, match=r"^The path of the checkpoint is empty; name a file\.$"):
        models.load_checkpoint(net, "")
    assert refusal(net, tmp_path) == f"{tmp_path} is a folder; name the checkpoint file in it."
    assert "cannot be opened: File name too long." in refusal(net, tmp_path / ("x" * 400))


def test_offering_to_load_imports_no_torch() -> None:
    code = "import sys; from workbench.models import load_checkpoint; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
