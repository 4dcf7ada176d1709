"""Zip files: those of torch.save, and others told apart by what they hold."""

import zipfile

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.foreign import foreign_zip
from auditor.opening.readers import exported, torch_zip
from auditor.opening.reading import Reading

MOST_ENTRIES = 1_000_000


def read(reading: Reading) -> tuple[str, object]:
    """Return what stands in a zip file.

    Raises:
        InputError: it is damaged, or of a kind that is not read.
    """
    try:
        archive = zipfile.ZipFile(reading.first)
        names = archive.namelist()
        broken = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"a truncated or damaged zip file: {clean_text(error, 120)}") from error
    if broken is not None:
        raise InputError(
            f"the checkpoint is damaged: the checksum of {clean_text(broken)} does not fit its "
            "bytes"
        )
    bare = [name.partition("/")[2] or name for name in names]
    if exported.is_exported(bare):
        return exported.read(reading, archive)
    if "constants.pkl" in bare:
        raise InputError(
            "a TorchScript archive, which holds code; save plain weights instead: "
            "torch.save(torch.jit.load(path).state_dict(), other)"
        )
    if "data.pkl" in bare:
        return torch_zip.read(reading, archive)
    kind = foreign_zip(names)
    if kind is not None:
        raise InputError(str(kind))
    raise InputError(
        f"not a checkpoint: a zip file that torch.save did not write; it holds "
        f"{listed(names, 3) or 'nothing'}"
    )
