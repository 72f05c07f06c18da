"""Archives of class folders: they give what their folders give, and damage is named."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from image_trees import PETS, SUFFIXES, same, tree_of, write_archive, write_folder
from PIL import Image

from snas_tune.data import ImageSet, check, load


def images_or_refusal(path: Path) -> ImageSet | str:
    try:
        return load(str(path), root=".")
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("base", ["", "./", "pets/", "a/b/"])
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, suffix: str, base: str) -> None:
    folder = write_folder(tmp_path / "pets", PETS)
    contents = {base + name: content for name, content in PETS.items()}
    path = write_archive(tmp_path / f"pets{suffix}", contents)
    assert same(load(str(path), root="."), load(str(folder), root="."))
    check(str(path), root=".")


def test_an_archive_of_one_class_is_not_stepped_into(tmp_path: Path) -> None:
    names = ("cat/1.png", "cat/deep/2.png", "cat/deeper/3.png")
    path = write_archive(tmp_path / "x.zip", tree_of(*names))
    with pytest.raises(ValueError, match=r"two classes, got 1 \(\['cat'\]\) in .*x\.zip$"):
        load(str(path), root=".")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("broken", ["cut", "garbage", "empty"])
def test_an_unreadable_archive_is_named(tmp_path: Path, suffix: str, broken: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    path = write_archive(tmp_path / f"x{suffix}", PETS | {"dog/big.png": stream.getvalue()})
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "garbage": b"x" * 999, "empty": b""}[broken])
    message = rf"^archive must be a whole tar or zip file, got {path} \("
    for ask in (load, check):
        with pytest.raises(ValueError, match=message) as caught:
            ask(str(path), root=".")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2", ".zip"])
def test_an_archive_with_altered_bytes_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 16, (200, 200), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "BMP")
    path = write_archive(tmp_path / f"x{suffix}", {"dog/big.bmp": stream.getvalue()} | PETS)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = b"\xff" * 64
    path.write_bytes(content)
    for ask in (load, check):
        with pytest.raises(ValueError, match=rf"^archive must be a whole .*, got {path} \("):
            ask(str(path), root=".", image_size=4)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".zip"])
def test_a_damaged_archive_is_named_or_gives_the_same_images(tmp_path: Path, suffix: str) -> None:
    path = write_archive(tmp_path / f"x{suffix}", PETS)
    before, whole = load(str(path), root="."), path.read_bytes()
    # A plain tar file ends in zeros, and has checksums of its headers alone: every other block.
    end = 2 * 512 * len(PETS) if suffix == ".tar" else len(whole)
    message = rf"^archive must be a whole .*, got {path} \("
    for i in np.linspace(1, end - 8, 16).astype(int).tolist():
        path.write_bytes(whole[:i])
        with pytest.raises(ValueError, match=message):
            check(str(path), root=".")
        if suffix != ".tar" or i % 1024 <= 504:
            path.write_bytes(whole[:i] + bytes(b ^ 0x55 for b in whole[i : i + 8]) + whole[i + 8 :])
            found = images_or_refusal(path)
            if isinstance(found, str):
                assert re.match(message, found)
            else:  # dates, for one, are read by nobody
                assert same(found, before)


def test_a_tar_file_whose_end_is_missing_between_two_members_is_named(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "x.tar", PETS)
    path.write_bytes(path.read_bytes()[: 3 * 1024])
    message = rf"^archive must be a whole .*, got {path} \(empty header at byte 3072\)$"
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask(str(path), root=".")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.rar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^an archive of images must end in .*, got .*x\.rar$"):
        check(str(tmp_path / "x.rar"), root=".")
