"""CIFAR: where it is looked for, how it is read and downloaded."""

from __future__ import annotations

import http.server
import io
import pickle
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from file_server import address, md5, serving
from PIL import Image

from snas_tune.data import SOURCES, check, load, load_test
from snas_tune.data.cifar import Cifar, unpickle
from snas_tune.data.download import Remote, fetch, verify
from snas_tune.data.progress import silent

NAMES = ["airplane", "boat", "cat"]


class Python2Pickler(pickle._Pickler):
    """Writes as the pickles of CIFAR were: protocol 2, bytes as Python 2's strings."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes

    def save_global(self, obj: object, name: str | None = None) -> None:
        if getattr(obj, "__name__", "") == "_reconstruct":
            self.write(pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n")
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch[type(np.empty(0).__reduce__()[0])] = save_global


def python2_pickle(value: object) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream, 2).dump(value)
    return stream.getvalue()


def batch(start: int, count: int = 4) -> bytes:
    data = np.arange(start, start + count, dtype=np.uint8)[:, None].repeat(3072, axis=1)
    data[:, 1024:2048] += 100  # the second colour plane
    return python2_pickle({b"data": data, b"labels": [i % 3 for i in range(count)]})


def official() -> dict[str, bytes]:
    """A small CIFAR-10: two training batches, one test batch."""
    return {
        "data_batch_1": batch(0),
        "data_batch_2": batch(10),
        "test_batch": batch(50),
        "batches.meta": python2_pickle({b"label_names": [name.encode() for name in NAMES]}),
    }


def tar_of(contents: dict[str, bytes], base: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"{base}{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


ARCHIVE = tar_of(official(), "cifar-10-batches-py/")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Cifar:
    """The source ``cifar10`` with two training batches, at an address where nothing listens."""
    source = SOURCES["cifar10"]
    assert isinstance(source, Cifar)
    entry = replace(
        source,
        remote=Remote("http://127.0.0.1:9/cifar-10-python.tar.gz", md5(ARCHIVE)),
        train=("data_batch_1", "data_batch_2"),
    )
    monkeypatch.setitem(SOURCES, "cifar10", entry)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return entry


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.HTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({"cifar-10-python.tar.gz": ARCHIVE}) as running:
        yield running


def write_official(root: Path, form: str) -> None:
    if form == "archive":
        (root / "cifar-10-python.tar.gz").write_bytes(ARCHIVE)
        return
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in official().items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("form", ["archive", "folder"])
@pytest.mark.usefixtures("small")
def test_cifar_is_read_from_its_archive_or_folder(tmp_path: Path, form: str) -> None:
    write_official(tmp_path, form)
    train, test = (f("cifar10", root=tmp_path, download=False) for f in (load, load_test))
    assert train.images.shape == (8, 3, 32, 32)
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert train.images[5, :, 31, 31].tolist() == [11, 111, 11]
    assert train.labels.tolist() == [0, 1, 2, 0] * 2
    assert train.classes == test.classes == tuple(NAMES)
    assert test.images[:, 0, 0, 0].tolist() == [50, 51, 52, 53]
    grey = load("cifar10", root=tmp_path, channels=1, image_size=16)
    assert grey.images.shape == (8, 1, 16, 16)
    check("cifar10", root=tmp_path, download=False)
    again = load("cifar10", root=tmp_path, cache_dir=tmp_path / "cache")
    assert np.array_equal(again.images, train.images)


def test_cifar100_has_the_fine_labels(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    content = {b"data": np.zeros((4, 3072), np.uint8), b"fine_labels": [0, 1, 2, 0]}
    content[b"coarse_labels"] = [9, 9, 9, 9]
    (folder / "train").write_bytes(python2_pickle(content))
    (folder / "meta").write_bytes(python2_pickle({b"fine_label_names": [b"apple", b"bee", b"cup"]}))
    data = load("cifar100", root=tmp_path, download=False)
    assert (data.labels.tolist(), data.classes) == ([0, 1, 2, 0], ("apple", "bee", "cup"))


def image(value: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


TREE = {
    "train/cat/0.png": image(1),
    "train/dog/0.png": image(2),
    "test/cat/0.png": image(3),
    "test/dog/0.png": image(4),
}


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_cifar_is_also_read_from_a_tree_of_images(tmp_path: Path, form: str) -> None:
    if form == "folder":
        for name, content in TREE.items():
            path = tmp_path / "cifar10" / name
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
    else:
        (tmp_path / "cifar10-images.tar.gz").write_bytes(tar_of(TREE, ""))
    check("cifar10", root=tmp_path, download=False)
    train, test = (f("cifar10", root=tmp_path, download=False) for f in (load, load_test))
    assert train.images[:, 0, 0, 0].tolist() == [1, 2]
    assert test.images[:, 0, 0, 0].tolist() == [3, 4]
    assert len(load("cifar10", root=tmp_path, cache_dir=tmp_path / "cache")) == 2


def test_cifar100_is_not_taken_for_cifar10(tmp_path: Path) -> None:
    (tmp_path / "cifar100.tar.gz").write_bytes(tar_of(TREE, ""))
    check("cifar100", root=tmp_path, download=False)
    with pytest.raises(ValueError, match=r"^cifar10 must be at"):
        check("cifar10", root=tmp_path, download=False)


@pytest.mark.usefixtures("small")
def test_without_downloads_a_missing_cifar_says_where_it_must_be(tmp_path: Path) -> None:
    target = tmp_path / "cifar-10-python.tar.gz"
    message = (
        rf"^cifar10 must be at {target} when downloads are off, got no such file; "
        r"its address is http://127\.0\.0\.1:9/cifar-10-python\.tar\.gz$"
    )
    for ask in (load, load_test, check):
        with pytest.raises(ValueError, match=message):
            ask("cifar10", root=tmp_path, download=False)
    check("cifar10", root=tmp_path)


@pytest.mark.usefixtures("small")
def test_an_archive_of_another_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(b"else")
    message = rf"^checksum of {path} must be md5 {md5(ARCHIVE)}, got {md5(b'else')}; delete it"
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask("cifar10", root=tmp_path)


@pytest.mark.usefixtures("small")
def test_an_extracted_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    write_official(tmp_path, "folder")
    folder = tmp_path / "cifar-10-batches-py"
    (folder / "data_batch_2").unlink()
    for ask in (load, check):
        message = rf"^cifar10 must hold data_batch_2, got no such file in {folder}$"
        with pytest.raises(ValueError, match=message):
            ask("cifar10", root=tmp_path)
    (folder / "data_batch_2").write_bytes(python2_pickle({b"data": [[1, 2]]}))
    with pytest.raises(ValueError, match=rf"^cifar10 must be as published, got {folder} \("):
        load("cifar10", root=tmp_path)


@pytest.mark.usefixtures("small")
def test_a_broken_archive_with_the_right_checksum_is_named(
    tmp_path: Path, small: Cifar, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(ARCHIVE[:200])
    remote = replace(small.remote, md5=md5(ARCHIVE[:200]))
    monkeypatch.setitem(SOURCES, "cifar10", replace(small, remote=remote))
    with pytest.raises(ValueError, match=rf"^archive must be a whole tar .*, got {path} \("):
        load("cifar10", root=tmp_path)


class Harmful:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harm"),)


def test_a_pickle_that_calls_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^file must be a pickle of arrays, got x \(it calls "):
        unpickle(pickle.dumps({b"data": Harmful()}), "x")
    assert not Path("harm").exists()
    for builtin in (eval, getattr, __import__):
        with pytest.raises(ValueError, match=r"\(it calls builtins\."):
            unpickle(pickle.dumps({b"data": builtin}), "x")


def test_a_broken_pickle_is_named() -> None:
    with pytest.raises(ValueError, match=r"^file must be a pickle of arrays, got x \("):
        unpickle(batch(0)[:50], "x")
    with pytest.raises(ValueError, match=r"^file must be a pickle of a dict, got x \(list\)$"):
        unpickle(pickle.dumps([1]), "x")


def test_cifar_is_downloaded_once(
    tmp_path: Path, small: Cifar, server: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = replace(small.remote, address=address(server, "cifar-10-python.tar.gz"))
    monkeypatch.setitem(SOURCES, "cifar10", replace(small, remote=remote))
    seen: list[tuple[str, int, int]] = []
    root = tmp_path / "new" / "root"
    data = load("cifar10", root=root, progress=lambda *news: seen.append(news))
    assert len(data) == 8
    assert seen == [("downloading cifar-10-python.tar.gz", len(ARCHIVE), len(ARCHIVE))]
    assert [path.name for path in root.iterdir()] == ["cifar-10-python.tar.gz"]
    server.files.clear()
    assert len(load("cifar10", root=root)) == 8


@pytest.mark.parametrize(
    ("path", "digest", "reason"),
    [
        ("cifar-10-python.tar.gz", "0" * 32, f"a file of md5 {md5(ARCHIVE)} instead of {'0' * 32}"),
        ("short/cifar-10-python.tar.gz", md5(ARCHIVE), f"100 of {len(ARCHIVE)} bytes"),
        ("junk/cifar-10-python.tar.gz", md5(ARCHIVE), "junk"),
        ("missing.tar.gz", "0" * 32, "HTTP Error 404: Not Found"),
    ],
    ids=["other", "short", "junk", "missing"],  # the same in each process: the archive has a time
)
def test_a_failed_download_says_what_to_put_where(
    tmp_path: Path, server: http.server.HTTPServer, path: str, digest: str, reason: str
) -> None:
    target = tmp_path / "below" / "x.tar.gz"
    remote = Remote(address(server, path), digest)
    message = (
        f"^{remote.address} must be downloadable, got .*{reason}.*; "
        f"else put the file by hand at {target}$"
    )
    with pytest.raises(ValueError, match=message):
        fetch(remote, target, silent)
    assert list(target.parent.iterdir()) == []


def test_a_refused_connection_and_an_unwritable_root_are_one_line(
    tmp_path: Path, small: Cifar
) -> None:
    with pytest.raises(ValueError, match=r"^http://127.* must be downloadable, got .*; else put"):
        load("cifar10", root=tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be downloadable, got .*file.*; else put"):
        fetch(small.remote, tmp_path / "file" / "x", silent)


def test_verify_accepts_the_published_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(ARCHIVE)
    verify(tmp_path / "x", Remote("http://x/x", md5(ARCHIVE)))


def test_the_published_sources_are_those_of_their_authors() -> None:
    cifar = [SOURCES[name].remote.md5 for name in ("cifar10", "cifar100")]
    assert cifar == ["c58f30108f718f92721af3b95e74349a", "eb9058c3a382ffc7106e4002c42a8d85"]
    ten = SOURCES["cifar10"]
    assert ten.train == tuple(f"data_batch_{i}" for i in range(1, 6))
    assert ten.test == ("test_batch",)
