"""Functions that a pickle calls to get at others: of Python, of torch, of numpy, of packages."""

from collections.abc import Callable
from typing import Any

from tests.hostile.cases import Bait, Refused, Shelf
from tests.hostile.opcodes import Raw, built, called, named, named_by_texts
from tests.hostile.torch_files import legacy, old_state, ordered, state, tensor, torch_zip

SHELF = Shelf("gadgets")

Payload = Callable[[Bait], Any]

COMMANDS = (
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("os", "popen"),
    ("subprocess", "getoutput"),
    ("subprocess", "check_output"),
    ("subprocess", "run"),
    ("pty", "spawn"),
    ("platform", "popen"),
    ("webbrowser", "open"),
    ("asyncio", "create_subprocess_shell"),
    ("torch.utils.collect_env", "run"),
    ("torch._inductor.codecache", "os.system"),
    ("numpy.distutils.exec_command", "exec_command"),
    ("distutils.spawn", "spawn"),
)
"""What takes the command as its only argument."""

CODE = (
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("__builtin__", "execfile"),
    ("runpy", "run_path"),
    ("runpy", "_run_code"),
    ("code", "interact"),
    ("timeit", "timeit"),
    ("timeit", "main"),
    ("cProfile", "run"),
    ("profile", "run"),
    ("pdb", "run"),
    ("bdb", "Bdb"),
    ("trace", "Trace"),
    ("doctest", "debug_script"),
    ("idlelib.pyshell", "ModifiedInterpreter"),
    ("lib2to3.pgen2.pgen", "ParserGenerator"),
    ("ensurepip", "_run_pip"),
    ("pip", "main"),
    ("pip._internal.cli.main", "main"),
    ("pydoc", "locate"),
    ("pkgutil", "resolve_name"),
    ("importlib", "import_module"),
    ("builtins", "__import__"),
    ("ctypes", "CDLL"),
    ("types", "CodeType"),
    ("types", "FunctionType"),
    ("marshal", "loads"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("pickle", "load"),
    ("shelve", "open"),
    ("dill", "loads"),
    ("cloudpickle", "loads"),
    ("cloudpickle.cloudpickle", "_make_function"),
    ("joblib", "load"),
    ("yaml", "unsafe_load"),
    ("pandas", "read_pickle"),
    ("pandas", "eval"),
    ("logging.config", "listen"),
    ("sympy", "sympify"),
    ("numpy", "load"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.testing", "runstring"),
    ("numpy.f2py.crackfortran", "myeval"),
    ("numpy.f2py.crackfortran", "getlincoef"),
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.hub", "load"),
    ("torch.hub", "load_state_dict_from_url"),
    ("torch.jit", "load"),
    ("torch.jit", "CompilationUnit"),
    ("torch.jit.unsupported_tensor_ops", "execWrapper"),
    ("torch.utils.cpp_extension", "load_inline"),
    ("torch.utils._config_module", "ConfigModule.load_config"),
    ("torch.utils.bottleneck.__main__", "run_cprofile"),
    ("torch.fx.graph_module", "_forward_from_src"),
    ("torch.fx.graph_module", "reduce_graph_module"),
    ("torch.fx._symbolic_trace", "_assert_is_none"),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression"),
    ("torch._dynamo.guards", "GuardBuilder.get"),
    ("torch.distributed.rpc", "rpc_sync"),
    ("torch.multiprocessing.reductions", "rebuild_storage_filename"),
    ("torch.multiprocessing.reductions", "rebuild_tensor"),
    ("torch.package", "PackageImporter"),
    ("torch.ops", "load_library"),
    ("torch.onnx", "export"),
    ("torch", "save"),
)
"""What runs, imports or reads something by a text."""

FILES = (
    ("builtins", "open"),
    ("io", "open"),
    ("io", "FileIO"),
    ("_io", "FileIO"),
    ("os", "remove"),
    ("os", "mkdir"),
    ("os", "open"),
    ("shutil", "rmtree"),
    ("shutil", "copyfile"),
    ("pathlib", "Path.touch"),
    ("pathlib", "Path.write_text"),
    ("tempfile", "NamedTemporaryFile"),
    ("tarfile", "open"),
    ("zipfile", "ZipFile"),
    ("zipfile", "main"),
    ("sqlite3", "connect"),
    ("dbm", "open"),
    ("logging", "FileHandler"),
    ("linecache", "getlines"),
    ("numpy", "memmap"),
    ("numpy", "save"),
    ("numpy", "fromfile"),
    ("torch", "from_file"),
    ("torch", "UntypedStorage.from_file"),
    ("distutils.file_util", "write_file"),
    ("urllib.request", "urlopen"),
    ("socket", "create_connection"),
    ("socket", "socket"),
    ("http.client", "HTTPSConnection"),
    ("requests", "get"),
    ("smtplib", "SMTP"),
    ("ftplib", "FTP"),
)
"""What reads or writes a file, or reaches out."""

ENDINGS = (
    ("sys", "exit"),
    ("os", "_exit"),
    ("os", "abort"),
    ("os", "fork"),
    ("os", "kill"),
    ("signal", "alarm"),
    ("_thread", "interrupt_main"),
    ("threading", "Thread"),
    ("multiprocessing", "Process"),
    ("concurrent.futures", "ProcessPoolExecutor"),
    ("time", "sleep"),
    ("gc", "get_objects"),
    ("faulthandler", "_sigsegv"),
    ("resource", "setrlimit"),
    ("atexit", "register"),
    ("weakref", "finalize"),
    ("inspect", "getsource"),
    ("builtins", "input"),
    ("builtins", "breakpoint"),
    ("builtins", "globals"),
    ("builtins", "vars"),
    ("builtins", "setattr"),
    ("builtins", "delattr"),
    ("builtins", "map"),
    ("builtins", "filter"),
    ("builtins", "type"),
    ("builtins", "super"),
    ("builtins", "object.__getattribute__"),
    ("builtins", "str.format"),
    ("builtins", "memoryview"),
    ("codecs", "open"),
    ("functools", "reduce"),
    ("functools", "cached_property"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("operator", "itemgetter"),
    ("operator", "call"),
    ("itertools", "starmap"),
    ("copyreg", "add_extension"),
    ("copyreg", "pickle"),
    ("sys", "modules.__getitem__"),
    ("sys", "settrace"),
    ("torch", "set_default_device"),
    ("torch", "manual_seed"),
    ("torch.serialization", "add_safe_globals"),
    ("torch._C", "_set_grad_enabled"),
    ("torch", "zeros"),
    ("torch", "empty"),
    ("numpy", "zeros"),
    ("numpy", "set_printoptions"),
)
"""What ends, hangs or changes the process, takes memory, or leads on to others."""


def _spoken(module: str, name: str) -> Refused:
    """The message names the function, by the name that the pickle gives it or by Python 3's."""
    return Refused((f"{module}.{name}", f"builtins.{name}"))


def _in_zip(payload: Payload) -> Callable[[Bait], Any]:
    return lambda bait: torch_zip(bait.file(), state(beside=payload(bait)))


def _called_with(module: str, name: str, what: Payload) -> Payload:
    return lambda bait: called(named(module, name), what(bait))


for _table, _what in (
    (COMMANDS, lambda bait: bait.command),
    (CODE, lambda bait: bait.code),
    (FILES, lambda bait: str(bait.marker)),
    (ENDINGS, lambda bait: 1),
):
    for _module, _name in _table:
        SHELF.add(
            f"{_module}.{_name}",
            _spoken(_module, _name),
            _in_zip(_called_with(_module, _name, _what)),
        )


GETATTR = named("builtins", "getattr")


def _from(module: str, name: str, attribute: str) -> Raw:
    return called(GETATTR, named(module, name), attribute)


CHAINS: dict[str, tuple[Payload, tuple[str, ...]]] = {
    "getattr-to-system": (
        lambda bait: called(_from("os", "path", "os.system"), bait.command),
        ("os.path", "getattr"),
    ),
    "getattr-of-globals": (
        lambda bait: called(_from("torch.nn", "Linear.forward", "__globals__"), "os"),
        ("__globals__",),
    ),
    "getattr-of-a-class": (
        lambda bait: called(_from("nobody", "Thing", "__subclasses__")),
        ("__subclasses__",),
    ),
    "getattr-of-a-list": (
        lambda bait: called(called(GETATTR, [1, 2], "append"), 3),
        ("getattr", "called", "looks up"),
    ),
    "import-then-getattr": (
        lambda bait: called(
            called(GETATTR, called(named("importlib", "import_module"), "os"), "system"),
            bait.command,
        ),
        ("import_module",),
    ),
    "partial-of-eval": (
        lambda bait: called(
            called(named("functools", "partial"), named("builtins", "eval")), bait.code
        ),
        ("eval", "partial"),
    ),
    "reduce-of-getattr": (
        lambda bait: called(named("functools", "reduce"), GETATTR, ["system"], named("os", "path")),
        ("reduce", "getattr", "os.path"),
    ),
    "map-of-system": (
        lambda bait: called(
            named("builtins", "list"),
            called(named("builtins", "map"), named("os", "system"), [bait.command]),
        ),
        ("map", "os.system"),
    ),
    "partial-state": (
        lambda bait: built(
            called(named("functools", "partial"), named("os", "system")),
            (named("os", "system"), (bait.command,), {}, None),
        ),
        ("partial", "os.system"),
    ),
    "default-dict-factory": (
        lambda bait: called(named("collections", "defaultdict"), named("os", "system")),
        ("os.system",),
    ),
    "rebuild-with-a-callable": (
        lambda bait: called(
            named("torch._utils", "_rebuild_wrapper_subclass"),
            named("os", "system"),
            (2, 2),
            (2, 1),
            0,
            "cpu",
            False,
        ),
        ("os.system",),
    ),
    "rebuild-from-type": (
        lambda bait: called(
            named("torch._tensor", "_rebuild_from_type_v2"),
            named("os", "system"),
            named("torch", "Tensor"),
            (bait.command,),
            {},
        ),
        ("os.system",),
    ),
    "rebuild-from-type-with-a-state": (
        lambda bait: called(
            named("torch._tensor", "_rebuild_from_type_v2"),
            named("torch._utils", "_rebuild_tensor_v2"),
            named("subprocess", "Popen"),
            (bait.command,),
            {},
        ),
        ("subprocess.Popen",),
    ),
    "rebuild-device-from-numpy": (
        lambda bait: called(
            named("torch._utils", "_rebuild_device_tensor_from_numpy"),
            called(named("os", "system"), bait.command),
            named("torch", "float32"),
            "cpu",
            False,
        ),
        ("os.system",),
    ),
    "rebuild-parameter-of-a-call": (
        lambda bait: called(
            named("torch._utils", "_rebuild_parameter"),
            called(named("os", "system"), bait.command),
            True,
            ordered(),
        ),
        ("os.system",),
    ),
    "rebuild-parameter-with-state": (
        lambda bait: called(
            named("torch._utils", "_rebuild_parameter_with_state"),
            tensor(),
            True,
            ordered(),
            {"__setstate__": named("os", "system")},
        ),
        ("os.system",),
    ),
    "numpy-reconstruct-of-anything": (
        lambda bait: called(
            named("numpy.core.multiarray", "_reconstruct"),
            named("subprocess", "Popen"),
            (0,),
            b"b".decode(),
        ),
        ("subprocess.Popen",),
    ),
    "numpy-scalar-of-objects": (
        lambda bait: called(
            named("numpy.core.multiarray", "scalar"),
            called(named("numpy", "dtype"), "O8", False, True),
            called(named("os", "system"), bait.command),
        ),
        ("os.system",),
    ),
    "copyreg-reconstructor": (
        lambda bait: called(
            named("copyreg", "_reconstructor"),
            named("subprocess", "Popen"),
            named("builtins", "object"),
            None,
        ),
        ("subprocess.Popen",),
    ),
    "copyreg-newobj": (
        lambda bait: called(
            named("copyreg", "__newobj__"), named("subprocess", "Popen"), bait.command
        ),
        ("subprocess.Popen", "newobj"),
    ),
    "codecs-to-a-name": (
        lambda bait: called(
            named_by_texts("os", called(named("_codecs", "encode"), "system", "ascii")),
            bait.command,
        ),
        ("pickle", "encode"),
    ),
    "text-joined-to-a-name": (
        lambda bait: called(
            named_by_texts("os", called(named("builtins", "str.join"), "", ["sys", "tem"])),
            bait.command,
        ),
        ("pickle", "join"),
    ),
    "state-of-a-module-of-torch": (
        lambda bait: built(
            Raw(named("torch.nn.modules.linear", "Linear") + b")\x81"),
            {"__setstate__": named("os", "system"), "training": True},
        ),
        ("os.system",),
    ),
    "dunder-dict-of-a-module-of-torch": (
        lambda bait: built(
            Raw(named("torch.nn.modules.linear", "Linear") + b")\x81"),
            {"__dict__": {"forward": called(named("builtins", "eval"), bait.code)}},
        ),
        ("eval",),
    ),
    "optimizer-state-calls": (
        lambda bait: built(
            Raw(named("torch.optim.sgd", "SGD") + b")\x81"),
            {"state": {}, "param_groups": called(named("os", "system"), bait.command)},
        ),
        ("os.system",),
    ),
    "path-then-touch": (
        lambda bait: called(
            called(GETATTR, called(named("pathlib", "PosixPath"), str(bait.marker)), "touch")
        ),
        ("PosixPath.touch",),
    ),
    "enum-by-call": (
        lambda bait: called(named("enum", "Enum"), "E", {"a": named("os", "system")}),
        ("os.system",),
    ),
    "namespace-of-a-call": (
        lambda bait: built(
            Raw(named("argparse", "Namespace") + b")\x81"),
            {"lr": called(named("builtins", "eval"), bait.code)},
        ),
        ("eval",),
    ),
    "lambda-by-dill": (
        lambda bait: called(
            called(
                named("dill._dill", "_create_function"),
                called(named("dill._dill", "_create_code"), 1, 0, 0, 1),
            )
        ),
        ("dill",),
    ),
}

for _id, (_payload, _says) in CHAINS.items():
    SHELF.add(_id, Refused(_says), _in_zip(_payload))

for _id in ("getattr-to-system", "partial-of-eval", "rebuild-from-type"):
    _payload, _says = CHAINS[_id]
    SHELF.add(
        f"{_id}-in-legacy",
        Refused(_says),
        lambda bait, payload=_payload: legacy(bait.file(), old_state(beside=payload(bait))),
    )
