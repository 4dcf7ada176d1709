"""The observed structure against what is known of small networks: costs, sizes and connections."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.observations.structure import StructureOver
from tests.awkward import TABLE, Awkward, subject_of
from tests.observers.naive import swept


def seen(model, *inputs, batches=1):
    batch = (
        inputs if len(inputs) > 1 else inputs[0],
        torch.zeros(len(inputs[0]), dtype=torch.long),
    )
    return swept(subject_of(model, [batch] * batches, loss=None), StructureOver())


def costs(structure):
    return {part.name: part.multiply_adds for part in structure.parts if part.multiply_adds}


def arrows(structure):
    names = [part.name for part in structure.parts]
    return {(names[a], names[b]) for a, b in structure.edges}


def test_multiply_adds_of_layers_are_those_computed_by_hand():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.Flatten(),
        nn.Linear(4 * 16 * 16, 10),
    )
    structure = seen(model, torch.randn(5, 3, 16, 16))
    assert costs(structure) == {
        "0": 8 * 8 * 8 * 3 * 9,
        "1": 8 * 8 * 8 * 9,
        "2": 8 * 8 * 8 * 4 * 4,
        "4": 1024 * 10,
    }
    assert sum(part.parameters for part in structure.parts) == sum(
        p.numel() for p in model.parameters()
    )
    assert structure.parts[1].outputs == ("N×8×8×8",)
    assert structure.parts[1].activation_bytes == 8 * 8 * 8 * 4
    assert structure.parts[4].name == "3"
    assert structure.parts[4].activation_bytes == 0, "a view takes no memory"


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_multiply_adds_of_recurrent_layers(kind, gates):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = kind(6, 5, num_layers=2, bidirectional=True, batch_first=True)

        def forward(self, x):
            return self.rnn(x)[0][:, -1]

    each = 2 * gates * 5 * (6 + 5) + 2 * gates * 5 * (10 + 5)
    structure = seen(Reader(), torch.randn(3, 7, 6))
    assert costs(structure) == {"rnn": 7 * each}


def test_multiply_adds_of_cells_and_projections():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(6, 5, proj_size=2, batch_first=True)
            self.cell = nn.GRUCell(2, 4)

        def forward(self, x):
            states, state = self.lstm(x)[0], None
            for step in states.unbind(1):
                state = self.cell(step, state)
            return state

    structure = seen(Reader(), torch.randn(3, 7, 6))
    assert costs(structure) == {
        "lstm": 7 * (4 * 5 * (6 + 2) + 5 * 2),
        "cell": 7 * 3 * 4 * (2 + 4),
    }
    (cell,) = (part for part in structure.parts if part.name == "cell")
    assert cell.calls == 7


class Attention(nn.Module):
    """Attention in four ways of writing it."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.multi = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        if self.way == "module":
            return self.multi(query=x, key=x, value=x)[0]
        if self.way == "fused":
            return functional.scaled_dot_product_attention(x, x, x)
        if self.way == "einsum":
            scores = torch.einsum("bqd,bkd->bqk", x, x).softmax(-1)
            return torch.einsum("...qk,...kd->...qd", scores, x)
        return (x @ x.transpose(1, 2)).softmax(-1) @ x


@pytest.mark.parametrize(
    ("way", "cost"),
    [
        ("module", 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8),
        ("fused", 2 * 5 * 5 * 8),
        ("einsum", 2 * 5 * 5 * 8),
        ("products", 2 * 5 * 5 * 8),
    ],
)
def test_multiply_adds_of_attention(way, cost):
    assert sum(costs(seen(Attention(way), torch.randn(3, 5, 8))).values()) == cost


class Residual(nn.Module):
    def __init__(self, skips):
        super().__init__()
        self.enter = nn.Linear(6, 6)
        self.inner = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 6))
        self.leave = nn.Linear(6, 3)
        self.skips = skips

    def forward(self, x):
        x = self.enter(x)
        y = self.inner(x)
        if self.skips == "in place":
            y += x
        elif self.skips:
            y = x + y
        return self.leave(y)


@pytest.mark.parametrize("skips", [True, "in place"])
def test_a_residual_network_has_its_skip_and_a_plain_one_has_none(skips):
    chain = {("input", "enter"), ("enter", "inner.0"), ("inner.0", "inner.1"),
             ("inner.1", "inner.2"), ("leave", "output")}  # fmt: skip
    with_skip = arrows(seen(Residual(skips), torch.randn(4, 6)))
    assert with_skip == chain | {("enter", "+"), ("inner.2", "+"), ("+", "leave")}
    assert arrows(seen(Residual(False), torch.randn(4, 6))) == chain | {("inner.2", "leave")}


class Joined(nn.Module):
    """Two inputs by name, a concatenation, a detour through views, and two outputs."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 3), nn.Linear(5, 3), nn.Linear(6, 2)
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, a, b):
        first = self.left(a).T.T.unsqueeze(1).squeeze(1)
        both = torch.cat([first, functional.relu(self.right(b)) * self.scale], dim=1)
        return {"out": self.head(both), "first": first}


def test_inputs_by_name_views_concatenations_and_several_outputs():
    structure = swept(
        subject_of(
            Joined(),
            [{"a": torch.randn(3, 4), "b": torch.randn(3, 5), "target": torch.zeros(3)}],
            loss=None,
        ),
        StructureOver(),
    )
    assert arrows(structure) == {
        ("input 1", "left"),
        ("input 2", "right"),
        ("right", "relu"),
        ("left", "concat"),
        ("relu", "concat"),
        ("concat", "head"),
        ("head", "output"),
        ("left", "output"),
    }
    assert [(part.name, part.parameters) for part in structure.loose] == [
        ("(model)", 1),
        ("unused", 6),
    ]


def test_a_shared_layer_is_one_part_and_its_parameters_count_once():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(4, 2))
    structure = seen(model, torch.randn(3, 4))
    (shared,) = (part for part in structure.parts if part.calls == 2)
    assert shared.parameters == 20
    assert shared.multiply_adds == 2 * 16
    assert sum(part.parameters for part in structure.parts) == 30


def test_a_network_of_functions_alone_has_parts():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(4, 1, 3, 3))
            self.v = nn.Parameter(torch.randn(2, 4))

        def forward(self, x):
            x = functional.max_pool2d(functional.relu(functional.conv2d(x, self.w)), 2)
            return functional.linear(x.mean((2, 3)), self.v)

    structure = seen(Bare(), torch.randn(3, 1, 8, 8))
    names = [part.kind for part in structure.parts]
    assert names == ["input", "conv2d", "relu", "max_pool2d", "linear", "output"]
    assert [part.parameters for part in structure.parts] == [0, 36, 0, 0, 8, 0]
    assert structure.first is not None
    assert structure.first.values.shape == (4, 1, 3, 3)
    assert structure.first.input_shape == (1, 8, 8)


def test_what_other_observers_compute_is_no_part_of_the_network():
    from auditor.engine.sweep import run_sweep
    from auditor.observers.observer import Observer
    from auditor.observers.structure import StructureObserver

    class Meddler(Observer):
        def __init__(self):
            self.kept = None

        def leaving(self, place, output):
            self.kept = output if self.kept is None else self.kept
            torch.relu(self.kept.sum() + output.sum())

        def result(self):
            return None

    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    subject = subject_of(model, [(torch.randn(3, 4), torch.zeros(3))], loss=None)
    alone = swept(subject, StructureOver())
    first, second = StructureOver(), StructureOver(2)
    observers = {first: StructureObserver(first, subject), second: Meddler()}
    answers = dict(run_sweep(subject, first.sweep, observers))
    assert [part.name for part in answers[first].parts] == [part.name for part in alone.parts]
    assert answers[first].edges == alone.edges


def test_the_largest_filters_are_kept_in_their_order():
    conv = nn.Conv2d(3, 100, 3)
    with torch.no_grad():
        conv.weight[::2] *= 100
    first = seen(nn.Sequential(conv, nn.Flatten()), torch.randn(2, 3, 5, 5)).first
    assert first is not None
    assert first.units[:50] == tuple(range(0, 100, 2)) or set(range(0, 100, 2)) <= set(first.units)
    assert len(first.units) == 64
    assert list(first.units) == sorted(first.units)
    assert first.total == 100


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_have_a_whole_structure(case: Awkward) -> None:
    subject = case.subject(batches=case.batches())
    assert subject.model is not None
    structure = swept(subject, StructureOver())
    held = sum(part.parameters for part in (*structure.parts, *structure.loose))
    assert held == sum(p.numel() for p in subject.model.parameters())
    last = len(structure.parts) - 1
    assert structure.parts[last].kind == "output"
    assert any(b == last for _, b in structure.edges), "something leads to the output"
    assert all(0 <= a <= last and 0 <= b <= last for a, b in structure.edges)
