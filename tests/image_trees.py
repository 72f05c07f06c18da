"""Small trees of class folders, in folders and archives."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from snas_tune.data import ImageSet, check, load

SUFFIXES = [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip"]


def encoded(
    value: int, mode: str = "L", size: tuple[int, int] = (4, 4), kind: str = "PNG"
) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value, 0, 255 - value)).save(stream, kind)
    return stream.getvalue()


def tree_of(*names: str, mode: str = "L") -> dict[str, bytes]:
    return {name: encoded(10 * (i + 1), mode) for i, name in enumerate(names)}


PETS = tree_of("dog/1.png", "cat/b.png", "cat/a.PNG", "dog/deep/er/2.png")
SPLIT = tree_of(
    *("train/cat/1.png", "train/dog/1.png", "train/dog/2.png"),
    *("test/cat/9.png", "test/dog/9.png", "val/dog/7.png"),
)


def write_folder(root: Path, contents: Mapping[str, bytes]) -> Path:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_archive(path: Path, contents: Mapping[str, bytes], folders: tuple[str, ...] = ()) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name in folders:
                zipped.writestr(name + "/", b"")
            for name, content in contents.items():
                zipped.writestr(name, content)
        return path
    kind = {".tar": "w", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w:gz")
    with tarfile.open(path, kind) as tar:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def first_pixels(data: ImageSet) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()


def same(one: ImageSet, other: ImageSet) -> bool:
    return (
        np.array_equal(one.images, other.images)
        and np.array_equal(one.labels, other.labels)
        and one.classes == other.classes
    )


def refusal(path: Path | str, **form: Any) -> str:
    """The one line by which both the check before a sweep and the reading refuse a source."""
    lines = []
    for ask in (load, check):
        with pytest.raises(ValueError, match=r".") as caught:
            ask(str(path), root=".", **form)
        lines.append(str(caught.value))
    assert lines[0] == lines[1]
    assert "\n" not in lines[0]
    return lines[0]
