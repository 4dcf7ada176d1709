"""Reading many files fast: each in a forked process that does what the real one does.

`python -m tests.hostile.many` takes lines of JSON, `[path, room]`, on its standard input, and
answers each with a line: what `auditor.opening.child` found, or how it died. What is saved is the
start of Python, not a limit. Nothing here imports torch, whose memory would not fit the limits.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from auditor.core.errors import InputError
from auditor.opening import child
from auditor.opening.files import opened
from auditor.opening.kinds import reader_of_file, reader_of_folder
from auditor.opening.process import COMPUTING, READERS
from auditor.opening.readers import (  # noqa: F401 - read before the fork, which then need not
    dcp,
    folder,
    safetensors,
    torch_legacy,
    torch_tar,
    zipped,
)
from auditor.opening.reading import MOST_SPILLED


def main() -> None:
    for line in sys.stdin:
        path, room = json.loads(line)
        print(json.dumps(_read(Path(path), Path(room))), flush=True)


def _read(path: Path, room: Path) -> dict[str, Any]:
    try:
        file = None if path.is_dir() else opened(path)
        reader = reader_of_folder(path)[0] if file is None else reader_of_file(file, path.name)
    except InputError as error:
        return {"refused": str(error)}
    order = {
        "path": str(path),
        "file": file is not None,
        "reader": f"{READERS}.{reader}",
        "allow": [],
        "computing": COMPUTING,
        "largest": MOST_SPILLED,
    }
    (room / child.ORDER).write_text(json.dumps(order))
    (room / child.FOUND).unlink(missing_ok=True)
    forked = os.fork()
    if forked == 0:
        os.dup2(file.fileno() if file is not None else os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(room / "errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        child.main(room)
    _, status = os.waitpid(forked, 0)
    if file is not None:
        file.close()
    if status != 0:
        return {"died": status, "errors": (room / "errors").read_text(errors="replace")}
    return dict(json.loads((room / child.FOUND).read_text()))


if __name__ == "__main__":
    main()
