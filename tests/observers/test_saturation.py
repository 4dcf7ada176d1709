import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.observations.saturation import Saturation, SaturationOver
from auditor.observers.attention import of_multi_head, of_scaled_dot_product, of_softmax, spread
from auditor.observers.gates import gates, kind_of_gate, squash
from tests.awkward import subject_of, tokens, vectors
from tests.observers.naive import swept

ASKED = SaturationOver(batches=4, split="val")


def of(seen: Saturation, name: str):
    (layer,) = (layer for layer in seen.squashed if layer.layer == name)
    return layer


@pytest.mark.parametrize("family", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "bidirectional": True},
        {"batch_first": True, "bias": False},
    ],
    ids=str,
)
def test_gates_make_the_states_that_torch_makes(family: type, options: dict) -> None:
    module = family(5, 4, **options).requires_grad_(requires_grad=False)
    x = torch.randn(3, 7, 5)
    expected, _ = module(x)
    expected = expected.transpose(0, 1) if module.batch_first else expected
    length = len(expected)
    by_layer: dict[str, dict[str, torch.Tensor]] = {}
    for label, name, values in gates(module, (x,)):
        on = squash(values, kind_of_gate(name))
        by_layer.setdefault(label, {})[name] = on.reshape(length, -1, 4)
    last = f"l{module.num_layers - 1}"
    parts = [by_layer[label] for label in (last, f"{last}_reverse") if label in by_layer]
    for part, states in zip(parts, expected.split(4, dim=-1), strict=True):
        backward = part is not parts[0]
        h = c = torch.zeros(states.shape[1], 4)
        for step in range(length):
            on = {name: values[step] for name, values in part.items()}
            if family is nn.LSTM:
                c = on["forget"] * c + on["input"] * on["cell"]
                h = on["output"] * torch.tanh(c)
            elif family is nn.GRU:
                h = (1 - on["update"]) * on["new"] + on["update"] * h
            else:
                h = on["state"]
            torch.testing.assert_close(h, states[length - 1 - step if backward else step])


@pytest.mark.parametrize("family", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_gates_of_a_cell(family: type) -> None:
    cell = family(5, 4).requires_grad_(requires_grad=False)
    x, h = torch.randn(3, 5), torch.randn(3, 4)
    found = {name: squash(v, kind_of_gate(name)) for _, name, v in gates(cell, (x, h))}
    if family is nn.LSTMCell:
        c = torch.randn(3, 4)
        found = {n: squash(v, kind_of_gate(n)) for _, n, v in gates(cell, (x, (h, c)))}
        after = found["forget"] * c + found["input"] * found["cell"]
        torch.testing.assert_close(found["output"] * torch.tanh(after), cell(x, (h, c))[0])
    elif family is nn.GRUCell:
        made = (1 - found["update"]) * found["new"] + found["update"] * h
        torch.testing.assert_close(made, cell(x, h))
    else:
        torch.testing.assert_close(found["state"], cell(x, h))


def test_a_relu_network_has_no_gates_and_packed_sequences_have() -> None:
    assert list(gates(nn.RNN(3, 2, nonlinearity="relu"), (torch.randn(4, 1, 3),))) == []
    packed = nn.utils.rnn.pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    assert {values.shape for _, _, values in gates(nn.GRU(3, 2), (packed,))} == {(4, 2)}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("separate", [False, True])
def test_multi_head_attention_agrees_with_torch(causal: bool, separate: bool) -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True, kdim=6 if separate else None)
    x, memory = torch.randn(3, 5, 8), torch.randn(3, 5, 6 if separate else 8)
    value = torch.randn(3, 5, 8)
    mask = torch.ones(5, 5).triu(1).bool() if causal else None
    padding = torch.zeros(3, 5).bool()
    padding[0, 4:] = True
    caught = {}
    original = functional.multi_head_attention_forward

    def catch(*args, **kwargs):
        caught["scores"] = of_multi_head(args, kwargs)
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "multi_head_attention_forward", catch)
        _, expected = attention(
            x, memory, value, attn_mask=mask, key_padding_mask=padding, average_attn_weights=False
        )
    torch.testing.assert_close(caught["scores"].softmax(-1), expected.detach())


@pytest.mark.parametrize("how", ["plain", "causal", "bool", "float", "three", "grouped", "scale"])
def test_scaled_dot_product_agrees_with_torch(how: str) -> None:
    shape = (3, 5, 8) if how == "three" else (3, 4, 5, 8)
    q, k, v = (torch.randn(*shape) for _ in range(3))
    options: dict = {}
    if how == "causal":
        options["is_causal"] = True
    elif how == "bool":
        options["attn_mask"] = torch.ones(5, 5).tril().bool()
    elif how == "float":
        options["attn_mask"] = torch.randn(3, 1, 5, 5)
    elif how == "grouped":
        k, v, options["enable_gqa"] = k[:, :2], v[:, :2], True
    elif how == "scale":
        options["scale"] = 0.5
    expected = functional.scaled_dot_product_attention(q, k, v, **options)
    scores = of_scaled_dot_product((q, k, v), options)
    if how == "grouped":
        v = v.repeat_interleave(2, dim=1)
    made = scores.softmax(-1) @ (v.unsqueeze(1) if v.ndim == 3 else v)
    torch.testing.assert_close(made.reshape(expected.shape), expected)


def test_how_scores_are_spread() -> None:
    sharp, even = torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4)
    sharp[..., 0] = 100.0
    queries, sums = spread(torch.cat([sharp, even], dim=1))
    assert int(queries) == 6
    np.testing.assert_allclose(sums[0].numpy(), [0.0, 6.0], atol=1e-5)
    assert sums[1].tolist() == [6.0, 0.0]
    assert sums[2].tolist() == [0.0, 6.0]


def test_only_visible_keys_count_and_a_single_one_is_no_choice() -> None:
    scores = torch.zeros(1, 1, 3, 3).masked_fill(torch.ones(3, 3).triu(1).bool(), -torch.inf)
    queries, sums = spread(scores)
    assert int(queries) == 2
    assert sums[0].item() == pytest.approx(2.0)
    masked = of_softmax(scores.nan_to_num(neginf=-1e9))
    torch.testing.assert_close(masked, scores)
    p = torch.tensor([0.7, 0.2, 0.1])
    _, sums = spread(p.log().reshape(1, 1, 1, 3))
    assert sums[0].item() == pytest.approx(float(-(p * p.log()).sum() / np.log(3)), rel=1e-5)


@pytest.mark.parametrize(
    ("build", "inplace"),
    [(nn.Sigmoid, False), (nn.Tanh, False), (nn.Hardtanh, True), (nn.Hardsigmoid, False)],
)
def test_squashed_units_agree_with_the_outputs(build: type, inplace: bool) -> None:
    act = build(inplace=True) if inplace else build()
    model = nn.Sequential(nn.Linear(8, 6), act, nn.Linear(6, 3))
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([9.0, -9.0, 0.0, 0.0, 0.0, 0.0]))
        model[0].weight.mul_(3)
    seen = swept(subject_of(model, vectors(), "cross_entropy"), ASKED)
    layer = of(seen, "1")
    with torch.no_grad():
        given = model[0](torch.cat([x for x, _ in vectors()]))
        out = build()(given)
    low, high = (-1.0, 1.0) if build in (nn.Tanh, nn.Hardtanh) else (0.0, 1.0)
    share = (out - low) / (high - low)
    np.testing.assert_array_equal(layer.low, (share < 0.01).sum(0).numpy())
    np.testing.assert_array_equal(layer.high, (share > 0.99).sum(0).numpy())
    np.testing.assert_allclose(layer.total, given.sum(0).numpy(), rtol=1e-4, atol=1e-4)
    assert layer.count == len(given)
    assert layer.high[0] == layer.count
    assert layer.low[1] == layer.count
    assert layer.feeder.layer == "0"
    spectral = float(torch.linalg.matrix_norm(model[0].weight.detach(), 2))
    assert layer.feeder.spectral == pytest.approx(spectral, rel=0.02)
    assert not layer.output


def test_of_relu6_only_the_upper_end_counts() -> None:
    model = nn.Sequential(nn.Linear(8, 2), nn.ReLU6(), nn.Linear(2, 3))
    with torch.no_grad():
        model[0].weight.mul_(0.1)
        model[0].bias.copy_(torch.tensor([99.0, -99.0]))
    layer = of(swept(subject_of(model, vectors(), "cross_entropy"), ASKED), "1")
    assert layer.high.tolist() == [layer.count, 0]
    assert layer.low.tolist() == [0, 0]


@pytest.mark.parametrize("end", [nn.Sigmoid(), nn.Sequential(nn.Tanh(), nn.Flatten(0))], ids=str)
def test_what_the_model_puts_out_is_told(end: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 1), end)
    data = [(x, torch.zeros(len(x), 1)) for x, _ in vectors()]
    subject = subject_of(model, data, lambda out, target: out.sum(), task="custom")
    assert [layer.output for layer in swept(subject, ASKED).squashed] == [False, True]


def test_functions_and_hand_written_attention_are_seen() -> None:
    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.tanh(self.embed(x))
            weights = (x @ x.transpose(1, 2)).softmax(-1)
            mixed = functional.scaled_dot_product_attention(weights @ x, x, x)
            return torch.softmax(self.head(mixed.sigmoid_().mean(1)), -1)

    subject = subject_of(ByHand(), tokens(), lambda out, target: out.sum(), task="custom")
    seen = swept(subject, ASKED)
    assert [layer.kind for layer in seen.squashed] == ["tanh", "sigmoid"]
    assert len(seen.attention) == 2
    assert all(a.queries > 0 for a in seen.attention)


@pytest.mark.parametrize("both", [False, True])
def test_padding_is_left_out_of_the_gates(both: bool) -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 4, batch_first=True, bidirectional=both)
    x = torch.randn(2, 6, 3)
    x[0, 4:] = 0.0
    x[1, :2] = x[1, :1]
    found = {(label, gate): rows for label, gate, rows in gates(lstm, (x,))}
    assert all(len(rows) == 8 for rows in found.values())
    whole = x @ lstm.weight_ih_l0.t() + lstm.bias_ih_l0 + lstm.bias_hh_l0
    first = found["l0", "input"][0]  # The first step of the first sequence, from a state of zero.
    torch.testing.assert_close(first, whole[0, 0, :4])
    still = torch.ones(2, 6, 3)
    assert all(len(rows) == 12 for *_, rows in gates(lstm, (still,)))


def test_states_given_by_keyword_are_seen() -> None:
    class Stated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(8, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state = torch.full((1, len(x), 4), -1.0)
            return self.head(self.gru(input=x[None], hx=state)[0][0])

    torch.manual_seed(0)
    model = Stated()
    nn.init.constant_(model.gru.weight_hh_l0, 100.0)
    seen = swept(subject_of(model, vectors(), "cross_entropy"), ASKED)
    update = next(layer for layer in seen.squashed if layer.gate == "update")
    assert (update.low == update.count).all()
