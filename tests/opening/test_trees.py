"""Every tensor and plain value of a tree is met, wherever it stands."""

from auditor.opening.contents import Opaque, PiecesAt, TensorAt
from auditor.opening.trees import leaves, mapped

DENSE = TensorAt("float32", (2,), (1,), 0, 0)
PIECES = PiecesAt("float32", (2,), (((0,), DENSE),))
TREE = {"a": [1, None, PIECES], 2: Opaque("some.Class", {"b": DENSE, "c": Opaque("other.Class")})}


def test_a_mapped_tree_keeps_its_shape_and_looks_through_stand_ins() -> None:
    shown = mapped(TREE, lambda value: type(value).__name__)
    assert shown == {
        "a": ["int", "NoneType", "PiecesAt"],
        2: {"b": "TensorAt", "c": "NoneType"},
    }


def test_the_leaves_are_what_is_mapped() -> None:
    met: list[object] = []
    mapped(TREE, met.append)
    assert sorted(map(str, leaves(TREE))) == sorted(map(str, met))
    assert list(leaves(3)) == [3]
