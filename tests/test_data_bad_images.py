"""Images that cannot be read: all named at once, or left out; and the record of the rest."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_trees import PETS, encoded, first_pixels, refusal, tree_of, write_archive, write_folder
from PIL import Image, ImageFile

from snas_tune.config import SearchConfig
from snas_tune.data import check, images, load
from snas_tune.data.entries import EXTENSIONS, readable_endings
from snas_tune.data.found import Found, LeftOut, left_out, shown
from snas_tune.search.images import load_images


def chunk(kind: bytes, content: bytes) -> bytes:
    sum_ = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)


def huge(side: int = 20_000) -> bytes:
    """A PNG of 400 million pixels in a few bytes."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


LEAVES = '; bad_images="skip" (--bad-images skip) leaves them out'

BAD = {"cat/m.png": huge(), "dog/0.png": b"no image", "dog/z.png": encoded(9)[:50]}


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar.gz"])
def test_all_bad_images_are_named_at_once(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = write_folder(tmp_path / "pets", PETS | BAD)
        message = refusal(path)
    else:
        path = write_archive(tmp_path / f"pets{kind}", PETS | BAD)
        with pytest.raises(ValueError, match=r".") as caught:
            load(str(path), root=".")
        message = str(caught.value)
    assert message.startswith("all images must be readable, got 3 that are not: ")
    for name in BAD:
        assert f"{path}/{name} (" in message
    assert f"{path}/cat/m.png (it has 400 million pixels, at most 178 are read); " in message
    assert message.endswith(LEAVES)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("kind", ["folder", ".zip"])
def test_bad_images_are_left_out_and_counted_on_demand(
    tmp_path: Path, kind: str, cache: bool
) -> None:
    if kind == "folder":
        path = write_folder(tmp_path / "pets", PETS | BAD)
        (path / "dog" / "gone.png").symlink_to("nowhere.png")
    else:
        path = write_archive(tmp_path / f"pets{kind}", PETS | BAD)
    cache_dir = tmp_path / "cache" if cache else None
    check(str(path), root=".", bad_images="skip")
    for _ in range(2):
        data = load(str(path), root=".", bad_images="skip", cache_dir=cache_dir)
        assert first_pixels(data) == [30, 20, 10, 40]
        assert data.labels.tolist() == [0, 0, 1, 1]
        assert isinstance(data.images, np.memmap) == cache
        assert data.found is not None
        unreadable = data.found.left_out["unreadable"]
        assert unreadable.count == len(BAD) + (kind == "folder")
        assert set(unreadable.examples) >= {f"{path}/{name}" for name in BAD}
        (line,) = data.found.notes
        assert line == f"unreadable images left out: {', '.join(unreadable.examples)}"
    if cache_dir is not None:
        (entry,) = (folder for folder in cache_dir.iterdir() if folder.is_dir())
        assert np.load(entry / "images.npy").shape == (4, 1, 4, 4)
        with pytest.raises(
            ValueError, match=r"^all images must be readable, got [34] that are not"
        ):
            load(str(path), root=".", cache_dir=cache_dir)


def test_only_the_first_ten_bad_images_are_named(tmp_path: Path) -> None:
    bad = {f"cat/{i:02}.png": b"" for i in range(25)}
    message = refusal(write_folder(tmp_path, PETS | bad))
    assert message.startswith("all images must be readable, got 25 that are not: ")
    assert "cat/09.png" in message
    assert "cat/10.png" not in message
    assert message.endswith(f"; and 15 more{LEAVES}")


def test_a_class_with_bad_images_alone_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, PETS | {"eel/1.png": b"", "eel/2.png": b""})
    message = rf"^each class must have at least one readable image, got none of eel in {tmp_path}$"
    with pytest.raises(ValueError, match=message):
        load(str(folder), root=".", bad_images="skip")


def test_a_part_with_bad_images_alone_is_named(tmp_path: Path) -> None:
    tree = tree_of(*(f"train/{name}/1.png" for name in ("cat", "dog")))
    folder = write_folder(tmp_path, tree | {"val/cat/1.png": b"", "val/dog/1.png": b""})
    message = rf"^validation images must be readable, got none that is in {tmp_path}$"
    with pytest.raises(ValueError, match=message):
        load(str(folder), root=".", bad_images="skip")


def test_large_images_below_the_limit_are_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # warns above, refuses above its double
    tree = tree_of("a/1.png", "b/1.png") | {"b/2.png": encoded(7, size=(40, 30))}
    data = load(str(write_folder(tmp_path, tree)), root=".", image_size=4)
    assert data.found is not None
    assert data.found.sizes == ((4, 4), (40, 30))


def test_large_images_are_decoded_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, most = [0], [0]
    whole = ImageFile.ImageFile.load

    def slow(image: ImageFile.ImageFile) -> object:
        if not image.tile:  # decoded already
            return whole(image)
        now[0] += 1
        most[0] = max(most[0], now[0])
        time.sleep(0.02)
        now[0] -= 1
        return whole(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", slow)
    folder = str(write_folder(tmp_path, tree_of(*(f"{c}/{i}.png" for c in "ab" for i in range(8)))))
    load(folder, root=".")
    assert most[0] > 1
    most[0] = 0
    monkeypatch.setattr(images, "LARGE", 10)
    load(folder, root=".")
    assert most[0] == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, PETS | tree_of("cat/closed/1.png"))
    for path in (folder / "cat" / "closed", folder / "cat" / "a.PNG"):
        path.chmod(0)
    message = refusal(folder)
    assert "got 2 that are not: " in message
    assert message.count("Permission denied") == 2


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path, PETS | tree_of("cat/closed/1.png"))
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    place = folder / "cat" / "closed"
    assert refusal(folder).startswith(
        f"folder must be readable, got {place} ([Errno 13] Permission"
    )
    data = load(str(folder), root=".", bad_images="skip")
    assert data.found is not None
    assert data.found.left_out["unreadable"] == LeftOut(1, (str(place),))


def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, PETS)
    os.mkfifo(folder / "cat" / "pipe.png")
    data = load(str(folder), root=".")
    assert data.found is not None
    assert data.found.left_out == {"special": LeftOut(1, ("cat/pipe.png",))}


def test_what_was_found_is_on_record(tmp_path: Path) -> None:
    noise = ("README", "cat/a.txt", "dog/._x.png", "Thumbs.db", "__MACOSX/cat/b.png", ".git/x")
    tree = PETS | {"cat/big.png": encoded(5, "RGB", (6, 8)), "top.png": encoded(1)}
    tree |= dict.fromkeys(noise, b"") | {f"cat/{i}.heic": b"" for i in range(12)}
    found = load(str(write_folder(tmp_path, tree)), root=".", image_size=4).found
    assert found is not None
    assert (found.images, found.classes, found.counts) == (5, ("cat", "dog"), (3, 2))
    assert (found.smallest, found.largest) == (("dog", 2), ("cat", 3))
    assert (found.sizes, found.channels) == (((4, 4), (6, 8)), 3)
    counts = {kind: one.count for kind, one in found.left_out.items()}
    if ".heic" not in readable_endings():
        assert counts.pop(".heic") == 12
        assert (
            found.left_out[".heic"].examples
            == tuple(sorted(f"cat/{i}.heic" for i in range(12)))[:10]
        )
    assert counts == {".txt": 1, "hidden": 4, "no ending": 1, "without a class": 1}
    assert Found.from_dict(found.to_dict()) == found


def test_every_source_has_a_record() -> None:
    found = load("digits", root=".").found
    assert found is not None
    assert (found.images, found.sizes, found.left_out) == (1442, ((8, 8), (8, 8)), {})
    assert found.empty == ()


def test_images_that_pillow_cannot_read_are_said_where_there_are_no_others(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat/1.dng": b"", "cat/2.dng": b"", "dog/1.dng": b"", "dog/x.txt": b""})
    assert refusal(tmp_path) == (
        "each class folder must hold at least one image, got none in "
        f"{tmp_path}/cat, {tmp_path}/dog (3 .dng, 1 .txt left out)"
    )


def test_endings_are_those_that_pillow_has_a_decoder_for() -> None:
    always = {".jpg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tiff", ".pgm", ".tga"}
    assert always <= readable_endings() <= EXTENSIONS


@pytest.mark.parametrize(
    ("ending", "kind"),
    [(".jfif", "JPEG"), (".JPE", "JPEG"), (".jp2", "JPEG2000"), (".avif", "AVIF")],
)
def test_rarer_endings_are_read(tmp_path: Path, ending: str, kind: str) -> None:
    if ending.lower() not in readable_endings():
        pytest.skip(f"Pillow cannot read {kind} here")
    tree = {f"{name}/1{ending}": encoded(60, size=(32, 32), kind=kind) for name in "ab"}
    assert len(load(str(write_folder(tmp_path, tree)), root=".")) == 2


def test_names_stand_on_one_line() -> None:
    assert shown("a\nb\x1b\udce9é") == r"a\nb\x1b\udce9é"
    assert left_out({"x": ["b\n", "a"], "y": []}) == {"x": LeftOut(2, ("a", r"b\n"))}


def test_a_search_takes_the_setting(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, PETS | BAD)
    config = SearchConfig(data=str(folder), bad_images="skip")
    assert len(load_images(config)) == 4
    with pytest.raises(ValueError, match=r"^all images must be readable, got 3 that are not"):
        load_images(SearchConfig(data=str(folder)))
