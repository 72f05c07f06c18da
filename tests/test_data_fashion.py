"""Fashion-MNIST: where it is looked for, how it is read and downloaded."""

from __future__ import annotations

import gzip
import http.server
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from file_server import address, md5, serving

from snas_tune.data import SOURCES, check, load, load_test
from snas_tune.data.download import Remote
from snas_tune.data.fashion import SYSTEM, FashionMnist, read_idx


def idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(np.uint8).tobytes()


IMAGES = np.arange(4 * 6).reshape(4, 2, 3)
LABELS = np.array([0, 9, 3, 0] + [1] * 8)
FILES = {
    "train-images-idx3-ubyte": idx(np.arange(12 * 4).reshape(12, 2, 2)),
    "train-labels-idx1-ubyte": idx(LABELS),
    "t10k-images-idx3-ubyte": idx(np.arange(12 * 4).reshape(12, 2, 2) + 100),
    "t10k-labels-idx1-ubyte": idx(LABELS[::-1]),
}


@pytest.fixture
def fashion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FashionMnist:
    """The source ``fashion-mnist`` without a system folder, where nothing listens."""

    def moved(remote: Remote) -> Remote:
        content = gzip.compress(FILES[remote.name.removesuffix(".gz")], mtime=0)
        return Remote(f"http://127.0.0.1:9/{remote.name}", md5(content))

    source = SOURCES["fashion-mnist"]
    assert isinstance(source, FashionMnist)
    entry = replace(
        source,
        train=tuple(map(moved, source.train)),
        test=tuple(map(moved, source.test)),
        system=tmp_path / "system",
    )
    monkeypatch.setitem(SOURCES, "fashion-mnist", entry)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return entry


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.HTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({}) as running:
        yield running


@pytest.mark.parametrize("place", ["", "fashion-mnist", "FashionMNIST/raw", "../system"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.usefixtures("fashion")
def test_fashion_mnist_is_found_in_each_place(tmp_path: Path, place: str, zipped: bool) -> None:
    root = tmp_path / "root"
    folder = root / place
    root.mkdir()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        path = folder / (name + ".gz" if zipped else name)
        path.write_bytes(gzip.compress(content) if zipped else content)
    check("fashion-mnist", root=root, download=False)
    train, test = (f("fashion-mnist", root=root, download=False) for f in (load, load_test))
    assert train.images.shape == (12, 1, 2, 2)
    assert train.images.ravel().tolist() == list(range(48))
    assert test.images.ravel().tolist() == list(range(100, 148))
    assert train.labels.tolist() == LABELS.tolist()
    assert (train.classes[0], train.classes[9]) == ("T-shirt/top", "Ankle boot")


def test_fashion_mnist_is_downloaded_where_it_is_found_again(
    tmp_path: Path,
    fashion: FashionMnist,
    server: http.server.HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.files = {
        f"{name}.gz": gzip.compress(content, mtime=0) for name, content in FILES.items()
    }
    here = tuple(replace(r, address=address(server, r.name)) for r in fashion.train)
    monkeypatch.setitem(SOURCES, "fashion-mnist", replace(fashion, train=here))
    assert len(load("fashion-mnist", root=tmp_path)) == 12
    server.files = {}
    assert len(load("fashion-mnist", root=tmp_path)) == 12
    names = sorted(path.name for path in (tmp_path / "fashion-mnist").iterdir())
    assert names == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    with pytest.raises(ValueError, match=r"^http://.*/t10k-images.* must be downloadable"):
        load_test("fashion-mnist", root=tmp_path)


@pytest.mark.usefixtures("fashion")
def test_without_downloads_a_missing_fashion_mnist_says_where_it_must_be(tmp_path: Path) -> None:
    message = (
        rf"^train-images-idx3-ubyte\.gz must be in {tmp_path}/fashion-mnist when downloads are "
        r"off, got no such file; its address is http://127\.0\.0\.1:9/train-images"
    )
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask("fashion-mnist", root=tmp_path, download=False)
    check("fashion-mnist", root=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^idx file must hold unsigned bytes in 3 dimensions, got a header of nothing in"),
        (b"\x00\x00\x0d\x03" + bytes(12), r"got a header of 00000d03 in"),
        (idx(LABELS) + bytes(20), r"got a header of 00000801 in"),
        (idx(IMAGES)[:-1], r"^idx file must hold 24 values, got 23 in"),
    ],
)
def test_a_broken_idx_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{message} {tmp_path}/x$"):
        read_idx(tmp_path / "x", 3)


def test_a_broken_gzip_file_is_named(tmp_path: Path) -> None:
    for content in (b"no", gzip.compress(idx(IMAGES))[:-9]):
        (tmp_path / "x.gz").write_bytes(content)
        with pytest.raises(ValueError, match=rf"^file must be readable, got {tmp_path}/x\.gz \("):
            read_idx(tmp_path / "x.gz", 3)


@pytest.mark.skipif(not SYSTEM.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_debians_fashion_mnist_is_read(tmp_path: Path) -> None:
    train, test = (f("fashion-mnist", root=tmp_path, download=False) for f in (load, load_test))
    assert (train.images.shape, test.images.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert np.bincount(train.labels).tolist() == [6000] * 10
