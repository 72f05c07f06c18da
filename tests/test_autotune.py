"""The supernet's implementation: measured once, kept, and the same to the end of a search."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest
import torch
from conftest import TINY, copy_kernels
from implementation_names import ALL, NATIVE, named
from states import as_format_1, same

from snas_tune.config import SearchConfig
from snas_tune.owned import cache_directory
from snas_tune.search import autotune
from snas_tune.search.autotune import FILE, FORMAT, candidates, table_key
from snas_tune.search.checkpoint import load_search, save_search
from snas_tune.search.search import Search
from snas_tune.space.cell.kernels import bindings as native
from snas_tune.space.cell.space import CellSpace
from snas_tune.space.space import ImageShape
from snas_tune.training.runtime import choose_runtime


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SNAS_TUNE_CACHE", str(folder))
    return folder


def key_of(config: SearchConfig, side: int = 8, colours: int = 1) -> str:
    space = CellSpace(config, ImageShape(side, colours, 10))
    return table_key(space, choose_runtime(config), config)


def plant(cache, best: str, config: SearchConfig, names=NATIVE) -> None:
    """A table that calls one implementation the fastest, with values that no machine measures."""
    seconds = {name: 1e-9 if name == best else 1e9 for name in names}
    table = {"format": FORMAT, "seconds": {key_of(config): seconds}}
    cache.mkdir(exist_ok=True)
    (cache / FILE).write_text(json.dumps(table))


def kept(cache) -> dict[str, dict[str, float]]:
    table = json.loads((cache / FILE).read_text())
    assert table["format"] == FORMAT
    return table["seconds"]


@pytest.mark.parametrize("changes", [{}, {"precision": "bfloat16"}, {"channels_last": True}])
def test_the_chosen_implementation_is_the_one_of_least_seconds_in_the_table(cache, caplog, changes):
    config = SearchConfig(**TINY, **changes)
    with caplog.at_level(logging.INFO, logger="snas_tune"):
        search = Search(config)
    ((key, seconds),) = kept(cache).items()
    assert key == key_of(config)
    assert set(seconds) == set(map(str, candidates(search.space, search.runtime, config)))
    assert len(seconds) >= 2
    assert all(value > 0 for value in seconds.values())
    best = min(seconds, key=seconds.__getitem__)
    assert str(search.implementation) == best
    (record,) = caplog.records
    assert record.message.startswith(f"the supernet runs {best} (milliseconds of a ")
    assert record.message.endswith(f"; measured now, kept in {cache / FILE})")
    assert search.take_step().cross_entropy.isfinite()


@pytest.mark.parametrize("name", NATIVE)
def test_a_table_is_obeyed_and_nothing_measured(cache, caplog, name, tiny):
    plant(cache, name, tiny)
    before = (cache / FILE).read_bytes()
    with caplog.at_level(logging.INFO, logger="snas_tune"):
        search = Search(tiny)
    assert search.implementation == named(name)
    assert search.runtime.channels_last == named(name).channels_last
    assert (cache / FILE).read_bytes() == before
    assert [path.name for path in cache.iterdir()] == [FILE]  # not even a lock was needed
    assert "measured before" in caplog.text


def test_a_new_shape_is_added_to_the_table(cache):
    for batch in (16, 8):
        Search(SearchConfig(**{**TINY, "batch_size": batch}))
    first, second = kept(cache).values()
    assert first != second


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"supernet": "plain"}, "plain"),
        ({"supernet": "fused"}, "fused channels-last"),
        ({"compile": True}, "plain"),
    ],
)
def test_a_search_that_names_its_implementation_or_compiles_measures_nothing(cache, changes, name):
    assert Search(SearchConfig(**TINY, **changes)).implementation == named(name)
    assert not cache.exists()


CHILD = """
import json, logging, sys
import torch
from snas_tune.config import SearchConfig
from snas_tune.search.search import Search
torch.set_num_threads(1)
logging.basicConfig(level=logging.INFO)
config = SearchConfig(**json.loads(sys.argv[1]))
print("ready", flush=True)
input()
print(Search(config).implementation)
"""


def test_processes_that_start_together_measure_once(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    copy_kernels(cache_directory(), cache)
    monkeypatch.setenv("SNAS_TUNE_CACHE", str(cache))
    settings = json.dumps({**TINY, "channels": 8})  # some tenths of a second to measure
    command = [sys.executable, "-c", CHILD, settings]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    children = [subprocess.Popen(command, text=True, env=os.environ, **pipes) for _ in range(2)]
    assert [child.stdout.readline() for child in children] == ["ready\n"] * 2
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate() for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert sorted(log.count("measured now") for _, log in said) == [0, 1], said
    assert len({name for name, _ in said}) == 1
    assert len(kept(cache)) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"format": 0, "seconds": {}}',
        b'{"format": 1, "seconds": []}',
        b'{"format": 1, "seconds": {"a": 3}}',
        b'{"format": 1, "seconds": {"a": {"plain": "soon"}}}',
        b'{"format": 1, "seconds": {"a": {"plain": NaN}}}',
        b'{"format": 1, "seconds": {"a": {"plain": -1.0}}}',
        b"[" * 100_000,
        b'{"format": 1, "seconds": {"a": {"plain": 1' + b"0" * 400 + b"}}}",
    ],
)
def test_a_table_of_anything_else_is_replaced_with_one_line(cache, caplog, content, tiny):
    cache.mkdir()
    (cache / FILE).write_bytes(content)
    Search(tiny)
    (record,) = caplog.records
    prefix = f"table of implementations {cache / FILE} is measured anew and replaced: it "
    assert record.message.startswith(prefix)
    assert "\n" not in record.message
    assert list(kept(cache)) == [key_of(tiny)]


def test_an_entry_of_other_implementations_is_measured_anew(cache, tiny):
    plant(cache, "plain", tiny, names=("plain", "faster"))
    Search(tiny)
    assert set(kept(cache)[key_of(tiny)]) == set(NATIVE)


def test_a_cache_that_cannot_be_written_costs_the_measurement_only(cache, monkeypatch, caplog):
    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(autotune, "write_whole", full)
    search = Search(SearchConfig(**TINY))
    assert search.take_step().cross_entropy.isfinite()
    (record,) = caplog.records
    assert f"{FILE} cannot be written, so every search measures for itself" in record.message


def test_measuring_leaves_torchs_state_and_the_searchs_bits_alone(cache, tiny):
    with torch.no_grad():
        random = torch.random.get_rng_state()
        measured = Search(tiny)
        assert not torch.is_grad_enabled()
    assert torch.get_num_threads() == 1
    assert torch.equal(torch.random.get_rng_state(), random)
    found = Search(tiny)
    for _ in range(2):
        measured.take_step()
        found.take_step()
    assert same(measured, found)


@pytest.mark.parametrize("table", ["gone", "of another mind"])
@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("built_before", [True, False])
def test_a_restored_search_goes_on_in_its_implementation_bit_for_bit(
    cache, tmp_path, tiny, table, name, built_before
):
    plant(cache, name, tiny)
    whole, first = Search(tiny), Search(tiny)
    for _ in range(2):
        whole.take_step()
        first.take_step()
    save_search(first, tmp_path)
    if table == "gone":
        (cache / FILE).unlink()
    else:
        plant(cache, NATIVE[NATIVE.index(name) - 1], tiny)
    if built_before:  # as a trial is, before its checkpoint is given to it
        second = Search(tiny)
        second.load_state_dict(torch.load(tmp_path / "search.pt", weights_only=True))
    else:
        second = load_search(tmp_path)
        assert (cache / FILE).exists() == (table != "gone")  # nothing was measured
    assert second.implementation == named(name)
    assert second.runtime.channels_last == named(name).channels_last
    for _ in range(2):
        whole.take_step()
        second.take_step()
    assert same(whole, second)


def test_an_implementation_that_the_config_names_is_kept_over_the_checkpoints(
    cache, tmp_path, tiny
):
    plant(cache, "plain", tiny)
    save_search(Search(tiny), tmp_path)
    fused = named("fused channels-last")
    assert load_search(tmp_path).implementation == named("plain")
    assert load_search(tmp_path, supernet="fused").implementation == fused
    plant(cache, "fused channels-last", SearchConfig(**TINY, channels_last=True), NATIVE[:2])
    assert load_search(tmp_path, channels_last=True).implementation == fused


@pytest.mark.parametrize(
    "recorded",
    [None, 3, "plain", {}, {"name": "plain", "channels_last": False, "device": "cuda"}],
)
def test_a_checkpoint_that_says_nothing_of_this_device_takes_the_tables_implementation(
    cache, tmp_path, tiny, recorded
):
    plant(cache, "plain channels-last", tiny)
    state = Search(tiny).state_dict()
    mine = {"name": "plain", "channels_last": True, "device": "cpu"}
    assert state["implementation"] == mine
    state["implementation"] = recorded
    torch.save(state, tmp_path / "search.pt")
    assert load_search(tmp_path).implementation == named("plain channels-last")
    search = Search(tiny)
    search.load_state_dict(state)
    assert search.implementation == named("plain channels-last")


@pytest.mark.parametrize(
    "form", ["absent", None, 3, "plain", {"name": "plain", "device": "cuda"}, {"name": "new"}]
)
def test_so_does_a_checkpoint_of_format_1(cache, tmp_path, tiny, form):
    plant(cache, "plain channels-last", tiny)
    state = as_format_1(Search(tiny).state_dict())
    assert state.pop("form") == {"name": "plain channels-last", "device": "cpu"}
    if form != "absent":
        state["form"] = form
    torch.save(state, tmp_path / "search.pt")
    assert load_search(tmp_path).implementation == named("plain channels-last")


@pytest.mark.parametrize("name", NATIVE)
def test_a_search_of_format_1_goes_on_in_its_implementation(cache, tmp_path, tiny, name):
    plant(cache, name, tiny)
    torch.save(as_format_1(Search(tiny).state_dict()), tmp_path / "search.pt")
    plant(cache, NATIVE[NATIVE.index(name) - 1], tiny)
    assert load_search(tmp_path).implementation == named(name)


def test_candidates_are_what_the_config_and_the_device_leave_open():
    def open_to(**changes):
        config = SearchConfig(**changes, device="cpu")
        space = CellSpace(config, ImageShape(8, 1, 10))
        return tuple(map(str, candidates(space, choose_runtime(config), config)))

    assert open_to() == NATIVE
    assert open_to(channels_last=True) == NATIVE[:2]
    assert open_to(precision="bfloat16") == ALL
    assert open_to(compile=True) == ("plain",)
    assert open_to(supernet="fused", compile=True) == ("fused",)
    assert open_to(compile=True, sampling="gdas") == open_to(sampling="gdas")  # runs eager
    assert open_to(supernet="plain", channels_last=True) == ("plain channels-last",)
    with native.switched_off():
        assert open_to() == ALL
        assert open_to(supernet="fused") == ("fused",)
        assert open_to(channels_last=True) == ("fused channels-last", "plain channels-last")


def test_the_key_tells_apart_what_changes_the_time_and_nothing_else():
    config = SearchConfig(**TINY)
    other = {
        "cells": 4,
        "channels": 8,
        "nodes": 2,
        "batch_size": 8,
        "stem": "imagenet",
        "precision": "bfloat16",
        "channels_last": True,
        "ops": ("none", "skip_connect"),
        "sampling": "gdas",
        "activation_checkpointing": True,
    }
    keys = [key_of(SearchConfig(**{**TINY, name: value})) for name, value in other.items()]
    keys.append(key_of(SearchConfig(**TINY, precision="float64")))
    keys += [key_of(SearchConfig(**TINY, sampling="top_k", sampled_ops=k)) for k in (2, 3)]
    keys += [key_of(config, side=9), key_of(config, colours=3)]
    with native.switched_off():
        keys.append(key_of(config))
    torch.set_num_threads(2)
    keys.append(key_of(config))
    torch.set_num_threads(1)
    assert len({key_of(config), *keys}) == 1 + len(keys)
    alike = SearchConfig(**{**TINY, "epochs": 9}, seed=4, penalty_strength=2.0, sampled_ops=3)
    assert key_of(alike) == key_of(config)
