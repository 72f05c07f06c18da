"""Archives that a stranger made: their claims are looked at before anything is decompressed."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from image_trees import tree_of

from snas_tune.data import bounds, load


def zipped(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


IMAGES = tree_of("a/0.png", "a/1.png", "b/0.png", "b/1.png")


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=f"^archive must be a whole .*{path}") as caught:
        load(str(path), root=".")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def patched(path: Path, mark: bytes, offset: int, value: int) -> Path:
    content = bytearray(path.read_bytes())
    place = content.rindex(mark) + offset
    content[place : place + 4] = struct.pack("<I", value)
    path.write_bytes(bytes(content))
    return path


def test_images_are_within_the_bounds(tmp_path):
    for path in (zipped(tmp_path / "x.zip", IMAGES), tarred(tmp_path / "x.tar.gz", IMAGES)):
        assert len(load(str(path), root=".")) == 4


def test_a_huge_file_in_a_zip_is_refused_by_its_claim(tmp_path):
    path = patched(zipped(tmp_path / "x.zip", IMAGES), b"PK\1\2", 24, 2 << 30)
    assert "a file in it must have at most 1073741824 bytes, got 2147483648" in refused(path)


def test_a_zip_that_claims_less_than_it_holds_is_refused(tmp_path):
    bomb = {**IMAGES, "b/9.png": bytes(1 << 24)}
    path = patched(zipped(tmp_path / "x.zip", bomb), b"PK\1\2", 24, 1000)
    assert "damaged" in refused(path)


def test_a_list_of_millions_is_refused_before_it_is_read(tmp_path):
    path = patched(zipped(tmp_path / "x.zip", IMAGES), b"PK\5\6", 12, 0xF0000000)
    assert "its list of entries must have at most 1073741824 bytes" in refused(path)


@pytest.mark.parametrize(("suffix", "make"), [("zip", zipped), ("tar.gz", tarred)])
def test_files_that_grow_more_than_images_do_are_refused(tmp_path, monkeypatch, suffix, make):
    bomb = {f"{name}/{i}.png": bytes(1 << 22) for name in ("a", "b") for i in range(4)}
    path = make(tmp_path / f"x.{suffix}", bomb)
    monkeypatch.setattr(bounds, "ALWAYS", 1 << 20)
    assert "the files in it must have at most" in refused(path)


def tar_of(header: tarfile.TarInfo) -> bytes:
    return header.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", bounds.NOTES)
def test_a_name_of_a_gigabyte_is_refused_before_it_is_read(tmp_path, kind):
    header = tarfile.TarInfo("a/x.png")
    header.type, header.size = kind, 1 << 30
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of(header))
    assert "a name in it must have at most 65536 bytes, got 1073741824" in refused(path)


def test_a_huge_file_in_a_tar_is_refused_by_its_header(tmp_path):
    header = tarfile.TarInfo("a/x.png")
    header.size = 2 << 30
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of(header))
    assert "a file in it must have at most 1073741824 bytes, got 2147483648" in refused(path)


def test_more_files_than_any_list_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MOST_FILES", 3)
    assert "it must have at most 3 files" in refused(tarred(tmp_path / "x.tar.gz", IMAGES))
