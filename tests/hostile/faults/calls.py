"""Pickles that call: every opcode by which a pickle can run a function, in every container."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.cases import Bait, Refused, Shelf
from tests.hostile.opcodes import (
    Raw,
    built,
    called,
    fetched,
    named,
    named_by_texts,
    ops,
    persistent,
    pickled,
    stored,
)
from tests.hostile.torch_files import (
    legacy,
    old_state,
    old_storage,
    ordered,
    state,
    tarred,
    tensor,
    torch_zip,
)

SHELF = Shelf("pickles that call")

SYSTEM = named("os", "system")
BY_NAME = Refused(("os.system",))

Payload = Callable[[Bait], Any]


def _obj(bait: Bait) -> Raw:
    return Raw(b"(" + SYSTEM + ops(bait.command) + b"o")


def _inst(bait: Bait) -> Raw:
    return Raw(b"(" + ops(bait.command) + b"ios\nsystem\n")


def _newobj(bait: Bait) -> Raw:
    return Raw(named("subprocess", "Popen") + ops((bait.command.split(),)) + b"\x81")


def _newobj_ex(bait: Bait) -> Raw:
    what = named("subprocess", "Popen") + ops((bait.command,))
    return Raw(what + ops({"shell": True}) + b"\x92")


def _memo(bait: Bait) -> Raw:
    """Both texts of the name are fetched from the memo."""
    first = ops([stored(1, "os"), stored(2, "system")])
    return Raw(b"(" + first + called(named_by_texts(fetched(1), fetched(2)), bait.command) + b"t")


def _memo_of_the_function(bait: Bait) -> Raw:
    return Raw(b"(" + stored(5, SYSTEM) + called(fetched(5), bait.command) + b"t")


def _duplicated(bait: Bait) -> Raw:
    """The function is doubled on the stack (DUP), and one of the two is called."""
    return Raw(b"(" + SYSTEM + b"2" + ops((bait.command,)) + b"Rt")


def _popped(bait: Bait) -> Raw:
    """What the call returns is thrown away (POP), so that nothing of it is in the value."""
    return Raw(called(SYSTEM, bait.command) + b"0N")


def _popped_mark(bait: Bait) -> Raw:
    """The same with POP_MARK."""
    return Raw(b"(" + called(SYSTEM, bait.command) + b"1N")


def _as_a_key(bait: Bait) -> Raw:
    return Raw(b"}(" + called(SYSTEM, bait.command) + ops(1) + b"u")


def _in_a_set(bait: Bait) -> Raw:
    return Raw(b"\x8f(" + called(SYSTEM, bait.command) + b"\x90")


def _in_a_frozenset(bait: Bait) -> Raw:
    return Raw(b"(" + called(SYSTEM, bait.command) + b"\x91")


def _in_arguments(bait: Bait) -> Raw:
    """It hides in the arguments of a class that is nobody's."""
    return called(named("nobody", "Thing"), called(SYSTEM, bait.command))


def _in_a_state(bait: Bait) -> Raw:
    return built(called(named("nobody", "Thing")), {"a": called(SYSTEM, bait.command)})


def _in_a_named_argument(bait: Bait) -> Raw:
    what = named("nobody", "Thing") + ops(())
    return Raw(what + ops({"a": called(SYSTEM, bait.command)}) + b"\x92")


def _shape(bait: Bait) -> Raw:
    return tensor(shape=called(SYSTEM, bait.command), strides=())


def _in_an_ordered_dict(bait: Bait) -> Raw:
    return called(named("collections", "OrderedDict"), [("a", called(SYSTEM, bait.command))])


def _state_of_a_named_function(bait: Bait) -> Raw:
    """BUILD on the function itself."""
    return built(SYSTEM, {"__call__": bait.command})


def _mentioned(bait: Bait) -> Raw:
    """It is named and never called: no value needs it."""
    return SYSTEM


def _called_twice(bait: Bait) -> Raw:
    """The call's outcome is called again."""
    return called(called(named("operator", "methodcaller"), "system", bait.command), "os")


_OPCODES: dict[str, tuple[Payload, Refused]] = {
    "reduce": (lambda bait: called(SYSTEM, bait.command), BY_NAME),
    "obj": (_obj, BY_NAME),
    "inst": (_inst, BY_NAME),
    "newobj": (_newobj, Refused(("subprocess.Popen",))),
    "newobj-ex": (_newobj_ex, Refused(("subprocess.Popen",))),
    "stack-global": (lambda bait: called(named_by_texts("os", "system"), bait.command), BY_NAME),
    "names-from-the-memo": (_memo, BY_NAME),
    "function-from-the-memo": (_memo_of_the_function, BY_NAME),
    "function-doubled": (_duplicated, BY_NAME),
    "outcome-thrown-away": (_popped, BY_NAME),
    "outcome-thrown-away-by-mark": (_popped_mark, BY_NAME),
    "as-a-key": (_as_a_key, BY_NAME),
    "in-a-set": (_in_a_set, BY_NAME),
    "in-a-frozenset": (_in_a_frozenset, BY_NAME),
    "in-arguments-of-a-class": (_in_arguments, BY_NAME),
    "in-a-state": (_in_a_state, BY_NAME),
    "in-a-named-argument": (_in_a_named_argument, BY_NAME),
    "as-a-shape": (_shape, BY_NAME),
    "in-an-ordered-dict": (_in_an_ordered_dict, BY_NAME),
    "build-on-the-function": (_state_of_a_named_function, BY_NAME),
    "mentioned-only": (_mentioned, BY_NAME),
    "outcome-called": (_called_twice, Refused(("operator.methodcaller",))),
    "dotted-name": (
        lambda bait: called(named_by_texts("os", "path.os.system"), bait.command),
        Refused(("os.path.os.system",)),
    ),
    "dotted-name-of-torch": (
        lambda bait: called(named_by_texts("torch", "os.system"), bait.command),
        Refused(("torch.os.system",)),
    ),
    "dotted-name-of-torch-by-global": (
        lambda bait: called(named("torch.serialization", "os.system"), bait.command),
        Refused(("torch.serialization.os.system",)),
    ),
    "names-of-python-2": (
        lambda bait: called(named("__builtin__", "eval"), bait.code),
        Refused(("builtin__.eval", "builtins.eval")),
    ),
    "names-of-python-2-for-commands": (
        lambda bait: called(named("commands", "getoutput"), bait.command),
        Refused(("getoutput",)),
    ),
    "main-module": (
        lambda bait: called(named("__main__", "os.system"), bait.command),
        Refused(("__main__.os.system",)),
    ),
}

for _id, (_payload, _must) in _OPCODES.items():
    SHELF.add(
        f"{_id}-in-zip",
        _must,
        lambda bait, payload=_payload: torch_zip(bait.file(), state(beside=payload(bait))),
    )


def _old(bait: Bait, payload: Payload) -> Path:
    return legacy(bait.file(), old_state(beside=payload(bait)))


for _id in ("reduce", "obj", "inst", "newobj", "stack-global", "outcome-thrown-away"):
    _payload, _must = _OPCODES[_id]
    SHELF.add(f"{_id}-in-legacy", _must, lambda bait, payload=_payload: _old(bait, payload))
    SHELF.add(
        f"{_id}-in-tar",
        _must,
        lambda bait, payload=_payload: tarred(
            bait.file(), {"layer.weight": persistent("7"), "beside": payload(bait)}
        ),
    )


class _Runs:
    """What Python's own pickler writes for a class with `__reduce__`, in a given protocol."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        import os

        return os.system, (self.command,)


for _protocol in range(6):
    SHELF.add(
        f"protocol-{_protocol}-in-zip",
        Refused(("posix.system", "os.system")),
        lambda bait, protocol=_protocol: torch_zip(
            bait.file(), pickle.dumps({"a": _Runs(bait.command)}, protocol)
        ),
    )
    SHELF.add(
        f"protocol-{_protocol}-alone",
        Refused(("posix.system", "os.system", "a pickle", "not a checkpoint")),
        lambda bait, protocol=_protocol: _written(
            bait.file(), pickle.dumps({"a": _Runs(bait.command)}, protocol)
        ),
    )


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@SHELF.refused("os.system")
def the_whole_value(bait: Bait) -> Path:
    return torch_zip(bait.file(), called(SYSTEM, bait.command))


@SHELF.refused("os.system")
def legacy_magic_is_a_call(bait: Bait) -> Path:
    start = (called(SYSTEM, bait.command), 1001, {"little_endian": True})
    return legacy(bait.file(), old_state(), start=start)


@SHELF.refused("os.system")
def legacy_system_facts_call(bait: Bait) -> Path:
    start = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": called(SYSTEM, bait.command)})
    return legacy(bait.file(), old_state(), start=start)


@SHELF.refused("os.system")
def legacy_keys_are_a_call(bait: Bait) -> Path:
    return legacy(bait.file(), old_state(), keys=called(SYSTEM, bait.command))


@SHELF.refused("os.system")
def tar_storages_call(bait: Bait) -> Path:
    return tarred(bait.file(), storages=pickled(called(SYSTEM, bait.command)))


@SHELF.refused("os.system")
def tar_tensors_call(bait: Bait) -> Path:
    return tarred(bait.file(), tensors=pickled(called(SYSTEM, bait.command)))


@SHELF.refused("os.system")
def storage_class_is_a_function(bait: Bait) -> Path:
    pid = ("storage", SYSTEM, "0", "cpu", 4)
    return torch_zip(bait.file(), {"layer.weight": tensor(of=persistent(pid))})


@SHELF.refused("os.system")
def persistent_id_is_a_call(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(beside=persistent(called(SYSTEM, bait.command))))


@SHELF.refused("os.system")
def persistent_id_holds_a_call(bait: Bait) -> Path:
    pid = ("storage", named("torch", "FloatStorage"), "0", called(SYSTEM, bait.command), 4)
    return torch_zip(bait.file(), {"layer.weight": tensor(of=persistent(pid))})


@SHELF.refused("os.system")
def persistent_id_within_a_persistent_id(bait: Bait) -> Path:
    inner = persistent(("storage", SYSTEM, "0", "cpu", 4))
    pid = ("storage", inner, "0", "cpu", 4)
    return torch_zip(bait.file(), {"layer.weight": tensor(of=persistent(pid))})


for _id, _pid in {
    "text": "0",
    "number": 7,
    "none": None,
    "empty": (),
    "too-short": ("storage", "x"),
    "list": ["storage", named("torch", "FloatStorage"), "0", "cpu", 4],
    "too-long": ("storage", named("torch", "FloatStorage"), "0", "cpu", 4, None, None, None),
    "other-kind": ("module", named("torch", "FloatStorage"), "0", "cpu", 4),
    "class-is-a-text": ("storage", "torch.FloatStorage", "0", "cpu", 4),
    "class-is-no-storage": ("storage", named("torch.nn", "Linear"), "0", "cpu", 4),
    "key-is-a-list": ("storage", named("torch", "FloatStorage"), [], "cpu", 4),
    "key-is-a-dict": ("storage", named("torch", "FloatStorage"), {}, "cpu", 4),
    "key-leads-away": ("storage", named("torch", "FloatStorage"), "../data.pkl", "cpu", 4),
    "key-is-empty": ("storage", named("torch", "FloatStorage"), "", "cpu", 4),
    "count-is-a-text": ("storage", named("torch", "FloatStorage"), "0", "cpu", "4"),
    "count-is-negative": ("storage", named("torch", "FloatStorage"), "0", "cpu", -4),
    "count-is-huge": ("storage", named("torch", "FloatStorage"), "0", "cpu", 10**400),
    "count-is-true": ("storage", named("torch", "FloatStorage"), "0", "cpu", True),
    "count-is-a-float": ("storage", named("torch", "FloatStorage"), "0", "cpu", 4.0),
}.items():
    SHELF.add(
        f"persistent-id-{_id}",
        Refused(("storage", "record")),
        lambda bait, pid=_pid: torch_zip(bait.file(), {"layer.weight": tensor(of=persistent(pid))}),
    )


@SHELF.refused("storage")
def persistent_id_by_line(bait: Bait) -> Path:
    """PERSID of protocol 0: the id is a line of text."""
    return torch_zip(bait.file(), {"layer.weight": tensor(of=Raw(b"Pstorage 0 cpu\n"))})


@SHELF.read()
def legacy_module_source(bait: Bait) -> Path:
    """Torch of 2017 kept the source of modules beside them: a persistent id of its own kind.

    It is text, and stays text.
    """
    source = persistent(("module", named("nobody", "Net"), "net.py", bait.code))
    return legacy(bait.file(), old_state(beside=called(source, 1)))


@SHELF.refused("storage")
def legacy_view_of_a_storage_lies(bait: Bait) -> Path:
    of = old_storage(view=("0-view", 2**40, 4))
    return legacy(bait.file(), {"layer.weight": tensor(of=of)})


@SHELF.refused("extension", "pickle")
def extension_codes(bait: Bait) -> Path:
    """EXT1, EXT2 and EXT4 name functions by numbers that only copyreg knows."""
    call = Raw(b"\x82\x01" + ops((bait.command,)) + b"R")
    return torch_zip(bait.file(), state(beside=call))


@SHELF.refused("extension", "pickle")
def extension_code_of_four_bytes(bait: Bait) -> Path:
    call = Raw(b"\x84\x01\x00\x00\x00" + ops((bait.command,)) + b"R")
    return torch_zip(bait.file(), state(beside=call))


@SHELF.refused("pickle", "buffer")
def buffer_out_of_band(bait: Bait) -> Path:
    """NEXT_BUFFER asks for a buffer that no file has."""
    return torch_zip(bait.file(), pickled(state(beside=Raw(b"\x97")), 5))


@SHELF.read()
def pickle_within_a_text(bait: Bait) -> Path:
    """A pickle as bytes within a pickle is bytes, however it calls: nobody reads it."""
    inner = pickled(called(SYSTEM, bait.command))
    return torch_zip(bait.file(), pickled(state(beside=inner), 4))


@SHELF.refused("pickle.loads", "pickle")
def pickle_within_a_pickle(bait: Bait) -> Path:
    inner = pickled(called(SYSTEM, bait.command))
    call = called(named("pickle", "loads"), inner)
    return torch_zip(bait.file(), pickled(state(beside=call), 4))


@SHELF.refused("torch.storage._load_from_bytes", "_load_from_bytes")
def pickle_within_storage_bytes(bait: Bait) -> Path:
    inner = pickled(called(SYSTEM, bait.command))
    call = called(named("torch.storage", "_load_from_bytes"), inner)
    return torch_zip(bait.file(), pickled(state(beside=call), 4))


@SHELF.refused("os.system")
def hooks_of_a_tensor(bait: Bait) -> Path:
    hooks = ordered((1, SYSTEM))
    return torch_zip(bait.file(), {"layer.weight": tensor(hooks=hooks)})


@SHELF.refused("hook")
def hooks_of_nobody(bait: Bait) -> Path:
    hooks = ordered((1, named("nobody", "hook")))
    return torch_zip(bait.file(), {"layer.weight": tensor(hooks=hooks)})


@SHELF.refused("hook")
def hooks_of_a_parameter(bait: Bait) -> Path:
    hooks = ordered((1, named("nobody", "hook")))
    made = called(named("torch._utils", "_rebuild_parameter"), tensor(), True, hooks)
    return torch_zip(bait.file(), {"layer.weight": made})


@SHELF.refused("os.system")
def state_of_a_tensor_calls(bait: Bait) -> Path:
    made = built(tensor(), {"a": called(SYSTEM, bait.command)})
    return torch_zip(bait.file(), {"layer.weight": made})


@SHELF.refused("attribute", "state", "tensor")
def state_of_a_tensor(bait: Bait) -> Path:
    """BUILD on a tensor puts attributes over its methods."""
    made = built(tensor(), {"__class__": 1, "numpy": "mine", "_backward_hooks": {"0": 1}})
    return torch_zip(bait.file(), {"layer.weight": made})
