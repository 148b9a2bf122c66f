"""Write safetensors files, with the errors and the file mode that other files have. IO."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file. Raises OSError if the system cannot write it; safetensors has an error of its own."""
    try:
        save_file(dict(tensors), path, metadata)
    except SafetensorError as error:
        match = _SYSTEM_ERROR.search(str(error))
        if match is None:
            raise
        code = int(match[1])
        raise OSError(code, os.strerror(code), str(path)) from error
    share(path)


def share(path: Path) -> None:
    """Give a file or folder the mode of a new one: safetensors makes files readable only by their owner."""
    mask = os.umask(0)
    os.umask(mask)
    with suppress(OSError):  # some file systems do not support file modes
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
