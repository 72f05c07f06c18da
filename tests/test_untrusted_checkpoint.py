"""A checkpoint that a stranger wrote, or that a disk changed: one line, or the very weights."""

from __future__ import annotations

import io
import math
import os
import re
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import TINY
from damage import cuts, flips

from snas_tune.config import SearchConfig
from snas_tune.search.checkpoint import FILE, load_search, read_state, save_search
from snas_tune.search.search import Search

OLD = Path(__file__).parent / "data" / "checkpoint_cd67db4" / FILE


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    return save_search(Search(SearchConfig(**TINY)), tmp_path_factory.mktemp("saved")).read_bytes()


@pytest.fixture
def path(tmp_path, saved) -> Path:
    path = tmp_path / FILE
    path.write_bytes(saved)
    return path


def refused(path: Path, read=read_state) -> str:
    with pytest.raises(ValueError, match=f"checkpoint {path} ") as caught:
        read(path.parent)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in [key, *leaves(value[key])]]
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in leaves(each)]
    return [value.flatten().tolist() if isinstance(value, torch.Tensor) else value]


def damage_is_told_or_harmless(path: Path, content: bytes) -> int:
    """How many of 200 flipped bits and 20 cuts are told; the others leave each number alone."""
    path.write_bytes(content)
    whole, told = repr(leaves(read_state(path.parent))), 0
    for damaged in [*flips(content, 200), *cuts(content, 20)]:
        path.write_bytes(damaged)
        try:
            found = repr(leaves(read_state(path.parent)))
        except ValueError as error:
            line = str(error)
        else:
            assert found == whole
            continue
        assert line.startswith(f"checkpoint {path} ")
        assert "\n" not in line
        told += 1
    return told


def test_no_flipped_bit_and_no_cut_gives_other_weights(path, saved):
    assert damage_is_told_or_harmless(path, saved) > 150


@pytest.mark.slow
def test_nor_does_one_in_a_checkpoint_of_an_older_version(path):
    assert damage_is_told_or_harmless(path, OLD.read_bytes()) > 150


def test_torch_alone_gives_other_weights():
    """Why the checksums are looked at here."""
    buffer = io.BytesIO()
    torch.save(torch.zeros(1000), buffer)
    whole = buffer.getvalue()
    place = whole.index(bytes(4000)) + 2000
    damaged = whole[:place] + b"\xff" + whole[place + 1 :]
    assert torch.load(io.BytesIO(damaged), weights_only=True).any()


def test_a_cut_says_so_and_not_that_an_argument_is_invalid(path, saved):
    path.write_bytes(saved[: len(saved) // 2])
    assert "it is no whole file of torch.save (File is not a zip file)" in refused(path)


def test_a_huge_file_and_a_pipe_are_refused_before_they_are_read(path):
    os.truncate(path, 10 << 30)
    assert "it must have at most 4294967296 bytes, got 10737418240" in refused(path)
    path.unlink()
    os.mkfifo(path)
    assert "it must be a regular file" in refused(path)


def rewritten(content: bytes, method: int, **changes: bytes) -> bytes:
    """The entries again, compressed or not, some with another content."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(buffer, "w", method) as new,
    ):
        for name in old.namelist():
            new.writestr(name, changes.get(name.rpartition("/")[2], old.read(name)))
    return buffer.getvalue()


def test_compressed_tensors_are_refused_before_they_are_read(path, saved):
    path.write_bytes(rewritten(saved, zipfile.ZIP_DEFLATED))
    assert "its tensors must not be compressed" in refused(path)
    path.write_bytes(rewritten(saved, zipfile.ZIP_STORED, **{"data.pkl": b"\0" * (1 << 26 | 1)}))
    assert "data.pkl' must have at most 67108864 bytes" in refused(path)


def test_two_tensors_of_one_name_are_refused(path, saved):
    buffer = io.BytesIO(saved)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(archive.namelist()[0], b"other")
    path.write_bytes(buffer.getvalue())
    assert "its tensors must have different names" in refused(path)


def test_a_list_of_a_million_entries_is_refused_before_it_is_read(path, saved):
    # The list as the end record claims it to be.
    end = bytearray(saved)
    end[-10:-6] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(bytes(end))
    assert "its list of entries must have at most 16777216 bytes, got 1073741824" in refused(path)


RAN = []


class Planted:
    def __reduce__(self):
        return RAN.append, (1,)


def test_nothing_of_a_pickle_runs(path):
    for content in (Planted(), {"config": Planted()}, re.compile("x")):
        torch.save(content, path)
        assert "it holds something else than plain data" in refused(path)
    assert RAN == []


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("supernet", {}),
        ("supernet", 3),
        ("supernet", {"weight": torch.zeros(2)}),
        ("method", {}),
        ("method", None),
        ("shape", 3),
        ("implementation", []),
        ("step", "two"),
        ("step", -1),
        ("step", 10**400),
    ],
)
def test_a_part_that_fits_nothing_is_one_line_that_names_the_file(path, part, value):
    state = read_state(path.parent)
    torch.save({**state, part: value}, path)
    if part == "implementation":  # how the search began; with none of them it takes another
        assert load_search(path.parent).step == state["step"]
        return
    refused(path, load_search)


def test_tensors_of_other_shapes_are_one_line(path):
    state = read_state(path.parent)
    name = next(iter(state["supernet"]))
    state["supernet"][name] = state["supernet"][name][:1]
    torch.save(state, path)
    assert name in refused(path, load_search)
    state = {**state, "format": 1, "frame": {}, "momenta": {}, "logits_optimiser": 3, "scaler": {}}
    torch.save(state, path)
    assert "must hold a whole search (KeyError" in refused(path)


@pytest.mark.parametrize("version", [[1], {}, None, True, 1.0, "2", 3])
def test_a_format_that_is_none_is_one_line(path, version):
    torch.save({**read_state(path.parent), "format": version}, path)
    assert "must have format 2, got " in refused(path)


@pytest.mark.parametrize(
    ("part", "kind"),
    [("supernet", torch.int64), ("momenta", torch.bool), ("logits", torch.complex64)],
)
def test_tensors_of_another_kind_are_one_line(path, part, kind):
    state = read_state(path.parent)
    name, weight = next(iter(state["supernet"].items()))
    if part == "supernet":
        state["supernet"][name] = weight.to(kind)
    elif part == "momenta":
        state["method"]["momenta"] = {name: weight.to(kind)}
    else:
        name, state["method"]["logits"] = part, state["method"]["logits"].to(kind)
    torch.save(state, path)
    assert f"{name} must be a tensor of torch.float32, got {kind}" in refused(path, load_search)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_named(path, value):
    state = read_state(path.parent)
    state["method"]["logits"].view(-1)[1] = value
    torch.save(state, path)
    assert "logits must be finite numbers, got 1 other" in refused(path, load_search)
