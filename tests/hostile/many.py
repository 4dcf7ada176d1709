"""Reading many files fast: children forked from a process that has imported all that they need.

`python -m tests.hostile.many` takes rooms on its standard input, one a line, each with an order as
`auditor.opening.child` wants it. It answers with the id of the process that reads, and when that
has ended with its exit code, the seconds that it computed and its memory. What is saved is the
start of Python, not a limit. Nothing here imports torch, whose memory would not fit the limits.
"""

import json
import os
import sys
from pathlib import Path

from auditor.opening import child
from auditor.opening.readers import (  # noqa: F401 - read before the fork, which then need not
    dcp,
    folder,
    safetensors,
    torch_legacy,
    torch_tar,
    zipped,
)


def main() -> None:
    for line in sys.stdin:
        room = Path(line.rstrip("\n"))
        order = json.loads((room / child.ORDER).read_text())
        forked = os.fork()
        if forked == 0:
            os.dup2(os.open(order["path"] if order["file"] else os.devnull, os.O_RDONLY), 0)
            child.main(room)
        print(forked, flush=True)
        _, status, used = os.wait4(forked, 0)
        told = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
