"""Event files and journals that a disk changed: what is read is right, if it is not all."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from damage import cuts, flips
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto import summary_pb2

from snas_tune.stopping import Journal
from snas_tune.tensorboard_log.event_file import EventFile


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
    told = 0
    for damaged in [*flips(content, 200), *cuts(content, 20)]:
        path.write_bytes(damaged)
        caplog.clear()
        try:
            with caplog.at_level(logging.WARNING):
                found = Journal(str(tmp_path), head).lines
        except ValueError as error:
            assert "\n" not in str(error)
            told += 1
            continue
        rest = iter(whole)
        assert all(line in rest for line in found)  # in order, and nothing else
        assert all("\n" not in record.getMessage() for record in caplog.records)
    assert told < 220


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{" * 9, b"\xff" * 99, b"\0" * 99 + b"\n"])
def test_a_journal_of_a_stranger_is_one_line(tmp_path, content):
    (tmp_path / "journal-000000.jsonl").write_bytes(content)
    try:
        assert Journal(str(tmp_path), {"experiment": "one"}).lines == []
    except ValueError as error:
        assert "\n" not in str(error)
