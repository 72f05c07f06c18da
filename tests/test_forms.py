"""The supernet's form: measured once, kept, and the same to the end of a search."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest
import torch
from conftest import TINY, link_kernels

from snas_tune.config import SearchConfig
from snas_tune.files import cache_directory
from snas_tune.search.autotune import FILE, FORMAT, candidates, form_key
from snas_tune.search.checkpoint import load_search, save_search
from snas_tune.search.search import Search
from snas_tune.search.timing import Pass, measure_forms
from snas_tune.space.cell.kernels import bindings as native
from snas_tune.space.cell.supernet import Supernet, skeleton_of
from snas_tune.training.runtime import FORMS, choose_runtime

NATIVE = ("fast channels-last", "plain channels-last", "plain")
"""What ``auto`` chooses among where the native kernels run."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SNAS_TUNE_CACHE", str(folder))
    return folder


def key_of(config: SearchConfig, side: int = 8, colours: int = 1) -> str:
    skeleton = skeleton_of(config, image_size=side, image_channels=colours, classes=10)
    return form_key(choose_runtime(config), config, skeleton)


def plant(cache, best: str, config: SearchConfig, forms=NATIVE) -> None:
    """A table that calls one form the fastest, with values that no machine measures."""
    seconds = {form: 1e-9 if form == best else 1e9 for form in forms}
    table = {"format": FORMAT, "seconds": {key_of(config): seconds}}
    cache.mkdir(exist_ok=True)
    (cache / FILE).write_text(json.dumps(table))


def kept(cache) -> dict[str, dict[str, float]]:
    table = json.loads((cache / FILE).read_text())
    assert table["format"] == FORMAT
    return table["seconds"]


def bits(search: Search) -> list[torch.Tensor]:
    state = search.state_dict()
    tensors = [*state["supernet"].values(), *state["momenta"].values()]
    for slots in state["logits_optimiser"]["state"].values():
        tensors += [torch.as_tensor(slots[name]) for name in sorted(slots)]
    return [tensor.clone() for tensor in tensors]


def same(a: Search, b: Search) -> bool:
    return all(torch.equal(x, y) for x, y in zip(bits(a), bits(b), strict=True))


@pytest.mark.parametrize("changes", [{}, {"precision": "bfloat16"}, {"channels_last": True}])
def test_the_chosen_form_is_the_one_of_least_seconds_in_the_table(cache, caplog, changes):
    config = SearchConfig(**TINY, **changes)
    with caplog.at_level(logging.INFO, logger="snas_tune"):
        search = Search(config)
    ((key, seconds),) = kept(cache).items()
    assert key == key_of(config)
    assert set(seconds) == set(candidates(search.runtime, config))
    assert len(seconds) >= 2
    assert all(value > 0 for value in seconds.values())
    assert search.runtime.form == min(seconds, key=seconds.__getitem__)
    (record,) = caplog.records
    assert record.message.startswith(f"the supernet runs {search.runtime.form} (milliseconds of a ")
    assert record.message.endswith(f"; measured now, kept in {cache / FILE})")
    assert search.take_step().cross_entropy.isfinite()


@pytest.mark.parametrize("form", NATIVE)
def test_a_table_is_obeyed_and_nothing_measured(cache, caplog, form, tiny):
    plant(cache, form, tiny)
    before = (cache / FILE).read_bytes()
    with caplog.at_level(logging.INFO, logger="snas_tune"):
        search = Search(tiny)
    assert search.runtime.form == form
    assert (search.runtime.fast, search.runtime.channels_last) == FORMS[form]
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
    ("changes", "form"),
    [
        ({"supernet": "plain"}, "plain"),
        ({"supernet": "fast"}, "fast channels-last"),
        ({"compile": True}, "plain"),
    ],
)
def test_a_search_that_names_its_form_or_compiles_measures_nothing(cache, changes, form):
    assert Search(SearchConfig(**TINY, **changes)).runtime.form == form
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
print(Search(config).runtime.form)
"""


def test_processes_that_start_together_measure_once(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    link_kernels(cache_directory(), cache)
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
    assert len({form for form, _ in said}) == 1
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
        b'{"format": 1, "seconds": {"a": {"plain": "fast"}}}',
        b'{"format": 1, "seconds": {"a": {"plain": NaN}}}',
        b'{"format": 1, "seconds": {"a": {"plain": -1.0}}}',
    ],
)
def test_a_table_of_anything_else_is_replaced_with_one_line(cache, caplog, content, tiny):
    cache.mkdir()
    (cache / FILE).write_bytes(content)
    Search(tiny)
    (record,) = caplog.records
    prefix = f"table of forms {cache / FILE} is measured anew and replaced: it "
    assert record.message.startswith(prefix)
    assert "\n" not in record.message
    assert list(kept(cache)) == [key_of(tiny)]


def test_an_entry_of_other_forms_is_measured_anew(cache, tiny):
    plant(cache, "plain", tiny, forms=("plain", "faster"))
    Search(tiny)
    assert set(kept(cache)[key_of(tiny)]) == set(NATIVE)


def test_a_cache_that_cannot_be_written_costs_the_measurement_only(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SNAS_TUNE_CACHE", str(tmp_path / "file" / "cache"))
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
@pytest.mark.parametrize("form", NATIVE)
@pytest.mark.parametrize("built_before", [True, False])
def test_a_restored_search_goes_on_in_its_form_bit_for_bit(
    cache, tmp_path, tiny, table, form, built_before
):
    plant(cache, form, tiny)
    whole, first = Search(tiny), Search(tiny)
    for _ in range(2):
        whole.take_step()
        first.take_step()
    save_search(first, tmp_path)
    if table == "gone":
        (cache / FILE).unlink()
    else:
        plant(cache, NATIVE[NATIVE.index(form) - 1], tiny)
    if built_before:  # as a trial is, before its checkpoint is given to it
        second = Search(tiny)
        second.load_state_dict(torch.load(tmp_path / "search.pt", weights_only=True))
    else:
        second = load_search(tmp_path)
        assert (cache / FILE).exists() == (table != "gone")  # nothing was measured
    assert second.runtime.form == form
    for _ in range(2):
        whole.take_step()
        second.take_step()
    assert same(whole, second)


def test_a_form_that_the_config_names_is_kept_over_the_checkpoints(cache, tmp_path, tiny):
    plant(cache, "plain", tiny)
    save_search(Search(tiny), tmp_path)
    assert load_search(tmp_path).runtime.form == "plain"
    assert load_search(tmp_path, supernet="fast").runtime.form == "fast channels-last"
    plant(cache, "fast channels-last", SearchConfig(**TINY, channels_last=True), NATIVE[:2])
    assert load_search(tmp_path, channels_last=True).runtime.form == "fast channels-last"


@pytest.mark.parametrize("form", ["absent", None, 3, "plain", {"name": "plain", "device": "cuda"}])
def test_a_checkpoint_that_says_nothing_of_this_device_takes_the_tables_form(
    cache, tmp_path, tiny, form
):
    plant(cache, "plain channels-last", tiny)
    state = Search(tiny).state_dict()
    assert state.pop("form") == {"name": "plain channels-last", "device": "cpu"}
    if form != "absent":
        state["form"] = form
    torch.save(state, tmp_path / "search.pt")
    assert load_search(tmp_path).runtime.form == "plain channels-last"
    search = Search(tiny)
    search.load_state_dict(state)
    assert search.runtime.form == "plain channels-last"


def test_candidates_are_what_the_config_and_the_device_leave_open():
    def open_to(**changes):
        config = SearchConfig(**changes, device="cpu")
        return tuple(candidates(choose_runtime(config), config))

    assert open_to() == NATIVE
    assert open_to(channels_last=True) == NATIVE[:2]
    assert open_to(precision="bfloat16") == tuple(FORMS)
    assert open_to(compile=True) == ("plain",)
    assert open_to(supernet="fast", compile=True) == ("fast",)
    assert open_to(compile=True, sampling="gdas") == open_to(sampling="gdas")  # runs eager
    assert open_to(supernet="plain", channels_last=True) == ("plain channels-last",)
    with native.switched_off():
        assert open_to() == tuple(FORMS)
        assert open_to(supernet="fast") == ("fast",)
        assert open_to(channels_last=True) == ("fast channels-last", "plain channels-last")


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


@pytest.mark.parametrize("cells", [3, 4, 5, 8, 20])
@pytest.mark.parametrize("form", FORMS)
def test_a_pass_has_every_part_of_the_supernet(cells, form):
    """All weights but the preprocessing's, which differ from cell to cell, are counted."""
    config = SearchConfig(cells=cells, channels=2, nodes=2, batch_size=2, device="cpu")
    skeleton = skeleton_of(config, image_size=8, image_channels=3, classes=4)
    pieces = Pass(choose_runtime(config).in_form(form), config, skeleton).pieces

    def weights(module: torch.nn.Module) -> int:
        named = module.named_parameters()
        return sum(p.numel() for name, p in named if "preprocess" not in name and name != "logits")

    assert sum(piece.count * weights(piece.module) for piece in pieces) == weights(
        Supernet(config, skeleton)
    )
    kinds = [piece for piece in pieces if piece.inputs]
    assert sum(piece.count for piece in kinds) == cells
    assert len(kinds) == min(cells, 5)


def test_a_pass_is_given_up_above_its_limit():
    config = SearchConfig(**TINY, device="cpu")
    skeleton = skeleton_of(config, image_size=8, image_channels=1, classes=4)
    one = Pass(choose_runtime(config), config, skeleton)
    taken = []
    for number, piece in enumerate(one.pieces):
        piece.module.register_forward_hook(lambda *_, number=number: taken.append(number))
    one.seconds(0.0)
    assert taken == [0]
    one.seconds(float("inf"))
    assert taken == [0, *range(len(one.pieces))]


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": "gdas", "activation_checkpointing": True},
        {"sampling": "top_k", "precision": "float64"},
        {"sampling": "dsnas", "ops": ("none", "skip_connect")},  # at times nothing runs
        {"stem": "imagenet"},
    ],
)
def test_a_pass_is_that_of_the_searchs_settings(changes):
    """Every cell's weights that run get a gradient, of the search's type; others do not."""
    config = SearchConfig(**TINY, **changes, device="cpu")
    skeleton = skeleton_of(config, image_size=8, image_channels=1, classes=4)
    for form in FORMS:
        one = Pass(choose_runtime(config).in_form(form), config, skeleton)
        assert 0 < one.seconds(float("inf")) < float("inf")
        assert one.net.checkpointing == config.activation_checkpointing
        for piece in one.pieces:
            assert len(piece.forward) == (
                8 if config.sampling != "concrete" and piece.inputs else 1
            )
            gradients = [w.grad for w in piece.module.parameters() if w.grad is not None]
            assert all(gradient.dtype == one.runtime.dtype for gradient in gradients)
            if config.sampling == "concrete":
                assert len(gradients) == len(list(piece.module.parameters()))


def test_users_ops_may_draw_random_numbers_and_leave_weights_unused(monkeypatch):
    """As the search's global state is none of theirs."""
    from snas_tune.space.cell.ops import OPS, Op

    class Odd(torch.nn.Module):
        def __init__(self, channels: int, stride: int, affine: bool) -> None:
            super().__init__()
            self.stride, self.unused = stride, torch.nn.Parameter(torch.zeros(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x[:, :, :: self.stride, :: self.stride]
            return x + torch.rand_like(x)

    monkeypatch.setitem(OPS, "odd", Op(Odd))
    config = SearchConfig(**TINY, ops=("none", "odd"), device="cpu")
    skeleton = skeleton_of(config, image_size=8, image_channels=1, classes=4)
    runtimes = [choose_runtime(config).in_form(form) for form in FORMS]
    state = torch.random.get_rng_state()
    assert set(measure_forms(runtimes, config, skeleton)) == set(FORMS)
    assert torch.equal(torch.random.get_rng_state(), state)
