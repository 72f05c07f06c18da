"""Archives of class folders: they give what their folders give, and damage is named."""

from __future__ import annotations

import io
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_trees import (
    PETS,
    SUFFIXES,
    encoded,
    first_pixels,
    same,
    tree_of,
    write_archive,
    write_folder,
)
from PIL import Image

from snas_tune.data import ImageSet, check, load
from snas_tune.data.found import LeftOut


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


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that comes twice
        for name, content in entries:
            archive.writestr(name, content)
    return path


def tarred(path: Path, *entries: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def place(write: Callable[..., Path], folder: Path, entries: list[tuple[str, bytes]]) -> Path:
    return write(folder / ("x.zip" if write is zipped else "x.tar"), *entries)


def left_out(data: ImageSet) -> dict[str, LeftOut]:
    assert data.found is not None
    return dict(data.found.left_out)


@pytest.mark.parametrize("write", [zipped, tarred])
@pytest.mark.parametrize("again", ["cat/1.png", "./cat/1.png", "cat//1.png"])
def test_of_a_name_that_comes_twice_the_last_one_counts(
    tmp_path: Path, write: Callable[..., Path], again: str
) -> None:
    entries = [("cat/1.png", encoded(1)), ("dog/1.png", encoded(2)), (again, encoded(3))]
    data = load(str(place(write, tmp_path, entries)), root=".")
    assert first_pixels(data) == [3, 2]
    assert left_out(data) == {"named twice": LeftOut(1, ("cat/1.png",))}


@pytest.mark.parametrize("write", [zipped, tarred])
def test_names_that_lead_out_of_an_archive_are_left_out(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    outside = ["/etc/x/1.png", "../up/2.png", "cat/../../3.png", "C:/temp/4.png"]
    entries = [(name, encoded(9)) for name in (*outside, "cat/1.png", "dog/1.png")]
    data = load(str(place(write, tmp_path, entries)), root=".")
    assert data.classes == ("cat", "dog")
    assert left_out(data) == {"outside the archive": LeftOut(4, tuple(sorted(outside)))}


@pytest.mark.parametrize("write", [zipped, tarred])
def test_an_archive_with_backslashes_is_read(tmp_path: Path, write: Callable[..., Path]) -> None:
    entries = [(name.replace("/", "\\"), content) for name, content in PETS.items()]
    entries.append(("\\\\server\\share\\1.png", encoded(9)))
    data = load(str(place(write, tmp_path, entries)), root=".")
    folder = write_folder(tmp_path / "pets", PETS)
    assert same(data, load(str(folder), root="."))
    assert left_out(data)["outside the archive"].count == 1


def test_links_in_a_zip_are_no_images(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/link.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    entries = [(link, b"1.png"), ("cat/1.png", encoded(1)), ("dog/1.png", encoded(2))]
    data = load(str(zipped(tmp_path / "x.zip", *entries)), root=".")
    assert first_pixels(data) == [1, 2]
    assert left_out(data) == {"special": LeftOut(1, ("cat/link.png",))}
