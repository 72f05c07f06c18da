"""Sources that a stranger may have made: nothing is run, followed or waited for."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from image_trees import encoded, first_pixels, refusal, tree_of, write_archive, write_folder

from snas_tune.data import Request, load
from snas_tune.data.entries import readable_endings, readable_formats
from snas_tune.data.hub import Hub
from snas_tune.data.images import open_image

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
PAIRS = tree_of("a/1.png", "a/2.png", "b/1.png", "b/2.png")


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first ``gs`` of the path; it leaves the file that is given when it runs."""
    ran, folder = tmp_path / "ran", tmp_path / "bin"
    folder.mkdir()
    program = folder / "gs"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # looks for it anew
    return ran


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar", ".csv", ".parquet"])
def test_an_image_runs_no_program(tmp_path: Path, ghostscript: Path, kind: str) -> None:
    files = {**PAIRS, "b/3.png": EPS}
    path = tmp_path / f"x{kind}"
    if kind in (".csv", "folder"):
        path = write_folder(tmp_path / "folder", files)
    if kind == ".csv":
        path /= "x.csv"
        path.write_text("path,label\n" + "".join(f"{name},{name[0]}\n" for name in files))
    elif kind == ".parquet":
        write_parquet(path, [{"bytes": content} for content in files.values()], list("aabbb"))
    elif kind != "folder":
        write_archive(path, files)
    with pytest.raises(ValueError, match=r"^image must be readable, got .* \(of no kind that is r"):
        load(str(path), root=".", image_size=8)
    assert not ghostscript.exists()
    assert len(load(str(path), root=".", image_size=8, bad_images="skip")) == 4


def test_the_kinds_of_images_are_those_of_the_endings() -> None:
    kinds = {"JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "TGA", "PCX", "ICO", "QOI"}
    newer = {"JPEG2000", "AVIF"} if ".avif" in readable_endings() else {"JPEG2000"}
    assert set(readable_formats()) - {"HEIF"} == kinds | newer


@pytest.mark.parametrize(
    "target", ["zz/9.png", "b/3.png", "b/4.png", "/etc/passwd", "../x.png", "a"]
)
def test_a_hard_link_to_no_earlier_file_is_left_out(tmp_path: Path, target: str) -> None:
    path = write_tar(tmp_path / "x.tar", {"b/3.png": target, "b/4.png": "b/3.png"})
    data = load(str(path), root=".", image_size=8)
    assert first_pixels(data) == [10, 20, 30, 40]
    assert data.found is not None
    assert data.found.left_out["special"].examples == ("b/3.png", "b/4.png")


def test_a_hard_link_has_the_content_of_the_file_before_it(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"b/3.png": "./a/1.png", "b/4.png": "b/3.png"})
    assert first_pixels(load(str(path), root=".", image_size=8)) == [10, 20, 30, 40, 10, 10]


def test_a_hard_link_to_a_symbolic_link_is_left_out(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"b/3.png": "s", "b/4.png": "a/1.png"}, symbolic="s")
    assert first_pixels(load(str(path), root=".", image_size=8)) == [10, 20, 30, 40, 10]


@pytest.mark.parametrize("kind", ["string", "large_string", "int64", "list"])
def test_images_in_a_table_are_binary_so_that_no_path_is_opened(tmp_path: Path, kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    write_folder(tmp_path, PAIRS)
    form = pa.list_(pa.string()) if kind == "list" else getattr(pa, kind)()
    names: list = [str(tmp_path / name) for name in PAIRS]
    values = {"int64": [1, 2, 3, 4], "list": [[name] for name in names]}.get(kind, names)
    images = pa.array([{"bytes": one} for one in values], pa.struct([("bytes", form)]))
    write_parquet(path := tmp_path / "x.parquet", images, list("aabb"))
    line = refusal(path, image_size=8)
    assert line.startswith("bytes of images in a table must be binary, got "), line
    assert line.endswith(f" in {path}")


def test_a_text_in_place_of_an_image_of_the_library_is_refused(tmp_path: Path) -> None:
    library = pytest.importorskip("datasets")
    place = write_folder(tmp_path, PAIRS) / "a/1.png"
    images = [{"bytes": content, "path": None} for content in PAIRS.values()]
    features = library.Features({"image": library.Image(), "label": library.Value("string")})
    rows = {"image": images, "label": list("aabb")}
    given = library.Dataset.from_dict(rows, features=features).with_transform(
        lambda rows: {
            name: [{"bytes": str(place)} for _ in values] if name == "image" else values
            for name, values in rows.items()
        }
    )
    with pytest.raises(ValueError, match=r"\(TypeError: bytes of row 0 are of type str\)$"):
        Hub("own:data", given).read(Request(spec="own:data", root=tmp_path, image_size=8))


def test_a_pipe_in_place_of_an_image_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"^image must be readable, got x \(is no regular file\)$"):
        open_image(tmp_path / "x.png", "x", 8)


@pytest.mark.parametrize("where", ["list", "header"])
def test_a_name_in_a_zip_file_that_is_no_text_is_told(tmp_path: Path, where: str) -> None:
    path = write_archive(tmp_path / "x.zip", {**PAIRS, "b/\u00e9.png": encoded(50)})
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    wrong = [part.replace(b"\xc3\xa9", b"\xc3(") for part in (content[:start], content[start:])]
    path.write_bytes(content[:start] + wrong[1] if where == "list" else wrong[0] + content[start:])
    line = refusal(path, image_size=8)
    assert line.startswith(f"archive must be a whole tar or zip file, got {path} ('utf-8' codec"), (
        line
    )


@pytest.mark.parametrize(
    "notes",
    [
        {"GNU.sparse.map": "a,b"},
        {"GNU.sparse.map": "0," + "9" * 5000},
        {"GNU.sparse.size": "x"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    ],
)
def test_notes_in_a_tar_file_that_are_no_numbers_are_told(
    tmp_path: Path, notes: dict[str, str]
) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in PAIRS.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.pax_headers = len(content), notes if name == "b/1.png" else {}
            tar.addfile(entry, io.BytesIO(content))
    line = refusal(path, image_size=8)
    assert line.startswith(f"archive must be a whole tar or zip file, got {path} ("), line


def write_tar(path: Path, links: dict[str, str], symbolic: str = "") -> Path:
    """A tar file with hard links behind its images, and a symbolic one to the first of these."""
    with tarfile.open(path, "w") as tar:
        for name, content in PAIRS.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for name, target in ({symbolic: next(iter(links))} if symbolic else {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.LNKTYPE, target
            tar.addfile(entry)
    return path


def write_parquet(path: Path, images: Any, labels: list[object]) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"image": images, "label": labels}), path)
