"""Sequence models that read what they are to predict."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live

CHECK = "sees-the-future"
WORDS, STEPS = 23, 17


def tokens(rows: int = 16, shift: int = 1) -> list[tuple[Any, Any]]:
    generator = torch.Generator().manual_seed(3)
    text = torch.randint(1, WORDS, (2, rows, STEPS + shift), generator=generator)
    return [(part[:, :STEPS], part[:, shift:]) for part in text]


def series(width: int = 3) -> list[tuple[Any, Any]]:
    generator = torch.Generator().manual_seed(3)
    walk = torch.randn(2, 16, STEPS + 1, width, generator=generator).cumsum(2) / 3
    return [(part[:, :-1], part[:, 1:]) for part in walk]


class Model(nn.Module):
    """Embedding, a body over (batch, time, features), and a head."""

    def __init__(self, body: nn.Module, width: int = 12, series: bool = False) -> None:
        super().__init__()
        self.enter = nn.Linear(3, 12) if series else nn.Embedding(WORDS, 12)
        self.body, self.head = body, nn.Linear(width, 3 if series else WORDS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.body(self.enter(x))
        return self.head(made[0] if isinstance(made, tuple) else made)


class Convolved(nn.Module):
    """A convolution over time, padded on both sides or on the left alone."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.conv = nn.Conv1d(12, 12, 3, padding=0 if causal else 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2)
        return self.conv(functional.pad(x, (2, 0)) if self.causal else x).transpose(1, 2)


class Mixed(nn.Module):
    """A perceptron over time, whose weights may look back only."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.over_time = nn.Linear(STEPS, STEPS)
        if causal:
            with torch.no_grad():
                self.over_time.weight.tril_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.over_time(x.transpose(1, 2)).transpose(1, 2)


class Encoded(nn.Module):
    """Torch's transformer encoder, with its mask or without."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 2, 20, batch_first=True)
        self.layers, self.causal = nn.TransformerEncoder(layer, 2), causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.layers(x, mask=mask if self.causal else None)


class OneOff(nn.Module):
    """Attention whose mask lets the next step through."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(2)
        return (x @ x.transpose(1, 2)).masked_fill(ahead, -torch.inf).softmax(-1) @ x


class Averaged(nn.Module):
    """A mean over time, taken in a forward pass that also calls a harmless layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x - x.mean(1, keepdim=True))


class Gated(nn.Module):
    """A gate that is told of the whole sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.gate = nn.AdaptiveAvgPool1d(1), nn.Linear(12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        told = self.pool(x.transpose(1, 2)).squeeze(2)
        return x * self.gate(told).sigmoid().unsqueeze(1)


class OverTime(nn.Module):
    """Normalisation of each feature over time."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


def live_of(model: nn.Module, batches: Any, loss: Any = "cross_entropy") -> Live:
    return Live(model, None, None, batches, loss, None)


def blamed(live: Live, name: str) -> Finding:
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == [name]
    assert found.advice
    return found


@pytest.mark.parametrize(
    ("body", "width", "name", "advice"),
    [
        (lambda: nn.LSTM(12, 8, batch_first=True, bidirectional=True), 16, "body", "bidirectional"),
        (lambda: nn.GRU(12, 8, 2, batch_first=True, bidirectional=True), 16, "body", "bidirect"),
        (lambda: Convolved(False), 12, "body.conv", "on the left alone"),
        (lambda: Mixed(False), 12, "body.over_time", "below the diagonal"),
        (lambda: Encoded(False), 12, "body.layers.layers.0.self_attn", "mask"),
        (OneOff, 12, "body", "of time"),
        (Averaged, 12, "body", "mean"),
        (Gated, 12, "body", "forward"),
        (OverTime, 12, "body.norm", "statistics over time"),
        (lambda: nn.LayerNorm((STEPS, 12)), 12, "body", "statistics over time"),
    ],
    ids=("lstm", "gru", "convolved", "mixed", "encoded", "off", "mean", "gated", "norm", "whole"),
)
@pytest.mark.parametrize("numbers", [False, True], ids=["words", "series"])
def test_the_layer_that_looks_ahead_is_named(
    body: Callable[[], nn.Module], width: int, name: str, advice: str, numbers: bool
) -> None:
    model = Model(body(), width, numbers)
    data, loss = (series(), "mse_loss") if numbers else (tokens(), "cross_entropy")
    found = blamed(live_of(model, data, loss), name)
    assert advice in found.advice[0]


@pytest.mark.parametrize(
    "body",
    [
        lambda: nn.LSTM(12, 12, 2, batch_first=True, dropout=0.2),
        lambda: Convolved(True),
        lambda: Mixed(True),
        lambda: Encoded(True),
        lambda: nn.LayerNorm(12),
    ],
)
def test_causal_layers_are_left_alone(body: Callable[[], nn.Module]) -> None:
    assert live_of(Model(body()), tokens()).finding(CHECK).verdict is Verdict.PASS
    numbers = live_of(Model(body(), series=True), series(), "mse_loss")
    assert numbers.finding(CHECK).verdict is Verdict.PASS


def test_how_far_it_looks_ahead_is_told() -> None:
    one = live_of(Model(OneOff()), tokens()).finding(CHECK)
    assert "ahead by up to 1 step." in one.summary
    every = live_of(Model(Averaged()), tokens()).finding(CHECK)
    assert "as far as was tried" in every.summary
    near = live_of(Model(Convolved(True)), tokens()).finding(CHECK)
    assert "inputs up to 2 steps before" in near.summary


def test_a_trained_decoder_without_its_mask(language: Live) -> None:
    class Open(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.qkv, self.out, self.heads = inner.qkv, inner.out, inner.heads

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(q, k, v)
            return self.out(mixed.transpose(1, 2).flatten(2))

    model = copy.deepcopy(language.model)
    model.blocks[1].attention = Open(model.blocks[1].attention)
    found = blamed(replace(language, model=model), "blocks.1.attention")
    assert "1 step later" in found.summary
    assert language.finding(CHECK).verdict is Verdict.PASS


class Shifted(nn.Module):
    """A table of next words, right by construction, to which a body may add."""

    def __init__(self, body: nn.Module, step: int) -> None:
        super().__init__()
        self.step, self.body = step, body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        following = functional.one_hot((x + self.step) % WORDS, WORDS).to(self.body.fc.weight)
        return 9 * following + self.body(following)


class Little(nn.Module):
    def __init__(self, ahead: bool) -> None:
        super().__init__()
        self.fc, self.ahead = nn.Linear(WORDS, WORDS), ahead

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(x)
        return 0.1 * (x.flip(1) if self.ahead else x)


def next_word_loss(logits: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), words[:, 1:].flatten())


def test_targets_that_the_loss_moves() -> None:
    start = torch.randint(WORDS, (12, 1))
    text = (start + torch.arange(STEPS)) % WORDS
    data = [(text, text)]
    assert live_of(Shifted(Little(False), 1), data, next_word_loss).finding(CHECK).verdict is (
        Verdict.PASS
    )
    blamed(live_of(Shifted(Little(True), 1), data, next_word_loss), "body")
    restored = live_of(Shifted(Little(True), 0), data).finding(CHECK)
    assert restored.verdict is Verdict.NOT_APPLICABLE
    assert "restores its" in restored.summary
    untrained = Model(nn.LSTM(12, 8, batch_first=True, bidirectional=True), 16)
    words = [(x, x) for x, _ in tokens()]
    assert live_of(untrained, words).finding(CHECK).verdict is Verdict.NOT_APPLICABLE


class Translator(nn.Module):
    """Reads the whole source and the target up to now."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(WORDS, 12), nn.Embedding(WORDS, 12)
        self.transformer = nn.Transformer(12, 2, 1, 1, 16, batch_first=True)
        self.head, self.causal = nn.Linear(12, WORDS), causal

    def forward(self, source: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        given = self.target(words)
        mask = nn.Transformer.generate_square_subsequent_mask(words.shape[1], dtype=given.dtype)
        made = self.transformer(self.source(source), given, tgt_mask=mask if self.causal else None)
        return self.head(made)


@pytest.mark.parametrize("causal", [False, True])
def test_of_two_inputs_the_one_that_is_predicted_counts(causal: bool) -> None:
    data = [((torch.randint(WORDS, (16, 9)), x), y) for x, y in tokens()]
    live = live_of(Translator(causal), data)
    if causal:
        assert live.finding(CHECK).verdict is Verdict.PASS
    else:
        blamed(live, "transformer.decoder.layers.0.self_attn")


class TimeFirst(nn.Module):
    """Takes and gives time in the first dimension, or both dimensions as one."""

    def __init__(self, both: bool, flat: bool) -> None:
        super().__init__()
        self.enter, self.head = nn.Embedding(WORDS, 12), nn.Linear(8 * (1 + both), WORDS)
        self.rnn, self.flat = nn.LSTM(12, 8, bidirectional=both), flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.head(self.rnn(self.enter(x))[0])
        return made.flatten(0, 1) if self.flat else made


def word_loss(logits: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits.reshape(-1, WORDS), words.flatten())


@pytest.mark.parametrize("flat", [False, True])
def test_time_may_come_first(flat: bool) -> None:
    data = [(x.T, y.T.flatten() if flat else y.T) for x, y in tokens()]
    live = live_of(TimeFirst(False, flat), data, word_loss)
    found = {f.check: f for f in live.audited(CHECK, "examples-leak-across-batch").findings}
    for one in found.values():
        assert one.verdict is Verdict.PASS, one.summary
    blamed(live_of(TimeFirst(True, flat), data, word_loss), "rnn")


def test_padding_stays_padding() -> None:
    class Lengths(nn.Module):
        """Divides by the length, which the padding tells."""

        def __init__(self) -> None:
            super().__init__()
            self.enter, self.rnn = nn.Embedding(WORDS, 12), nn.GRU(12, 12, batch_first=True)
            self.head = nn.Linear(12, WORDS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            length = (x != 0).sum(1)[:, None, None]
            return self.head(self.rnn(self.enter(x))[0] / length)

    x, y = tokens()[0]
    kept = torch.arange(STEPS) < torch.randint(4, STEPS, (16, 1))
    data = [(x * kept, torch.where(kept, y, -100))]
    data = [(x, torch.where(x.roll(-1, 1) != 0, y, -100)) for x, y in data]
    assert live_of(Lengths(), data).finding(CHECK).verdict is Verdict.PASS


@pytest.mark.parametrize("ahead", [False, True])
def test_targets_of_another_kind_are_told_not_judged(ahead: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    data = [(x, torch.randint(WORDS, y.shape, generator=generator)) for x, y in tokens()]
    body = nn.LSTM(12, 12 // (1 + ahead), batch_first=True, bidirectional=ahead)
    found = live_of(Model(body), data).finding(CHECK)
    assert found.verdict is Verdict.INFO
    assert "if the model is meant to be causal" in found.summary
    assert ("first in `body`" in found.summary) == ahead


def test_one_answer_a_sequence_is_not_judged(names: Live) -> None:
    assert names.finding(CHECK).verdict is Verdict.NOT_APPLICABLE


class Mirrored(nn.Module):
    """A recurrent layer as wide as there are steps, and what it says, backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(12, STEPS, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = self.gru(x)[0]
        return states + states.flip(1)


def test_a_last_state_as_wide_as_there_are_steps_is_no_sequence() -> None:
    blamed(live_of(Model(Mirrored(), STEPS), tokens()), "body")
