"""Files that a command is asked to write: refused early where they could not be."""

from __future__ import annotations

from pathlib import Path

from snas_tune.checks import check_value
from snas_tune.text_checks import PATH


def check_output(name: str, path: Path) -> None:
    """Refuse a file that could not be written, before anything long is done for it.

    Args:
        name: of the flag.
        path: of the file; its folder must be there, as a mistyped one would be.

    Raises:
        ValueError: it is a folder, or its folder is missing, or nothing can be written there.
    """
    from snas_tune.front.storage import check_writable

    check_value(name, path, PATH)
    folder = path.parent
    if path.is_dir():
        raise ValueError(f"{name} must be a file, got the directory {path}")
    if not folder.is_dir():
        raise ValueError(f"{name} must lie in a folder that is there, got {path}: no {folder}")
    check_writable(str(folder))
