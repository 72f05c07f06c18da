"""Texts that a stranger wrote: sweep files, genotypes, descriptions, settings; one line each."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from front_rows import row

from snas_tune.architecture import read_architecture
from snas_tune.cli.recipe import read_recipe, read_yaml
from snas_tune.data import load
from snas_tune.events import ChildrenForm
from snas_tune.files import read_bounded, read_json
from snas_tune.front import FrontFile, ParetoFront, front_text, row_settings
from snas_tune.plugin.reader import _object
from snas_tune.space.cell.genotype import Genotype
from snas_tune.space.latency import read_latencies
from snas_tune.sweep.experiment import Description
from snas_tune.tensorboard_log.from_front import write_front

DEEP = "[" * 100_000
LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)

TEXTS = (
    *(DEEP, DEEP[:200], '{"a":' * 100_000, "-" * 50_000, "1" * 100_000, "0x" + "f" * 9000),
    *("1+" * 30_000 + "1", "(" * 3000, "lambda: 0", "\0", "\ud800", "", " ", "null", "3", "'\\d'"),
    *(LAUGHS, "&a [*a]", "&a {b: *a}", "!!python/object/apply:os.abort []", "2001-99-99"),
    *("!!bool x", "!!int ''", "!!timestamp x", "!!binary é", "{? [1] : 2}", "<<: 3", "%YAML 9.9"),
    *("Genotype(normal=[('" + "a" * 90_000 + "', 0)])", "__import__('os').abort()"),
)


def one_line(error: BaseException) -> None:
    assert "\n" not in str(error)
    assert 0 < len(str(error)) < 600


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_no_text_is_more_than_one_line_to_any_reader(text, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "abort", None)
    file = tmp_path / "file.yaml"
    toml = file.with_suffix(".toml")
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    toml.write_bytes(file.read_bytes())
    (tmp_path / "sweep.json").write_bytes(file.read_bytes())
    readers = (
        lambda: read_architecture(text),
        lambda: Genotype.from_json(text),
        lambda: Genotype.from_text(text),
        lambda: read_latencies(file),
        lambda: Description.read(str(tmp_path)),
        lambda: ChildrenForm.from_json(text.encode("utf-8", "surrogatepass")),
        lambda: row_settings(row(config=text)),
    )
    begin = time.monotonic()
    for read in readers:
        with pytest.raises(ValueError, match=r".") as caught:
            read()
        one_line(caught.value)
    for each in (file, toml):
        if text.strip() not in ("", "null"):  # which ask for nothing
            with pytest.raises(ValueError, match=f"sweep file {each}") as caught:
                read_recipe(file=each)
            one_line(caught.value)
    assert _object(text) == {}
    assert time.monotonic() - begin < 100


@pytest.mark.parametrize("text", [LAUGHS, DEEP[:9000], "&a [*a]", "2001-99-99", "!!bool x", "\0"])
def test_a_value_on_the_command_line_is_no_worse(text):
    with pytest.raises(ValueError, match=r"^value of channels must be YAML, got ") as caught:
        read_recipe(assignments=[f"channels={text}"])
    one_line(caught.value)


def test_aliases_that_stand_for_little_are_read():
    assert read_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: *a}}") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": [1, 2]},
    }


def test_huge_files_pipes_and_devices_are_refused_before_they_are_read(tmp_path):
    sparse, pipe = tmp_path / "sparse.yaml", tmp_path / "pipe.yaml"
    sparse.touch()
    os.truncate(sparse, 10 << 30)
    os.mkfifo(pipe)
    for path in (sparse, pipe, Path("/dev/zero"), tmp_path):
        for read in (read_latencies, lambda file: read_recipe(file=file)):
            with pytest.raises(ValueError, match=f"{path} cannot be read: ") as caught:
                read(path)
            one_line(caught.value)
        with pytest.raises((ValueError, OSError)):
            read_bounded(path, 100)
    os.truncate(sparse, 101)
    with pytest.raises(ValueError, match=r"^it must have at most 100 bytes, got 101$"):
        read_bounded(sparse, 100)
    sweep, recent = tmp_path / "sweep.json", tmp_path / "front.recent.jsonl"
    os.mkfifo(sweep)
    with pytest.raises(ValueError, match=r"^sweep\.json must .* \(it must be a regular file\)"):
        Description.read(str(tmp_path))
    os.mkfifo(recent)
    FrontFile(str(tmp_path / "other.parquet")).add([row()])
    (tmp_path / "other.parquet").rename(tmp_path / "front.parquet")
    with pytest.raises(ValueError, match=r"must be a regular file$"):
        ParetoFront.read(tmp_path)
    labels = tmp_path / "labels.csv"
    labels.touch()
    os.truncate(labels, 10 << 30)
    with pytest.raises(ValueError, match=r"^table must be readable, got .* \(it must have at most"):
        load(str(labels), root=".")
    sparse.rename(sweep)
    os.truncate(sweep, 10 << 30)
    with pytest.raises(ValueError, match=r"^sweep\.json must describe the sweep") as caught:
        Description.read(str(tmp_path))
    one_line(caught.value)


def test_deep_json_is_a_value_error():
    with pytest.raises(ValueError, match=r"^its brackets must not be nested so deep$"):
        read_json(DEEP)


def test_a_terminal_shows_no_escapes_of_a_stranger():
    text = front_text([row(trial="t\x1b[2J\x07\r1")])
    assert "\x1b" not in text
    assert "t\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}" in text


@pytest.mark.parametrize("trial", ["../elsewhere", "/elsewhere", "..", "a/b", "", "x" * 300])
def test_a_trials_name_leads_to_no_other_folder(tmp_path, trial):
    front = ParetoFront.from_rows([row(trial=trial)])
    with pytest.raises(ValueError, match=r"^trial of the front file must be "):
        write_front(front, tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_row_that_are_none_name_the_row():
    for config in ("[1]", "{", json.dumps("text")):
        with pytest.raises(ValueError, match=r"^config of trial t1 epoch 1 must be a JSON object"):
            row_settings(row(config=config))
