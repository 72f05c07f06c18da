"""Folders and archives of class folders, and the cache of what is decoded from them."""

from __future__ import annotations

import io
import json
import multiprocessing
import re
import resource
import tarfile
import zipfile
from collections.abc import Mapping
from multiprocessing import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from snas_tune.data import ImageSet, NoTestImages, Request, check, load, load_test
from snas_tune.data.cache import ArrayFiles, fill
from snas_tune.data.folder import Folder
from snas_tune.data.tree import grow

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


def images_or_refusal(path: Path) -> ImageSet | str:
    try:
        return load(str(path), root=".")
    except ValueError as error:
        return str(error)


def test_a_folder_gives_its_images_sorted_by_class_and_name(tmp_path: Path) -> None:
    data = load(str(write_folder(tmp_path, PETS)), root="nowhere")
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert first_pixels(data) == [30, 20, 10, 40]
    assert data.images.shape == (4, 1, 4, 4)


def test_a_relative_path_is_also_looked_for_below_the_root(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", PETS)
    assert len(load("pets", root=tmp_path)) == 4


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    write_folder(tmp_path, PETS)
    before = load(str(tmp_path), root=".")
    noise = ("README.md", "cat/notes.txt", "cat/._a.png", ".git/x.png", "dog/.cache/y.png")
    write_folder(tmp_path, dict.fromkeys((*noise, "top.png", "__MACOSX/cat/a.png"), b"no image"))
    assert same(load(str(tmp_path), root="."), before)


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar"])
def test_training_and_test_images_are_kept_apart(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        spec = str(write_folder(tmp_path, SPLIT))
    else:
        spec = str(write_archive(tmp_path / f"x{kind}", SPLIT))
    train, test = load(spec, root="."), load_test(spec, root=".")
    assert first_pixels(train) == [10, 20, 30]
    assert first_pixels(test) == [40, 50]
    assert test.labels.tolist() == [0, 1]
    check(spec, root=".", train=False)


def test_val_gives_the_test_images_where_there_is_no_test(tmp_path: Path) -> None:
    names = ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png")
    write_folder(tmp_path, tree_of(*names))
    assert first_pixels(load_test(str(tmp_path), root=".")) == [30, 40]


def test_test_labels_are_those_of_the_training_classes(tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/b/1.png", "train/c/1.png")
    tests = ("test/b/1.png", "test/c/1.png", "test/c/2.png")
    write_folder(tmp_path, tree_of(*names, *tests))
    data = load_test(str(tmp_path), root=".")
    assert (data.classes, data.labels.tolist()) == (("a", "b", "c"), [1, 2, 2])


def test_a_test_class_without_training_images_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, SPLIT | tree_of("test/eel/1.png"))
    with pytest.raises(ValueError, match=r"^test classes must be among .*, got eel in .*"):
        load_test(str(tmp_path), root=".")


def test_a_class_that_is_called_train_is_a_class(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("bus/1.png", "train/1.png"))
    assert load(str(tmp_path), root=".").classes == ("bus", "train")


def test_a_folder_without_a_test_part_has_no_test_images(tmp_path: Path) -> None:
    write_folder(tmp_path, PETS)
    with pytest.raises(ValueError, match=rf"^test images must be in test/ or val/ .* {tmp_path}$"):
        load_test(str(tmp_path), root=".")
    write_folder(tmp_path / "half", tree_of("train/cat/1.png", "train/dog/1.png"))
    assert len(load(str(tmp_path / "half"), root=".")) == 2
    with pytest.raises(ValueError, match=r"^test images must be in test/ or val/"):
        load_test(str(tmp_path / "half"), root=".")


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


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar"])
def test_an_empty_class_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        spec = write_folder(tmp_path, PETS)
        (tmp_path / "eel").mkdir()
    else:
        spec = write_archive(tmp_path / f"x{kind}", PETS, folders=("cat", "eel"))
    message = rf"^class folder must hold at least one image, got none in {spec}/eel$"
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask(str(spec), root=".")


def test_one_class_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("cat/1.png"))
    message = rf"^data must have at least two classes, got 1 \(\['cat'\]\) in {tmp_path}$"
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask(str(tmp_path), root=".")


def test_a_folder_of_images_without_classes_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("1.png", "2.png"))
    with pytest.raises(ValueError, match=r"^data must have at least two classes, got no images in"):
        check(str(tmp_path), root=".")


@pytest.mark.parametrize("content", [b"not an image", encoded(0, size=(64, 64))[:60], b""])
def test_a_corrupt_image_is_named(tmp_path: Path, content: bytes) -> None:
    folder = write_folder(tmp_path / "pets", {**PETS, "dog/bad.png": content})
    archive = write_archive(tmp_path / "pets.tar.gz", {**PETS, "dog/bad.png": content})
    for path in (folder, archive):
        message = rf"^image must be readable, got {path}/dog/bad\.png \("
        with pytest.raises(ValueError, match=message) as caught:
            load(str(path), root=".", image_size=4)
        assert "\n" not in str(caught.value)


def test_images_of_two_sizes_are_refused_unless_they_are_resized(tmp_path: Path) -> None:
    write_folder(tmp_path, PETS | {"eel/1.png": encoded(9, size=(5, 7))})
    message = (
        r"^images must have one size, or image_size must be passed to resize them, "
        rf"got 4x4 \({tmp_path}/cat/a\.PNG\) and 5x7 \({tmp_path}/eel/1\.png\)$"
    )
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask(str(tmp_path), root=".")
    assert load(str(tmp_path), root=".", image_size=6).images.shape == (5, 1, 6, 6)


@pytest.mark.parametrize("colour", [0, 1, 2, 3])
@pytest.mark.parametrize("cache", [False, True])
def test_one_image_in_colour_makes_all_of_them_rgb(
    tmp_path: Path, colour: int, cache: bool
) -> None:
    names = ("a/0.png", "a/1.png", "b/2.png", "b/3.png")
    contents = tree_of(*names) | {names[colour]: encoded(70, "RGB")}
    folder = write_folder(tmp_path / "x", contents)
    cache_dir = tmp_path / "cache" if cache else None
    data = load(str(folder), root=".", cache_dir=cache_dir)
    if cache_dir is not None:
        assert len(list(cache_dir.glob("*/*.npy"))) == 2
    expected = [[10 * (i + 1)] * 3 for i in range(4)]
    expected[colour] = [70, 0, 185]
    assert data.images[:, :, 0, 0].tolist() == expected
    assert load(str(folder), root=".", channels=1).images.shape == (4, 1, 4, 4)


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


def test_check_decodes_one_image_of_each_class_of_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, {**PETS, "dog/0.png": b"no image"})
    with pytest.raises(ValueError, match=rf"^image must be readable, got {tmp_path}/dog/0\.png \("):
        check(str(tmp_path), root=".")


def test_fewer_test_images_than_classes_are_refused(tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/b/1.png", "train/c/1.png", "test/a/1.png", "test/b/1.png")
    write_folder(tmp_path, tree_of(*names))
    message = (
        "^data must have at least as many images as classes, "
        rf"got 3 classes and 2 images in {tmp_path}/test$"
    )
    for ask in (load_test, lambda spec, root: check(spec, root=root, train=False)):
        with pytest.raises(ValueError, match=message):
            ask(str(tmp_path), root=".")


def test_what_does_not_exist_is_said_so(tmp_path: Path) -> None:
    for ask in (load, load_test, check):
        with pytest.raises(ValueError, match=r"^data directory \./nowhere does not exist$"):
            ask("./nowhere", root=tmp_path)
        with pytest.raises(ValueError, match=r"^data archive nowhere\.zip does not exist$"):
            ask("nowhere.zip", root=tmp_path)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.rar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^an archive of images must end in .*, got .*x\.rar$"):
        check(str(tmp_path / "x.rar"), root=".")


NAME = st.sampled_from(["a", "b", "c"])
FILE = st.builds(lambda c, n, e: f"{c}/{n}{e}", NAME, NAME, st.sampled_from([".png", ".txt"]))


@given(st.lists(FILE, unique=True, max_size=12))
@settings(deadline=None)
def test_grow_agrees_with_its_definition(files: list[str]) -> None:
    images = sorted(name for name in files if name.endswith(".png"))
    folders = sorted({name[0] for name in files})
    filled = sorted({name[0] for name in images})
    try:
        tree = grow(Path("x"), files, (), train=True, unwrap=True)
    except ValueError:
        assert folders != filled or len(filled) < 2
    else:
        assert tree.files == tuple(images)
        assert tree.classes == tuple(filled)
        assert [tree.classes[i] for i in tree.labels] == [name[0] for name in images]


def test_a_cache_gives_the_same_images_read_only_and_without_decoding(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", PETS)
    calls: list[int] = []

    def ask() -> ImageSet:
        return load(
            str(folder),
            root=".",
            cache_dir=tmp_path / "cache",
            image_size=8,
            progress=lambda what, done, total: calls.append(done),
        )

    first = ask()
    assert calls == [4]
    second = ask()
    assert calls == [4]
    plain = load(str(folder), root=".", image_size=8)
    assert same(first, plain)
    assert same(second, plain)
    assert isinstance(second.images, np.memmap)
    assert not second.images.flags.writeable
    (entry,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert sorted(p.name for p in entry.iterdir()) == ["images.npy", "labels.npy", "meta.json"]
    assert json.loads((entry / "meta.json").read_text())["classes"] == ["cat", "dog"]


def test_a_cache_is_made_anew_when_anything_changes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", SPLIT)
    cache = tmp_path / "cache"

    def entries() -> int:
        return sum(path.is_dir() for path in cache.iterdir())

    for ask, form in (
        (load, {}),
        (load, {"image_size": 8}),
        (load, {"channels": 3}),
        (load_test, {}),
    ):
        before = entries() if cache.exists() else 0
        ask(str(folder), root=".", cache_dir=cache, **form)
        assert entries() == before + 1
    (folder / "train/dog/2.png").write_bytes(encoded(99))
    assert first_pixels(load(str(folder), root=".", cache_dir=cache)) == [10, 20, 99]
    (folder / "train/dog/3.png").write_bytes(encoded(77))
    assert first_pixels(load(str(folder), root=".", cache_dir=cache)) == [10, 20, 99, 77]


def test_sources_that_are_arrays_are_cached_too(tmp_path: Path) -> None:
    for form in ({}, {"image_size": 12}):
        kept = load("digits", root=".", cache_dir=tmp_path, **form)
        assert same(kept, load("digits", root=".", **form))
    test = load_test("digits", root=".", cache_dir=tmp_path)
    assert same(test, load_test("digits", root="."))


def test_a_failed_decoding_leaves_no_cache(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", {**PETS, "dog/bad.png": b"no"})
    with pytest.raises(ValueError, match=r"^image must be readable"):
        load(str(folder), root=".", cache_dir=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    load("digits", root=".", cache_dir=tmp_path)
    (entry,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (entry / "images.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"^cache must be readable, got {entry} \(.*; delete it$"):
        load("digits", root=".", cache_dir=tmp_path)


def test_a_cache_that_does_not_fit_the_disk_is_not_begun(tmp_path: Path) -> None:
    message = rf"2861022949 MiB are needed, \d+ are free: '{tmp_path.parent}'$"
    with pytest.raises(OSError, match=message):
        ArrayFiles(tmp_path)((10**9, 3, 1000, 1000))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spec", ["digits", "pets"])
def test_where_no_cache_can_be_made_the_images_are_decoded_and_one_line_says_so(
    tmp_path: Path, spec: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path / "pets", PETS)
    (tmp_path / "file").write_text("")
    data = load(spec, root=tmp_path, cache_dir=tmp_path / "file" / "cache")
    assert same(data, load(spec, root=tmp_path))
    (line,) = caplog.messages
    assert line.startswith(f"the data cache {tmp_path}/file/cache cannot be written (")
    assert line.endswith(f"), so each process decodes {spec} itself")


def prepare_without_room(folder: str, cache_dir: str, answers: Queue) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))  # bytes: no array fits
    data = load(folder, root=".", cache_dir=cache_dir)
    answers.put((first_pixels(data), isinstance(data.images, np.memmap)))


def test_a_cache_that_breaks_off_leaves_no_half_of_it(tmp_path: Path) -> None:
    folder, cache = write_folder(tmp_path / "pets", PETS), tmp_path / "cache"
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    worker = context.Process(target=prepare_without_room, args=(str(folder), str(cache), answers))
    worker.start()
    assert answers.get(timeout=60) == ([30, 20, 10, 40], False)
    worker.join()
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert isinstance(load(str(folder), root=".", cache_dir=cache).images, np.memmap)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", PETS)
    (folder / "dog" / "3.png").symlink_to("nowhere.png")
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(ValueError, match=r"^image must be readable, got .*3.png \(.*No such"):
            load(str(folder), root=".", cache_dir=cache)


def test_only_the_lack_of_test_images_is_told_as_such(tmp_path: Path) -> None:
    plain = write_folder(tmp_path / "pets", PETS)
    with pytest.raises(NoTestImages, match=r"^test images must be in test/ or val/ beside train/"):
        load_test(str(plain), root=".")
    broken = write_folder(tmp_path / "broken", {**SPLIT, "test/dog/9.png": b"no"})
    with pytest.raises(ValueError, match=r"^image must be readable") as caught:
        load_test(str(broken), root=".")
    assert not isinstance(caught.value, NoTestImages)


def test_a_cache_that_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", PETS)
    request = Request(spec="pets", root=tmp_path)
    target = tmp_path / "cache" / "entry"
    target.parent.mkdir()
    fill(target, Folder(folder), request)
    before = (target / "images.npy").stat().st_ino
    fill(target, Folder(folder), request)
    assert (target / "images.npy").stat().st_ino == before
    assert list(target.parent.iterdir()) == [target]


def prepare(spec: str, cache_dir: str, gate: Barrier, answers: Queue) -> None:
    decoded: list[int] = []
    gate.wait()
    data = load(
        spec,
        root=".",
        cache_dir=cache_dir,
        progress=lambda what, done, total: decoded.append(done),
    )
    answers.put((int(data.images.astype(int).sum()), len(decoded)))


def test_processes_that_prepare_the_same_at_once_decode_once(tmp_path: Path) -> None:
    names = [f"{c}/{i}.png" for c in "ab" for i in range(100)]
    folder = write_folder(tmp_path / "x", {n: encoded(i) for i, n in enumerate(names)})
    cache = tmp_path / "cache"
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(3), context.Queue()
    workers = [
        context.Process(target=prepare, args=(str(folder), str(cache), gate, answers))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    got = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert {total for total, _ in got} == {sum(range(200)) * 16}
    assert sorted(calls for _, calls in got) == [0, 0, 1]
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1
