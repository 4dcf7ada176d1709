"""Examples of a batch that reach one another."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.awkward import images, vectors
from tests.subjects import Live, broken, mapped
from tests.zoo import Attentive

CHECK = "examples-leak-across-batch"


def live_of(model: nn.Module, batches: Any, loss: Any = "cross_entropy") -> Live:
    return Live(model, None, batches, batches, loss, None)


class Function(nn.Module):
    """A module of a function, to be put where a layer was."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def test_a_model_that_derives_by_its_inputs_is_compared() -> None:
    class Slope(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                x = x.clone().requires_grad_()
                (slope,) = torch.autograd.grad(self.body(x).sum(), x, create_graph=True)
            return slope

    live = live_of(Slope(), vectors(), lambda outputs, target: outputs.square().mean())
    assert live.finding(CHECK).verdict is Verdict.PASS


def named(live: Live, name: str) -> Finding:
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.advice
    assert [place.name for place in found.where] == [name]
    return found


def test_batch_norm_without_running_statistics(digits: Live) -> None:
    def forget(model: nn.Module) -> None:
        norm = model.features[1][1]
        norm.running_mean = norm.running_var = None
        norm.track_running_stats = False

    found = named(broken(digits, forget), "features.1.1")
    assert "track_running_stats=True" in found.advice[0]


def test_batch_norm_left_in_training_mode(digits: Live) -> None:
    class Stuck(nn.BatchNorm2d):
        def train(self, mode: bool = True) -> nn.Module:
            return super().train(True)

    def stick(model: nn.Module) -> None:
        norm = Stuck(32)
        norm.load_state_dict(model.features[3][1].state_dict())
        model.features[3][1] = norm

    named(broken(digits, stick), "features.3.1")


def test_a_mean_over_the_batch_in_a_cnn(digits: Live) -> None:
    def centre(model: nn.Module) -> None:
        model.features[2] = nn.Sequential(model.features[2], Function(lambda x: x - x.mean(0)))

    named(broken(digits, centre), "features.2.1")


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x.reshape(x.shape[1], x.shape[0]).T.contiguous() + 0 * x,
        lambda x: x.softmax(0),
        lambda x: x.cumsum(0),
        lambda x: x / x.norm(),
        lambda x: x + x.detach().roll(1, 0),
    ],
    ids=["reshape", "softmax", "cumsum", "norm", "detached"],
)
def test_a_layer_over_the_wrong_dimension_of_an_mlp(diabetes: Live, mix: Any) -> None:
    def wrong(model: nn.Module) -> None:
        model[1] = nn.Sequential(nn.ReLU(), Function(mix))

    named(broken(diabetes, wrong), "1.1")


def test_a_recurrent_layer_that_takes_time_first(names: Live) -> None:
    def turn(model: nn.Module) -> None:
        model.gru.batch_first = False

    found = named(broken(names, turn), "gru")
    assert "batch_first=True" in found.advice[0]


def test_attention_that_takes_time_first() -> None:
    def turn(model: nn.Module) -> None:
        for layer in model.encoder.layers:
            layer.self_attn.batch_first = False

    found = named(
        broken(live_of(Attentive(), [(x[:, :1], y) for x, y in images()]), turn),
        "encoder.layers.0.self_attn",
    )
    assert "batch_first=True" in found.advice[0]


class Heads(nn.Module):
    """Attention that takes the heads apart with a `view` instead of a transposition."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = inner.qkv, inner.out, inner.heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k, v = (t.reshape(self.heads, batch, length, -1) for t in (q, k, v))
        mixed = functional.scaled_dot_product_attention(
            q.transpose(0, 2), k.transpose(0, 2), v.transpose(0, 2)
        )
        return self.out(mixed.transpose(0, 2).reshape(batch, length, width))


def test_heads_taken_apart_wrongly(language: Live) -> None:
    model = copy.deepcopy(language.model)
    model.blocks[1].attention = Heads(model.blocks[1].attention)
    named(replace(language, model=model), "blocks.1.attention")


class Names(nn.Module):
    """A dictionary of outputs, and a second input that no fault touches."""

    def __init__(self, leaks: bool) -> None:
        super().__init__()
        self.body, self.head, self.leaks = nn.Linear(8, 6), nn.Linear(6, 3), leaks

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.body(x) * scale
        if self.leaks:
            hidden = hidden - hidden.max()
        return {"hidden": hidden, "logits": self.head(hidden), "mean": hidden.mean()}


@pytest.mark.parametrize("leaks", [True, False])
def test_the_models_own_forward_is_named(leaks: bool) -> None:
    data = [({"x": x, "scale": torch.rand(len(x), 1) + 1}, y) for x, y in vectors()]
    live = live_of(Names(leaks), data)
    if leaks:
        named(live, "(model)")
    else:
        assert live.finding(CHECK).verdict is Verdict.PASS


def test_flattened_outputs_are_read_either_way(language: Live) -> None:
    class Flat(nn.Module):
        def __init__(self, inner: nn.Module, turned: bool) -> None:
            super().__init__()
            self.inner, self.turned = inner, turned

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = self.inner(x)
            return (logits.transpose(0, 1) if self.turned else logits).flatten(0, 1)

    for turned in (False, True):

        def flat(x: Any, y: Any, turned: bool = turned) -> Any:
            return x, (y.T if turned else y).flatten()

        live = replace(
            language, model=Flat(language.model, turned), val=mapped(language.val, flat), train=None
        )
        assert live.finding(CHECK).verdict is Verdict.PASS


def test_what_training_mode_mixes_is_told_not_blamed(digits: Live) -> None:
    class Mixup(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.9 * x + 0.1 * x.roll(1, 0) if self.training else x

    def mix(model: nn.Module) -> None:
        model.features[4] = nn.Sequential(Mixup(), model.features[4])

    found = broken(digits, mix).finding(CHECK)
    assert found.verdict is Verdict.PASS
    assert "which is what batch norm does" in found.summary
    assert "`features.4.0` (Mixup)" in found.summary


class Graph(nn.Module):
    """A layer over the nodes of one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        told = torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])
        return self.fc(x + told)


class Adjacent(Graph):
    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        return self.fc(adjacency @ x)


@pytest.mark.parametrize("kind", ["edges", "adjacency", "one", "square", "scalar"])
def test_where_examples_belong_together_it_does_not_apply(kind: str) -> None:
    x, y = torch.randn(20, 8), torch.randint(3, (20,))
    if kind == "edges":
        live = live_of(Graph(), [((x, torch.randint(20, (2, 60))), y)])
    elif kind == "adjacency":
        live = live_of(Adjacent(), [((x, torch.rand(20, 20)), y)])
    elif kind == "one":
        live = live_of(nn.Linear(8, 3), [(x[:1], y[:1])])
    elif kind == "square":
        live = live_of(Function(lambda x: x @ x.T), [(x, torch.arange(20))])
    else:
        live = live_of(Function(lambda x: x.square().mean()), [(x, y)], lambda out, _: out)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.NOT_APPLICABLE, found.summary
    word = {"edges": "edges", "adjacency": "part of a batch", "one": "one", "square": "row and a"}
    assert word.get(kind, "place for each example") in found.summary


def test_batches_of_one_are_joined() -> None:
    data = [(x[i : i + 1], y[i : i + 1]) for x, y in vectors() for i in range(3)]
    assert live_of(nn.Linear(8, 3), data).finding(CHECK).verdict is Verdict.PASS
    named(live_of(nn.Sequential(nn.Linear(8, 3), nn.Softmax(0)), data), "1")


def test_windows_of_an_image_are_not_examples() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend, self.head = nn.MultiheadAttention(3, 1, batch_first=True), nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            cut = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1).reshape(-1, 16, 3)
            mixed, _ = self.attend(cut, cut, cut)
            return self.head(mixed.reshape(len(x), -1, 3).mean(1))

    assert live_of(Windows(), images()).finding(CHECK).verdict is Verdict.PASS


def test_sorted_sequences_can_be_packed() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn = nn.Embedding(9, 6), nn.LSTM(6, 7, batch_first=True)
            self.head = nn.Linear(7, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            lengths = (x != 0).sum(1).cpu()
            packed = nn.utils.rnn.pack_padded_sequence(self.embed(x), lengths, batch_first=True)
            return self.head(self.rnn(packed)[1][0][0])

    lengths = torch.tensor([9, 8, 8, 7, 6, 5, 5, 4, 3, 2])
    x = torch.randint(1, 9, (10, 9)) * (torch.arange(9) < lengths[:, None])
    live = live_of(Packed(), [(x, torch.randint(3, (10,)))])
    found = live.finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


class Steps(nn.Module):
    """A recurrent layer that takes time first, with an answer for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0])


def step_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits.reshape(-1, 3), target.flatten())


@pytest.mark.parametrize(
    ("turned", "loaded", "verdict"),
    [(True, True, Verdict.PASS), (False, True, Verdict.FAIL), (False, False, Verdict.WARN)],
)
def test_the_loader_tells_which_dimension_counts_examples(
    turned: bool, loaded: bool, verdict: Verdict
) -> None:
    def collated(rows: Any) -> Any:
        return [torch.stack(column, int(turned)) for column in zip(*rows, strict=True)]

    rows = TensorDataset(torch.randn(24, 9, 4), torch.randint(3, (24, 9)))
    loader: Any = DataLoader(rows, batch_size=12, collate_fn=collated)
    live = live_of(Steps(), loader if loaded else list(loader), step_loss)
    found = live.audited(CHECK, "not-reproducible").findings
    assert [one.verdict for one in found] == [verdict, verdict]


def test_a_model_with_random_numbers_of_its_own_is_not_judged() -> None:
    def shaken(x: torch.Tensor) -> torch.Tensor:
        return x + float(np.random.default_rng().random())

    live = live_of(nn.Sequential(nn.Linear(8, 3), Function(shaken)), vectors())
    assert live.finding(CHECK).verdict is Verdict.NOT_APPLICABLE
