"""Folders of Hugging Face: the model as `config.json` says, its loss, batches and tokenizer."""

import importlib
import json
import math
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.core.errors import InputError
from auditor.core.spec_file import spec_from
from auditor.intake.loading import load
from auditor.intake.subject import Subject
from auditor.opening.hub_config import implied_factory
from tests.subjects import ROOT

transformers = pytest.importorskip("transformers")

DATA = """
import torch

def words(labels, count=3):
    batches = []
    for seed in range(count):
        ids = torch.randint(1, 32, (8, 6), generator=torch.Generator().manual_seed(seed))
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        batches.append(batch if labels is None else {**batch, "labels": labels(ids)})
    return batches

def classes(): return words(lambda ids: ids[:, 0] % 3)
def shares(): return words(lambda ids: (ids[:, :3] > 16).float())
def numbers(): return words(lambda ids: ids[:, 0] / 32)
def language(): return words(lambda ids: ids)
def padded(): return words(lambda ids: torch.where(ids > 28, -100, ids))
def unlabelled(): return words(None)
def masked(): return words(lambda ids: torch.where(ids % 5 == 0, ids, -100))
def tags(): return words(lambda ids: ids % 3)
def turned(): return words(lambda ids: ids.flip(1))
def pairs(): return [(b["input_ids"][:, :-1], b["input_ids"][:, 1:]) for b in words(None)]
def images():
    pixels = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return [{"pixel_values": pixels, "labels": torch.arange(8) % 3}]
"""

BERT: dict[str, Any] = {
    "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 8,
}  # fmt: skip
GPT2: dict[str, Any] = {"vocab_size": 32, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 8}
T5: dict[str, Any] = {
    "vocab_size": 32, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2,
    "decoder_start_token_id": 0,
}  # fmt: skip
VIT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
    "image_size": 16, "patch_size": 8,
}  # fmt: skip
RESNET: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hub_data.py").write_text(DATA)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("hub_data", None)
    importlib.invalidate_caches()
    return tmp_path


def saved(folder: Path, kind: str, config: dict[str, Any]) -> Any:
    """Write a small model into `folder / "model"`, as transformers does."""
    made = getattr(transformers, kind)
    torch.manual_seed(7)
    model = made(made.config_class(**config))
    model.save_pretrained(folder / "model")
    return model


def brought(folder: Path, data: str = "", **more: Any) -> Subject:
    model = {"factory": "hf", "checkpoint": "model/model.safetensors", **more.pop("model", {})}
    splits = {"val": f"hub_data:{data}"} if data else {}
    return load(spec_from({"model": model, "data": splits, **more}, "test", folder))


def configured(folder: Path, **changes: Any) -> None:
    path = folder / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def own_loss(model: Any, batch: dict[str, Any]) -> float:
    model.eval()
    with torch.no_grad():
        return float(model(**{"labels": batch.get("input_ids"), **batch}).loss)


@pytest.mark.parametrize(
    ("kind", "config", "data", "loss", "task", "start"),
    [
        ("BertForSequenceClassification", {**BERT, "num_labels": 3}, "classes",
         "cross_entropy", "multiclass", math.log(3)),
        ("BertForSequenceClassification", {**BERT, "num_labels": 3}, "shares",
         "binary_cross_entropy_with_logits", "multilabel", math.log(2)),
        ("BertForSequenceClassification", {**BERT, "num_labels": 1}, "numbers",
         "mse_loss", "regression", None),
        ("BertForTokenClassification", {**BERT, "num_labels": 3}, "tags",
         "cross_entropy", "language_model", math.log(3)),
        ("BertForMaskedLM", BERT, "masked", "cross_entropy", "language_model", math.log(32)),
        ("GPT2LMHeadModel", GPT2, "language", "cross_entropy", "language_model", math.log(32)),
        ("GPT2LMHeadModel", GPT2, "padded", "cross_entropy", "language_model", math.log(32)),
        ("GPT2LMHeadModel", GPT2, "unlabelled", "cross_entropy", "language_model", math.log(32)),
        ("T5ForConditionalGeneration", T5, "turned", "cross_entropy", "language_model", None),
        ("ViTForImageClassification", {**VIT, "num_labels": 3}, "images",
         "cross_entropy", "multiclass", math.log(3)),
        ("ResNetForImageClassification", {**RESNET, "num_labels": 3}, "images",
         "cross_entropy", "multiclass", None),
    ],
)  # fmt: skip
def test_a_folder_tells_model_and_loss(
    home: Path, kind: str, config: Any, data: str, loss: str, task: str, start: float | None
) -> None:
    model = saved(home, kind, config)
    subject = brought(home, data)
    assert type(subject.model) is type(model)
    held = model.state_dict()
    assert all(torch.equal(v, held[k]) for k, v in subject.model.state_dict().items())
    assert (subject.facts.loss, subject.facts.task) == (loss, task)
    batch = next(subject.batches("val", 1))
    assert subject.loss is not None
    with torch.no_grad():
        value = float(subject.loss(subject.model.eval()(*batch.args, **batch.kwargs), batch.target))
    raw = getattr(importlib.import_module("hub_data"), data)()[0]
    assert value == pytest.approx(own_loss(model, raw), rel=1e-4)
    if start is not None:
        assert value == pytest.approx(start, rel=0.1)
    one, other = subject.fresh(1).state_dict(), subject.fresh(2).state_dict()
    assert any(not torch.equal(one[name], other[name]) for name in one)
    again = subject.fresh(1).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_targets_that_are_moved_already_stay(home: Path) -> None:
    saved(home, "GPT2LMHeadModel", GPT2)
    batch = next(brought(home, "pairs").batches("val", 1))
    assert torch.equal(batch.args[0][:, 1:], batch.target[:, :-1])
    assert not (batch.target == -100).any()


def test_the_loss_of_the_spec_counts(home: Path) -> None:
    saved(home, "GPT2LMHeadModel", GPT2)
    subject = brought(home, "language", loss="cross_entropy")
    assert bool((next(subject.batches("val", 1)).target[:, -1] == -100).all())
    (home / "hub_loss.py").write_text(
        "from torch.nn.functional import cross_entropy\n"
        "def own(outputs, target):\n"
        "    return cross_entropy(outputs.logits[:, :-1].flatten(0, 1), target[:, 1:].flatten())\n"
    )
    own = brought(home, "language", loss="hub_loss:own")
    batch = next(own.batches("val", 1))
    assert torch.equal(batch.kwargs["input_ids"], batch.target), "labels as the loader gives them"


def test_a_folder_alone_is_enough(home: Path) -> None:
    saved(home, "GPT2LMHeadModel", GPT2)
    spec = {"model": {"checkpoint": "model"}, "data": {"val": "hub_data:language"}}
    assert implied_factory(spec_from(spec, "test", home)) == "hf"
    assert implied_factory(spec_from({"model": spec["model"]}, "test", home)) is None
    named = {**spec, "model": {"checkpoint": "model", "factory": "mine:build"}}
    assert implied_factory(spec_from(named, "test", home)) == "mine:build"
    (home / "model" / "config.json").write_text('{"width": 3}')
    assert implied_factory(spec_from(spec, "test", home)) is None


def test_tied_weights_are_told_where_they_differ(home: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved(home, "GPT2LMHeadModel", GPT2)
    path = home / "model" / "model.safetensors"
    weights = load_file(path)
    assert "lm_head.weight" not in weights
    save_file({**weights, "lm_head.weight": torch.zeros(32, 16)}, path)
    with pytest.raises(InputError, match=r"it ties .*lm_head.weight.*which differ"):
        brought(home, "language")
    subject = brought(home, "language", model={"args": {"tie_word_embeddings": False}})
    assert not subject.model.lm_head.weight.any()  # type: ignore[union-attr, operator]


def test_weights_that_do_not_fit_are_listed(home: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved(home, "ViTForImageClassification", {**VIT, "num_labels": 3})
    path = home / "model" / "model.safetensors"
    weights = load_file(path)
    weights.pop("classifier.bias")
    weights["classifier.weight"] = torch.zeros(3, 5)
    save_file({**weights, "head.extra": torch.zeros(1)}, path)
    with pytest.raises(InputError) as caught:
        brought(home, "images")
    assert "missing from the checkpoint (1): classifier.bias" in str(caught.value)
    assert "not in the model (1): head.extra" in str(caught.value)
    assert "classifier.weight is 3x5, the model wants 3x16" in str(caught.value)


def test_a_class_and_settings_of_the_spec(home: Path) -> None:
    saved(home, "BertForSequenceClassification", {**BERT, "num_labels": 3})
    configured(home, architectures=None)
    with pytest.raises(InputError, match="`architectures` names no class"):
        brought(home, "classes")
    named = {"factory": "transformers:BertForSequenceClassification"}
    assert brought(home, "classes", model=named).facts.outputs == 3
    with pytest.raises(InputError, match="did you mean 'BertForSequenceClassification'"):
        brought(home, model={"factory": "transformers:BertForSequenceClasification"})
    with pytest.raises(InputError, match=r"has no 'hidden_dropout_pro'; did you mean"):
        brought(home, model={**named, "args": {"hidden_dropout_pro": 0.5}})
    subject = brought(home, model={**named, "args": {"hidden_dropout_prob": 0.5}})
    assert subject.model.bert.embeddings.dropout.p == 0.5  # type: ignore[union-attr]


def test_a_loader_gets_the_tokenizer(home: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    saved(home, "BertForSequenceClassification", {**BERT, "num_labels": 2})
    inner = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "bad": 2}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[UNK]")
    made.save_pretrained(home / "model")
    text = (ROOT / "docs/frameworks.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (home / "hub_data.py").write_text("import torch\n" + textwrap.dedent(block))
    batch = next(brought(home, "val_loader").batches("val", 1))
    assert batch.kwargs["input_ids"].tolist() == [[1], [2]]
    assert batch.target.tolist() == [1, 0]
    os.mkfifo(home / "model" / "added_tokens.json")
    with pytest.raises(InputError, match=r"added_tokens.json: not a regular file"):
        brought(home, "val_loader")
    (home / "model" / "added_tokens.json").unlink()
    path = home / "model" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {"A": "x.y"}}))
    with pytest.raises(InputError, match=r"tokenizer_config.json: `auto_map` names code"):
        brought(home, "val_loader")
    path.unlink()
    with pytest.raises(InputError, match=r"does not exist; it is to say which tokenizer this is"):
        brought(home, "val_loader")


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"auto_map": {"AutoModel": "evil.Model"}}, "`auto_map` names code that came with the file"),
    ({"text_config": {"auto_map": {"AutoModel": "evil.Model"}}}, "`auto_map` names code"),
    ({"hidden_size": 10**9}, "hidden_size is 1,000,000,000, more than any model"),
    ({"hidden_size": 10**400}, "hidden_size is a number of more than 64 bits"),
    ({"hidden_size": 65_536}, "far larger than the weights beside it"),
    ({"vocab_size": 16_000_000}, "far larger than the weights beside it"),
    ({"num_hidden_layers": 1_000_000}, "far larger than the weights beside it"),
    ({"num_hidden_layers": -1}, "does not fit the model"),
    ({"hidden_size": "wide"}, "BertConfig does not take it"),
    ({"hidden_size": 17}, "can't be built as it says"),
    ({"hidden_act": "os.system"}, "can't be built as it says"),
    ({"architectures": ["../../evil"]}, "`architectures` names no class"),
    ({"architectures": ["os"]}, "has no model 'os'"),
    ({"architectures": ["AutoModel"]}, "has no model 'AutoModel'"),
    ({"architectures": ["Trainer"]}, "has no model 'Trainer'"),
    ({"architectures": ["BertForSequenceClasification"]}, "did you mean"),
    ({"architectures": "BertModel"}, "`architectures` names no class"),
    ({"architectures": ["GPT2LMHeadModel"]}, "is of a 'bert'"),
    ({"model_type": "gpt2"}, "is of a 'gpt2'"),
]


@pytest.mark.parametrize(("changes", "said"), HOSTILE)
def test_hostile_configurations(home: Path, changes: Any, said: str) -> None:
    saved(home, "BertForSequenceClassification", {**BERT, "num_labels": 3})
    configured(home, **changes)
    with pytest.raises(InputError) as caught:
        brought(home, "classes")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("[1, 2]", "holds no mapping"),
        ('{"a": ', "no JSON"),
        ("{" + '"a": {' * 40 + "}" * 41, "nested more than"),
        ("[" * 100_000, "no JSON"),
        ('{"a": "' + "x" * (9 << 20) + '"}', "more than 8,388,608 bytes"),
    ],
    ids=["empty", "list", "cut", "deep", "deeper", "large"],
)
def test_configurations_that_are_none(home: Path, text: str, said: str) -> None:
    saved(home, "BertForSequenceClassification", {**BERT, "num_labels": 3})
    (home / "model" / "config.json").write_text(text)
    with pytest.raises(InputError, match=said):
        brought(home, "classes")


def test_what_a_configuration_asks_for_beside_the_model_is_left_out(home: Path) -> None:
    saved(home, "BertForSequenceClassification", {**BERT, "num_labels": 3})
    configured(home, attn_implementation="someone/kernel", _attn_implementation="someone/kernel",
               quantization_config={"quant_method": "bitsandbytes"}, use_cache=True,
               dtype="bfloat16")  # fmt: skip
    subject = brought(home, "classes")
    assert subject.model is not None
    config: Any = subject.model.config
    assert {p.dtype for p in subject.model.parameters()} == {torch.float32}
    assert config._attn_implementation == "eager"
    assert not getattr(config, "use_cache", False)


def test_a_model_without_a_head_has_no_loss(home: Path) -> None:
    saved(home, "BertModel", BERT)
    subject = brought(home, "classes")
    assert subject.loss is None
    assert any("has no head" in line for line in subject.facts.warnings)


def test_nothing_of_the_process_is_left_changed(home: Path) -> None:
    from huggingface_hub import constants

    saved(home, "BertForSequenceClassification", {**BERT, "num_labels": 3})
    before = dict(os.environ), constants.HF_HUB_OFFLINE, transformers.logging.get_verbosity()
    brought(home, "classes")
    after = dict(os.environ), constants.HF_HUB_OFFLINE, transformers.logging.get_verbosity()
    assert before == after
