"""What people hand in that is not read: told by its marks, with the words for it and what to do.

Each table leads from a mark to what bears it. Tables are looked through in their order.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from auditor.core.text import clean_text


@dataclass(frozen=True)
class Foreign:
    """A kind of file or folder that is not read: what it is, in words, and what to do."""

    words: str
    advice: str

    def __str__(self) -> str:
        return f"not a checkpoint of PyTorch but {self.words}; {self.advice}"


SAVE_ARRAYS = "safetensors.numpy.save_file({name: array, ...}, 'weights.safetensors')"
ORIGINAL = "audit the weights that it was made from"
WEIGHTS = "name the file that holds the weights"
AGAIN = "download it again, and look at what its address shows in a browser"
TABULAR = "only neural networks of PyTorch are audited"

KERAS = f"load it with Keras and save its arrays: {SAVE_ARRAYS}"
JAX = f"restore it with the library that wrote it and save its arrays: {SAVE_ARRAYS}"
TENSORFLOW = (
    f"read its arrays with tf.train.load_checkpoint(path).get_tensor(name) and save them: "
    f"{SAVE_ARRAYS}"
)
SAVED_MODEL = f"load it with tf.saved_model.load(folder) and save its variables: {SAVE_ARRAYS}"
MEGATRON = Foreign(
    "a Megatron checkpoint in parts",
    "put them together with Megatron's tools/checkpoint/convert.py",
)
COREML = Foreign("a Core ML model", ORIGINAL)
ORBAX = Foreign("an Orbax checkpoint of JAX", JAX)
GGML = Foreign("a GGML file of early llama.cpp or whisper.cpp", ORIGINAL)


def _packed(by: str, command: str) -> Foreign:
    return Foreign(f"a file packed by {by}", f"decompress it first: `{command}`")


MAGICS = {
    (0, b"GGUF"): Foreign(
        "a GGUF file of llama.cpp",
        f"{ORIGINAL}, or convert it with transformers: AutoModelForCausalLM"
        ".from_pretrained(folder, gguf_file=name).save_pretrained(other)",
    ),
    (0, b"lmgg"): GGML,
    (0, b"fmgg"): GGML,
    (0, b"tjgg"): GGML,
    (0, b"\x89HDF\r\n\x1a\n"): Foreign("an HDF5 file, as Keras writes (.h5)", KERAS),
    (0, b"\x93NUMPY"): Foreign(
        "a single NumPy array (.npy)",
        "give it a name: torch.save({'weight': torch.from_numpy(numpy.load(path))}, other)",
    ),
    (4, b"TFL3"): Foreign("a TensorFlow Lite model", ORIGINAL),
    (4, b"ORTM"): Foreign("a model of ONNX Runtime (.ort)", "audit the .onnx it was made from"),
    (4, b"ET12"): Foreign("an ExecuTorch program (.pte)", ORIGINAL),
    (0, b"ftrt"): Foreign("a TensorRT engine", ORIGINAL),
    (0, b"\x12\x01\0\0\0\0\0\0"): Foreign(
        "a file of MXNet parameters",
        f"read it with mxnet.nd.load(path) and save its arrays: {SAVE_ARRAYS}",
    ),
    (0, b"\x1f\x8b"): _packed("gzip", "gunzip --keep FILE"),
    (0, b"BZh"): _packed("bzip2", "bunzip2 --keep FILE"),
    (0, b"\xfd7zXZ\0"): _packed("xz", "unxz --keep FILE"),
    (0, b"\x28\xb5\x2f\xfd"): _packed("zstd", "unzstd FILE"),
    (0, b"\x04\x22\x4d\x18"): _packed("lz4", "unlz4 FILE"),
    (0, b"7z\xbc\xaf\x27\x1c"): _packed("7-Zip", "7z x FILE"),
    (0, b"Rar!\x1a\x07"): _packed("RAR", "unrar x FILE"),
    (0, b"SQLite format 3\0"): Foreign("an SQLite database", WEIGHTS),
    (0, b"PAR1"): Foreign("a Parquet table", WEIGHTS),
    (0, b"ARROW1"): Foreign("an Arrow table", WEIGHTS),
    (0, b"%PDF-"): Foreign("a PDF document", WEIGHTS),
    (0, b"\x89PNG\r\n\x1a\n"): Foreign("a PNG picture", WEIGHTS),
    (0, b"\xff\xd8\xff"): Foreign("a JPEG picture", WEIGHTS),
    (0, b"GIF8"): Foreign("a GIF picture", WEIGHTS),
    (0, b"\x7fELF"): Foreign("a program or a library", WEIGHTS),
    (0, b"MZ\x90\0"): Foreign("a program or a library", WEIGHTS),
    (0, b"version https://git-lfs"): Foreign(
        "a Git LFS pointer to the weights", "run `git lfs pull` where it lies"
    ),
}
"""Marks by their place in a file: so many bytes from its start."""

WITHIN_HEAD = {
    b"brain.Event:": Foreign("a TensorBoard log", f"{WEIGHTS}, and this one as training.log"),
}

INDEX_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"

ENDS = {
    INDEX_END: Foreign("the index of a TensorFlow checkpoint", TENSORFLOW),
}

TEXTS = {
    r"(?is)(<!--.*?-->\s*)*<(!doctype html|html|head|body)\b": Foreign("a web page", AGAIN),
    r"(<\?xml[^>]*>\s*)?<Error>": Foreign("the error message of a file store", AGAIN),
    r"(<\?xml[^>]*>\s*)?<net\b": Foreign("an OpenVINO model", ORIGINAL),
    r"<(\?xml|svg)\b": Foreign("an XML file", WEIGHTS),
    r'model_checkpoint_path: "': Foreign("the list of TensorFlow checkpoints", TENSORFLOW),
    r'\{\s*"|\[\s*[\[{"\d-]|[\[{]\s*[\]}]': Foreign("a JSON file", WEIGHTS),
    r"(?m)#!.*python|(?s:.*?)^(import \w|from \S+ import |def \w+\(|class \w+[(:])": Foreign(
        "Python source", f"{WEIGHTS}; a function in this one can be model.factory"
    ),
}
"""Patterns of what a text opens with."""

MESSAGES = {
    frozenset({(1, 0), (2, 2)}): Foreign("a SavedModel of TensorFlow", SAVED_MODEL),
    frozenset({(1, 2), (4, 2)}): Foreign("a graph of TensorFlow or PaddlePaddle", ORIGINAL),
    frozenset({(1, 2), (2, 2), (4, 2)}): Foreign("a graph of TensorFlow", ORIGINAL),
    frozenset({(1, 2), (4, 2), (5, 2)}): Foreign("a graph of PaddlePaddle", ORIGINAL),
    frozenset({(1, 2), (100, 2)}): Foreign("a Caffe model", ORIGINAL),
}
"""Fields (number, kind) of a message in the format of Protocol Buffers."""

FIRST_OF_COREML = 200
"""The number of the first field that only a Core ML model has."""

ZIPPED = {
    "model.weights.h5": Foreign("a Keras model (.keras)", KERAS),
    "MAR-INF/MANIFEST.json": Foreign(
        "a TorchServe archive (.mar)", "unzip it, and audit the weights in it"
    ),
    ".data/extern_modules": Foreign(
        "an archive of torch.package, which holds code",
        "save plain weights where it comes from: torch.save(model.state_dict(), path)",
    ),
    ".npy": Foreign(
        "a zip file of NumPy arrays (.npz)",
        "torch.save({k: torch.from_numpy(a) for k, a in numpy.load(path).items()}, other)",
    ),
    "saved_model.pb": Foreign("a zipped SavedModel of TensorFlow", SAVED_MODEL),
    "[Content_Types].xml": Foreign("an office document", WEIGHTS),
}
"""How the name of an entry of a zip file ends."""

PICKLE_OPENING = re.compile(rb"(?s)\x80.(?:\x95.{8})?(?:c|\x8c.)(\w+)\.")
"""How a pickle opens that holds an object: with the name of its class, of protocol 2 or 4."""

PICKLED = {
    b"fastai": Foreign(
        "an exported Learner of fastai, which holds code",
        "in fastai: torch.save(load_learner(path).model.state_dict(), other)",
    ),
    b"sklearn": Foreign("a scikit-learn model", TABULAR),
    b"joblib": Foreign("a file of joblib", TABULAR),
    b"xgboost": Foreign("an XGBoost model", TABULAR),
    b"lightgbm": Foreign("a LightGBM model", TABULAR),
    b"catboost": Foreign("a CatBoost model", TABULAR),
    b"keras": Foreign("a pickled Keras model", KERAS),
    b"jax": Foreign("a pickle of JAX arrays", JAX),
    b"pandas": Foreign("a pickled table of pandas", WEIGHTS),
}
"""Packages of the class of the object that a pickle holds."""

PADDLE = Foreign(
    "PaddlePaddle parameters (.pdparams)",
    f"read it with paddle.load(path, return_numpy=True) and save its arrays: {SAVE_ARRAYS}",
)
MSGPACK = Foreign("a msgpack file, as Flax writes", JAX)
ZEROS = Foreign("nothing but zeros", "it was not copied or downloaded whole: fetch it again")

FOLDERS = {
    "zero_to_fp32.py": Foreign(
        "a DeepSpeed ZeRO checkpoint",
        "in DeepSpeed: torch.save(deepspeed.utils.zero_to_fp32"
        ".get_fp32_state_dict_from_zero_checkpoint(folder), other)",
    ),
    "mp_rank_00*": MEGATRON,
    "*/mp_rank_00*": MEGATRON,
    "latest_checkpointed_iteration.txt": MEGATRON,
    "saved_model.pb": Foreign("a SavedModel of TensorFlow", SAVED_MODEL),
    "*.index": Foreign("a TensorFlow checkpoint", TENSORFLOW),
    "_CHECKPOINT_METADATA": ORBAX,
    "manifest.ocdbt": ORBAX,
    "*/manifest.ocdbt": ORBAX,
    "*.msgpack": Foreign("a Flax model", JAX),
    "Data/com.apple.CoreML": COREML,
    "*.xml": Foreign("an OpenVINO model", ORIGINAL),
    "*.tfevents.*": Foreign("a folder of TensorBoard logs", WEIGHTS),
    "*.gguf": Foreign("a folder of GGUF files", MAGICS[0, b"GGUF"].advice),
}
"""Names of what lies in a folder."""


def foreign_bytes(head: bytes, tail: bytes) -> Foreign | None:
    """Return what a file is that opens and ends with these bytes, where it is of a foreign kind."""
    if len(head) > 8 and not head.strip(b"\0"):
        return ZEROS
    return (
        _first(kind for (at, mark), kind in MAGICS.items() if head[at:].startswith(mark))
        or _first(kind for mark, kind in WITHIN_HEAD.items() if mark in head)
        or _first(kind for mark, kind in ENDS.items() if tail.endswith(mark))
        or (MSGPACK if _is_msgpack(head) else None)
        or _foreign_text(head)
    )


def foreign_pickle(head: bytes, tail: bytes = b"") -> Foreign | None:
    """Return what a pickle is that opens and ends so, where it is of a foreign kind."""
    if b"StructuredToParameterName@@" in tail:
        return PADDLE
    opening = PICKLE_OPENING.match(head)
    return PICKLED.get(opening[1]) if opening is not None else None


def foreign_message(held: frozenset[tuple[int, int]]) -> Foreign | None:
    """Return what a message with these fields is, where it is of a foreign kind."""
    if (1, 0) in held and any(number >= FIRST_OF_COREML for number, _ in held):
        return COREML
    return MESSAGES.get(held)


def foreign_zip(names: list[str]) -> Foreign | None:
    """Return what a zip file with these entries is, where it is of a foreign kind."""
    return _first(kind for end, kind in ZIPPED.items() if any(n.endswith(end) for n in names))


def foreign_folder(path: Path) -> Foreign | None:
    """Return what a folder holds, where that is of a foreign kind."""
    return _first(kind for name, kind in FOLDERS.items() if next(path.glob(name), None))


def _foreign_text(head: bytes) -> Foreign | None:
    """Return what a text is; the last bytes of `head` may be part of a character."""
    text = head.decode("utf-8", "ignore").removeprefix("\ufeff")
    if len(text.encode()) < len(head) - 6 or any(c < " " and c not in "\t\n\r\f" for c in text):
        return None
    text = text.lstrip()
    plain = Foreign(f"a text file, which starts with {clean_text(text[:24])!r}", WEIGHTS)
    return _first(kind for shape, kind in TEXTS.items() if re.match(shape, text)) or plain


def _is_msgpack(head: bytes) -> bool:
    """Tell whether a mapping opens whose first key is a text."""
    mapping = head[:1] in {b"\xde", b"\xdf"} or 0x81 <= (head or b"\0")[0] <= 0x8F
    skipped = {b"\xde": 3, b"\xdf": 5}.get(head[:1], 1)
    key = head[skipped : skipped + 1]
    return mapping and key != b"" and (0xA1 <= key[0] <= 0xBF or key == b"\xd9")


def _first(kinds: Iterable[Foreign]) -> Foreign | None:
    return next(iter(kinds), None)
