"""The cache of decoded images."""

from __future__ import annotations

import json
import multiprocessing
import resource
from multiprocessing import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from image_trees import PETS, SPLIT, encoded, first_pixels, same, write_folder

from snas_tune.data import ImageSet, Request, load, load_test
from snas_tune.data.cache import ArrayFiles, fill
from snas_tune.data.folder import Folder


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
    assert first_pixels(load(str(folder), root=".", cache_dir=cache)) == [10, 20, 99, 60]
    (folder / "train/dog/3.png").write_bytes(encoded(77))
    assert first_pixels(load(str(folder), root=".", cache_dir=cache)) == [10, 20, 99, 77, 60]


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
