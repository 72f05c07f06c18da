"""Event files and journals that a disk changed: what is read is right, if it is not all."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
from damage import cuts, flips
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto import summary_pb2
from tensorboard.data.provider import TensorDatum

from snas_tune.plugin.reader import Cache, Reader
from snas_tune.plugin.series import series_of
from snas_tune.stopping import Journal
from snas_tune.tensorboard_log.event_file import EventFile

GOOD = [math.nan, 2.0]


def events(path: Path) -> list[bytes]:
    return list(event_file_loader.RawEventFileLoader(str(path)).Load())


def test_tensorboard_reads_the_records_before_the_damage_and_no_other(tmp_path):
    log = EventFile(tmp_path)
    for step in range(20):
        value = summary_pb2.Summary.Value(tag="pareto/children", simple_value=step / 7)
        log.add(summary_pb2.Summary(value=[value]), step)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    whole = events(path)
    assert len(whole) == 21  # the first one is the version
    shorter = 0
    for damaged in [*flips(content, 200), *cuts(content, 20)]:
        path.write_bytes(damaged)
        found = events(path)
        assert found == whole[: len(found)]
        shorter += len(found) < len(whole)
    assert shorter == 220


def test_a_journal_gives_right_lines_alone_or_is_refused_with_one_line(tmp_path, caplog):
    head = {"rule": "pareto", "experiment": "one"}
    log = Journal(str(tmp_path), head)
    for i in range(20):
        log.add({"trial": f"t{i}", "costs": [i / 7, -i], "stop": bool(i % 2)})
    whole = Journal(str(tmp_path), head).lines
    (path,) = tmp_path.glob("journal-*.jsonl")
    content = path.read_bytes()
    lines: list[str] = []
    for damaged in [*flips(content, 200), *cuts(content, 20)]:
        path.write_bytes(damaged)
        caplog.clear()
        try:
            with caplog.at_level(logging.WARNING):
                found = Journal(str(tmp_path), head).lines
        except ValueError as error:
            lines.append(str(error))
            continue
        rest = iter(whole)
        assert all(line in rest for line in found)  # in order, and nothing else
        assert all("\n" not in record.getMessage() for record in caplog.records)
    assert not any("\n" in line for line in lines)
    assert len(lines) < 220


@pytest.mark.parametrize("content", [b"", b"\xff" * 9, b"\x08\x07", b"[" * 99])
def test_hyperparameters_of_a_stranger_are_none_for_the_tab(content):
    reader = Reader(None, Cache(), None, "")
    assert reader._settings(content) == {}


@pytest.mark.parametrize("values", [["a"], [b"x", b"y"], [1, 2], GOOD, []])
def test_vectors_of_a_stranger_that_are_none_are_left_out(values):
    data = [TensorDatum(3, 1.0, np.array(values))]
    assert len(series_of(data, 2).steps) == (values == GOOD)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{" * 9, b"\xff" * 99, b"\0" * 99 + b"\n"])
def test_a_journal_of_a_stranger_is_one_line(tmp_path, content):
    (tmp_path / "journal-000000.jsonl").write_bytes(content)
    log = Journal(str(tmp_path), {"experiment": "one"})
    assert log.lines == []
    assert not any("\n" in line for line in log.damage)
