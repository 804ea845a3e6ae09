"""Files that take their name only when they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT_CLOSED = "stdout is closed; give -o, or send it to a file or pipe"


def check_writable(path: str) -> None:
    """Raises OSError when no file of this name can be made."""
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder if not os.path.exists(path) or os.path.isfile(path) else path, os.W_OK):
        raise PermissionError(f"cannot write {path}: no permission to write there")


@contextmanager
def complete_file(path: str) -> Iterator[str]:
    """A name to write under; the file takes its own name when the block ends well, and goes when it
    does not.

    A pipe or device is written as it is. Raises OSError when the path cannot be written.
    """
    check_writable(path)
    if os.path.exists(path) and not os.path.isfile(path):
        yield path
        return
    final = os.path.realpath(path)
    part = f"{final}.part{os.getpid()}"
    try:
        yield part
        os.replace(part, final)
    finally:
        if os.path.exists(part):
            os.unlink(part)


def write(path: str, content: str | bytes) -> None:
    """The whole content, or nothing, under that name. Raises OSError when the path cannot be
    written."""
    with complete_file(path) as part, open(part, "wb") as handle:
        handle.write(content if isinstance(content, bytes) else content.encode())
