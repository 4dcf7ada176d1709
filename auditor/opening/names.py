"""The names that a pickle asks Python for, and what is thought of each.

Nothing that a pickle names is ever imported, looked up or called; names are judged as texts:

- *understood*: what tensors and plain values are made of; the tree holds the values themselves;
- a *stand-in*: any other class; the tree holds an `Opaque` with its name, and the report lists it;
- *forbidden*: what no checkpoint needs, for it acts; a file that asks for it is refused.
"""

import re
import sys

PLAIN = frozenset(
    {
        "collections.OrderedDict",
        "torch.Size",
        "torch.device",
        "torch.Tensor",
        "torch.nn.parameter.Parameter",
        "torch.nn.parameter.Buffer",
        "torch._tensor._rebuild_from_type",
        "torch._tensor._rebuild_from_type_v2",
        "torch.serialization._get_layout",
        "torch.autograd.variable.Variable",
        "torch.torch_version.TorchVersion",
        "_codecs.encode",
    }
)
"""What tensors and numbers are saved with, beside `PLAIN_PATTERN`; the report does not list it."""

PLAIN_PATTERN = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\.(?:cuda\.|storage\.)?\w+Storage"
    r"|torch\.(?:cuda\.)?[A-Z]\w*Tensor|torch\.(?:b?float|complex|q?u?int|bits)\d+(?:x\d)?(?:_\w+)?"
    r"|torch\.(?:bool|strided|sparse_\w+|(?:contiguous|preserve)_format|channels_last\w*|per_\w+)"
    r"|builtins\.(?:set|frozenset|complex|bytearray|bytes|list|dict|tuple|int|float|str|bool|object)"
)
"""Rebuilders of tensors, storages, types, layouts, and what Python itself is made of."""

CALLED = frozenset(
    {
        "argparse.Namespace",
        "array.array",
        "array._array_reconstructor",
        "builtins.getattr",
        "builtins.iter",
        "builtins.range",
        "builtins.slice",
        "builtins.reversed",
        "builtins.enumerate",
        "builtins.zip",
        "copyreg.__newobj__",
        "copyreg._reconstructor",
        "decimal.Decimal",
        "fractions.Fraction",
        "functools.partial",
        "io.BytesIO",
        "io.StringIO",
        "_io.BytesIO",
        "_io.StringIO",
        "logging.Logger",
        "logging.getLogger",
        "logging.RootLogger",
        "operator.getitem",
        "_operator.getitem",
        "operator.or_",
        "optparse.Values",
        "random.Random",
        "re._compile",
        "string.Template",
        "threading.local",
        "time.struct_time",
        "types.SimpleNamespace",
        "types.MappingProxyType",
        "types.GenericAlias",
        "uuid.UUID",
        "uuid.SafeUUID",
        "zoneinfo.ZoneInfo._unpickle",
        "torch.dtype",
        "torch.Generator",
        "torch._C.Generator",
        "torch.finfo",
        "torch.iinfo",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.ma.core._mareconstruct",
        "numpy.ma._mareconstruct",
        "numpy.poly1d",
        "numpy._core.records.recarray",
    }
)
"""What may be called of modules that otherwise hold too much that acts: Python's, torch, numpy."""

CALLED_PATTERN = re.compile(
    r"(?:collections|pathlib(?:\._local)?|datetime|_pydatetime|enum|ipaddress)\.\w+"
    r"|itertools\.(?:chain|count|cycle|islice|product|repeat)|weakref\.(?:ref|Weak\w+)"
    r"|(?:typing|inspect|dataclasses|builtins)\.[A-Z_]\w*"
    r"|torch\.return_types\.\w+|torch\.jit\._pickle\.\w+"
    r"|torch\.(?:[a-z_]\w*\.)*_?[A-Z]\w*(?:\.[A-Z]\w*)*"
    r"|numpy\.dtypes\.\w+|numpy\.(?:float|int|uint|complex|bool|str|bytes)_?\d*_?"
    r"|numpy\.random\.(?:_\w+|mtrand|bit_generator)\.\w+"
)

ACTING = frozenset(
    {
        *("os", "posix", "nt", "subprocess", "_posixsubprocess", "pty", "commands", "popen2"),
        *("sys", "importlib", "imp", "runpy", "pkgutil", "zipimport", "site", "code", "codeop"),
        *("ctypes", "_ctypes", "cffi", "marshal", "pickle", "_pickle", "cPickle", "pickletools"),
        *("shutil", "tempfile", "socket", "_socket", "socketserver", "ssl", "urllib", "urllib2"),
        *("http", "ftplib", "smtplib", "telnetlib", "poplib", "imaplib", "nntplib", "xmlrpc"),
        *("multiprocessing", "asyncio", "signal", "webbrowser", "antigravity", "atexit"),
        *("pdb", "bdb", "cmd", "timeit", "trace", "profile", "cProfile", "doctest", "pydoc"),
        *("distutils", "ensurepip", "venv", "idlelib", "lib2to3", "shelve", "dbm", "sqlite3"),
        *("pip", "setuptools", "pkg_resources", "IPython", "dill", "cloudpickle", "joblib"),
        *("torch.hub", "torch.package", "torch.utils.cpp_extension", "torch.multiprocessing"),
        *("torch.utils.model_zoo", "torch.fx.graph_module", "torch.utils.benchmark"),
        *("torch.jit.frontend", "torch.jit._script", "torch.classes", "torch.ops"),
        *("numpy.testing", "numpy.f2py", "numpy.distutils", "numpy.ctypeslib"),
    }
)
"""Modules of which nothing belongs into a checkpoint, called or not, with all below them."""

ACTING_ANYWHERE = frozenset(
    {
        *(
            "eval",
            "exec",
            "system",
            "popen",
            "spawn",
            "import_module",
            "load_module",
            "run",
            "main",
        ),
        *("load", "loads", "unsafe_load", "full_load", "read_pickle", "sympify", "urlopen", "open"),
        *("check_call", "check_output", "getoutput", "call", "request", "get", "post", "download"),
        *("remove", "unlink", "rmtree", "rmdir", "touch", "write_text", "write_bytes", "chmod"),
    }
)
"""Names of functions, whoever wrote them, that no object is made by."""

ACTING_CLASSES = frozenset({"torch.jit.CompilationUnit", "torch._C.CompilationUnit"})
"""Classes that act when they are made, of modules that are not `ACTING`."""

NAME = re.compile(r"(?:[^\W\d][\w-]*|<locals>|<lambda>)(?:\.(?:[\w-]+|<locals>|<lambda>))*")
"""What the dotted name of a class looks like; a package may have a folder's name, with hyphens."""

ACTING_NAMES = frozenset(
    {
        *("eval", "exec", "execfile", "compile", "open", "__import__", "apply", "input"),
        *("setattr", "delattr", "globals", "locals", "vars", "breakpoint", "exit", "quit"),
    }
)
"""What of Python's own names is refused even where nothing calls it."""

BETRAYING = frozenset(
    {"os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "importlib", "builtins"}
    | {"ctypes", "pickle", "runpy", "marshal", "pty"}
)
"""Names of modules that stand in other modules, whose own names could be reached through them."""

RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg", "__builtins__": "builtins"}
"""Modules that Python 2 called otherwise."""

STANDARD = frozenset(sys.stdlib_module_names) | {"distutils", "imp", "asyncore", "nt", "posix"}


def spelt(module: str, name: str) -> tuple[str, str]:
    """Return a module and a name in it as today's Python, torch and numpy spell them."""
    module = RENAMED.get(module, module)
    if module == "numpy.core" or module.startswith("numpy.core."):
        module = "numpy._core" + module.removeprefix("numpy.core")
    if module == "builtins" and name in ("unicode", "long", "xrange"):
        name = {"unicode": "str", "long": "int", "xrange": "range"}[name]
    return module, name


def is_plain(dotted: str) -> bool:
    """Tell whether a name is one that plain tensors and numbers are saved with."""
    return dotted in PLAIN or PLAIN_PATTERN.fullmatch(dotted) is not None


def is_forbidden(module: str, name: str, called: bool) -> bool:
    """Tell whether a file that asks for a name is refused; `called`: it wants it called, too."""
    dotted = f"{module}.{name}"
    if is_plain(dotted):
        return False
    parts = name.split(".")
    if dotted in ACTING_CLASSES or (called and parts[-1] in ACTING_ANYWHERE):
        return True
    if called and (dotted in CALLED or CALLED_PATTERN.fullmatch(dotted)):
        called = False
    if not BETRAYING.isdisjoint(part.lstrip("_") for part in parts) or any(map(_is_magic, parts)):
        return dotted not in CALLED
    if module == "builtins" and parts[0] in ACTING_NAMES:
        return True
    outer = module.split(".")
    if any(".".join(outer[:length]) in ACTING for length in range(1, len(outer) + 1)):
        return True
    return called and outer[0] in STANDARD | {"torch", "numpy"}


def _is_magic(part: str) -> bool:
    return part.startswith("__") and part.endswith("__")
