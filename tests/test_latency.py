from __future__ import annotations

import json

import pytest
import torch
from cell_networks import candidates_of, one_hot_of
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import search_space_genotypes

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.search.search import Search
from snas_tune.space.cell.candidates import Candidates
from snas_tune.space.cell.cost import cell_cost, genotype_cost
from snas_tune.space.cell.genotype import Cell, Genotype
from snas_tune.space.cell.layers import LayerSpec
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.latency import measure_latencies, read_latencies, write_latencies

EMPTY = Genotype(Cell(1, (), (2,)), Cell(1, (), (2,)))


@st.composite
def searches(draw):
    """The candidates of a search, and a genotype that it can derive."""
    nodes = draw(st.integers(1, 3))
    stem, size = draw(st.sampled_from([("cifar", 9), ("cifar", 8), ("imagenet", 37)]))
    config = SearchConfig(
        cells=draw(st.integers(3, 7)),
        channels=4,
        nodes=nodes,
        stem=stem,
        partial_channels=draw(st.sampled_from([1, 1, 2, 4])),
    )
    candidates = candidates_of(config, image_size=size, image_channels=3, classes=5)
    return candidates, draw(search_space_genotypes(nodes, DARTS_OPS))


def made_up(layers):
    """A different number of milliseconds for each layer, exact in binary."""
    return {layer.key(): 1 + i / 1024 for i, layer in enumerate(layers)}


@settings(deadline=None, max_examples=60)
@given(searches())
def test_the_table_has_every_layer_of_any_child_and_latency_is_their_sum(search):
    candidates, genotype = search
    skeleton, table = candidates.skeleton, made_up(candidates.layers())
    for keep_dead in (True, False):
        plan = skeleton.plan(genotype, keep_dead=keep_dead)
        keys = [layer.key() for layer in skeleton.layers(plan)]
        found = genotype_cost("latency_ms", genotype, skeleton, keep_dead=keep_dead, latency=table)
        assert found == sum(table[key] for key in keys)
    sample = one_hot_of(genotype, candidates)
    supernet = cell_cost("latency_ms", candidates, table)
    whole = genotype_cost("latency_ms", genotype, skeleton, keep_dead=True, latency=table)
    assert supernet.of_sample(sample).item() == whole


def test_each_layer_is_listed_once_and_none_is_never_measured():
    config = SearchConfig(cells=8, channels=4)
    candidates = candidates_of(config, image_size=8, image_channels=1, classes=2)
    keys = [layer.key() for layer in candidates.layers()]
    assert keys == sorted(set(keys))
    assert not any("/none/" in key for key in keys)


def test_the_key_of_a_layer_says_its_kind_name_and_shape():
    layer = LayerSpec("op", "sep_conv_3x3", 16, 16, 32, 2)
    assert layer.key() == "op/sep_conv_3x3/16-16/side32/stride2"


def test_measuring_gives_milliseconds_for_every_layer_and_reports_each():
    config = SearchConfig(cells=3, channels=2, nodes=1)
    layers = candidates_of(config, image_size=4, image_channels=1, classes=2).layers()
    seen: list[tuple[str, float]] = []
    table = measure_latencies(
        layers, device="cpu", repeats=1, progress=lambda layer, ms: seen.append((layer.key(), ms))
    )
    assert list(table.items()) == seen
    assert list(table) == [layer.key() for layer in layers]
    assert all(0 < ms < 1000 for ms in table.values())


def test_more_work_takes_more_milliseconds():
    small, large = (
        LayerSpec("op", "sep_conv_5x5", channels, channels, side)
        for channels, side in ((2, 4), (32, 64))
    )
    table = measure_latencies([small, large], device="cpu", repeats=3)
    assert table[large.key()] > table[small.key()]


@pytest.mark.parametrize("repeats", [0, -1])
def test_at_least_one_run_is_needed(repeats):
    with pytest.raises(
        ValueError, match=f"^repeats must be a positive whole number, got {repeats}$"
    ):
        measure_latencies([], repeats=repeats)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(
        ValueError, match=r"^device must be auto, or one of cpu, .*, got 'nonsense'"
    ):
        measure_latencies([], device="nonsense")


def test_a_table_survives_its_file_which_says_what_was_measured(tmp_path):
    table = {"b": 0.1, "a": 1 / 3}
    path = tmp_path / "new" / "table.json"
    write_latencies(path, table, "cpu")
    assert read_latencies(path) == table
    write_latencies(path, {"c": 2.0}, "cpu")
    assert read_latencies(path) == {"c": 2.0}
    assert list(path.parent.iterdir()) == [path]
    value = json.loads(path.read_text())
    assert value["device"].startswith("cpu ")
    assert (value["threads"], value["torch"]) == (torch.get_num_threads(), torch.__version__)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it must be JSON: Expecting value"),
        (b"\xff\xfe\xfd", "it must be a text in UTF-8: "),
        (b"[]", r"it must be a JSON object with format, got \[\]"),
        (b"3", "it must be a JSON object with format, got 3"),
        (b"null", "it must be a JSON object with format, got null"),
        (b"\xef\xbb\xbftrue", "it must be a JSON object with format, got true"),
        (b"\xef\xbb\xbf", "it must be JSON: Expecting value"),
        (b"{}", "it must be a JSON object with format, got {}"),
        (b'{"format": 1}', "its milliseconds must be a JSON object of one layer or .*, got null"),
        (b'{"format": 1, "milliseconds": [1]}', r"its milliseconds must be .*, got \[1\]"),
        (b'{"format": 1, "milliseconds": {}}', "its milliseconds must be .*, got {}"),
        (b'{"format": 1, "milliseconds": {"a": "fast"}}', "latency of 'a' must be 0 or more, got"),
        (b'{"format": 1, "milliseconds": {"a": null}}', "latency of 'a' must be 0 or more, got"),
        (b'{"format": 1, "milliseconds": {"a": NaN}}', "latency of 'a' must be 0 or more, got"),
        (b'{"format": 1, "milliseconds": {"a": Infinity}}', "latency of 'a' must be 0 or more"),
        (b'{"format": 1, "milliseconds": {"a": -1}}', "latency of 'a' must be 0 or more, got -1"),
        (b'{"format": 1, "milliseconds": {"a": true}}', "latency of 'a' must be 0 or more, got"),
        (b'{"format": 1, "milliseconds": {"a": 1' + b"0" * 400 + b"}}", "latency of 'a' must be"),
        (b'{"format": 1, "milliseconds": {"a": 1' + b"0" * 9000 + b"}}", "Exceeds the limit"),
        (b"[" * 100_000, "its brackets must not be nested so deep"),
        (b'{"a":' * 100_000, "its brackets must not be nested so deep"),
    ],
)
def test_a_file_that_is_no_table_gives_one_line(tmp_path, content, reason):
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^latency table .*table.json cannot be read: {reason}"):
        read_latencies(path)


def test_a_missing_file_gives_one_line(tmp_path):
    with pytest.raises(
        ValueError, match=r"^latency table .*nowhere cannot be read: .*No such file"
    ):
        read_latencies(tmp_path / "nowhere")


@pytest.mark.parametrize("rest", ["", ', "milliseconds": {"a": 1}', ', "milliseconds": [[1]]'])
def test_a_newer_format_is_refused_whatever_it_holds(tmp_path, rest):
    path = tmp_path / "table.json"
    path.write_text('{"format": 2' + rest + "}")
    with pytest.raises(ValueError, match=r"^latency table .*table.json must have format 1, got 2$"):
        read_latencies(path)


def test_a_layer_that_the_table_lacks_is_named():
    skeleton = Skeleton(3, 2, "cifar", 4, 1, 2)
    lacks = "^latency table must have every layer of the network, lacks op/skip_connect/2-2/side4/"
    table = made_up(Candidates(skeleton, 1, DARTS_OPS).layers())
    short = {key: ms for key, ms in table.items() if "skip_connect" not in key}
    with pytest.raises(ValueError, match=lacks):
        cell_cost("latency_ms", Candidates(skeleton, 1, ("none", "skip_connect")), short)
    with pytest.raises(ValueError, match=r"lacks classifier/linear/0-2/side1/stride1$"):
        genotype_cost("latency_ms", EMPTY, skeleton, latency={})
    with pytest.raises(ValueError, match=r"^latency table must have every layer of the network"):
        genotype_cost("latency_ms", EMPTY, skeleton)


def test_a_search_with_a_table_reports_and_penalises_the_latency_of_its_child(tmp_path):
    path = tmp_path / "table.json"
    plain = Search(SearchConfig(**TINY))
    table = made_up(plain.space.layers())
    write_latencies(path, table, "cpu")
    search = Search(
        SearchConfig(
            **TINY,
            latency_table=str(path),
            penalty_costs={"latency_ms": 1.0},
            penalty_strength=1.0,
        )
    )
    assert search.take_step().penalty > 0
    derived = search.derive()
    assert search.evaluate()["latency_ms"] == pytest.approx(
        genotype_cost("latency_ms", derived, search.space.skeleton, latency=table)
    )
    assert plain.evaluate()["latency_ms"] != plain.evaluate()["latency_ms"]  # NaN


def test_a_table_that_cannot_be_written_gives_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "folder", tmp_path / "file" / "table.json"):
        with pytest.raises(ValueError, match=f"^latency table {path} cannot be written: "):
            write_latencies(path, {"a": 1.0}, "cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_search_whose_table_is_missing_does_not_start(tmp_path):
    config = SearchConfig(**TINY, latency_table=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"^latency table .*nowhere cannot be read: "):
        Search(config)
