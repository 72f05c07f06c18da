"""The journal on disk: lines that last, and files that are damaged, missing or of another sweep."""

from __future__ import annotations

import json
import math
import os
import random
from contextlib import suppress

import pytest

from snas_tune.stopping import Journal, Judge, journal
from snas_tune.stopping.rules import Asha

HEAD = {"experiment": "e"}


def test_a_journal_keeps_every_line_across_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 4)
    path = str(tmp_path / "x/journal")
    written = Journal(path, HEAD)
    for i in range(11):
        assert Journal(path, HEAD).lines == [{"i": j} for j in range(i)]
        written.add({"i": i})
    files = sorted((tmp_path / "x/journal").iterdir())
    assert [len(file.read_text().splitlines()) for file in files] == [5, 5, 4]
    again = Journal(path, HEAD)
    again.add({"i": 11})
    assert Journal(path, HEAD).lines == [{"i": j} for j in range(12)]


def test_a_last_file_that_no_disk_got_is_as_if_it_were_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 2)
    written = Journal(str(tmp_path), HEAD)
    for i in range(3):
        written.add({"i": i})
    (tmp_path / "journal-000001.jsonl").write_bytes(b"")
    again = Journal(str(tmp_path), HEAD)
    assert again.lines == [{"i": 0}, {"i": 1}]
    again.add({"i": 9})
    assert Journal(str(tmp_path), HEAD).lines == [{"i": 0}, {"i": 1}, {"i": 9}]


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_line_that_a_crash_cut_off_is_none(tmp_path, cut):
    written = Journal(str(tmp_path), HEAD)
    for i in range(3):
        written.add({"i": i})
    file = tmp_path / "journal-000000.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    again = Journal(str(tmp_path), HEAD)
    kept = [{"i": i} for i in range(3 if cut == 1 else 2)]  # of the first only its end is missing
    assert (again.lines, again.damage) == (kept, [])
    again.add({"i": 9})
    again.add({"i": 10})
    assert Journal(str(tmp_path), HEAD).lines == [*kept, {"i": 9}, {"i": 10}]


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_write_that_fails_halfway_leaves_no_half_line(tmp_path, lines, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 4)
    written = Journal(str(tmp_path), HEAD)
    for i in range(lines):
        written.add({"i": i})

    class Full:
        def write(self, content):
            with max(tmp_path.iterdir()).open("ab") as file:
                file.write(content[: len(content) // 2])
            raise OSError("no space left")

    written._open = Full()
    with pytest.raises(OSError, match="no space left"):
        written.add({"i": lines})
    assert Journal(str(tmp_path), HEAD).lines == [{"i": i} for i in range(lines)]
    written.add({"i": lines + 1})
    assert Journal(str(tmp_path), HEAD).lines == [{"i": i} for i in range(lines + 2)]


def test_another_experiments_journal_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 2)
    old = Journal(str(tmp_path), HEAD)
    for i in range(7):
        old.add({"i": i})
    new = Journal(str(tmp_path), {"experiment": "f"})
    assert new.lines == []
    for i in range(2):  # a whole file, behind which lie old ones
        new.add({"new": i})
    assert Journal(str(tmp_path), {"experiment": "f"}).lines == [{"new": 0}, {"new": 1}]
    for file in tmp_path.glob("*.other"):  # nothing was written over
        (tmp_path / file.stem).write_bytes(file.read_bytes())
    assert Journal(str(tmp_path), HEAD).lines == [{"i": i} for i in range(7)]


def test_what_the_storage_did_not_take_goes_with_the_next_line(tmp_path):
    path = tmp_path / "j"
    kept = Journal(str(path), HEAD)
    path.write_text("in the way")
    with pytest.raises(OSError, match=r"in the way|exists|directory"):
        kept.add({"i": 0})
    path.unlink()
    kept.add({"i": 1})
    assert Journal(str(path), HEAD).lines == [{"i": 0}, {"i": 1}]


def written(path, count, head=HEAD):
    made = Journal(str(path), head)
    for i in range(count):
        made.add({"i": i})
    return path / "journal-000000.jsonl"


@pytest.mark.parametrize(
    "tail", [b'{"i":9,"cr\n', b"\0" * 60 + b"\n", b"\0\0\n\n", b'{"i":9,"crc":"00000000"}\n']
)
def test_a_damaged_tail_is_kept_beside_and_the_lines_before_it_stay(tmp_path, tail):
    file = written(tmp_path, 3)
    damaged = file.read_bytes() + tail
    file.write_bytes(damaged)
    again = Journal(str(tmp_path), HEAD)
    assert again.lines == [{"i": 0}, {"i": 1}, {"i": 2}]
    (said,) = again.damage
    assert said.endswith(
        "of journal-000000.jsonl cannot be read; kept as journal-000000.jsonl.damaged"
    )
    assert file.read_bytes() == damaged  # reading changes nothing
    again.add({"i": 3})
    assert (tmp_path / "journal-000000.jsonl.damaged").read_bytes() == damaged
    third = Journal(str(tmp_path), HEAD)
    assert (third.lines, third.damage) == ([{"i": i} for i in range(4)], [])
    file.write_bytes(file.read_bytes() + tail)
    Journal(str(tmp_path), HEAD).repair()
    assert (tmp_path / "journal-000000.jsonl.damaged").read_bytes() == damaged
    assert (tmp_path / "journal-000000.jsonl.2.damaged").exists()
    assert Journal(str(tmp_path), HEAD).lines == third.lines


def test_a_damaged_line_in_the_middle_costs_that_line_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 3)
    file = written(tmp_path, 7)
    file.write_bytes(file.read_bytes().replace(b'{"i":1', b'{"i":7'))
    again = Journal(str(tmp_path), HEAD)
    kept = [{"i": i} for i in (0, 2, 3, 4, 5, 6)]
    assert again.lines == kept
    assert len(again.damage) == 1
    again.repair()
    third = Journal(str(tmp_path), HEAD)
    assert (third.lines, third.damage) == (kept, [])
    third.add({"i": 7})
    assert Journal(str(tmp_path), HEAD).lines == [*kept, {"i": 7}]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_file_that_is_missing_is_named(tmp_path, monkeypatch, lost):
    monkeypatch.setattr(journal, "SEGMENT", 2)
    written(tmp_path, 5)
    (tmp_path / f"journal-00000{lost}.jsonl").unlink()
    with pytest.raises(
        ValueError,
        match=rf"journal .* must be .*: it must hold journal-00000{lost}.jsonl, "
        rf"got journal-00000{lost + 1}.jsonl without it",
    ):
        Journal(str(tmp_path), HEAD)


@pytest.mark.parametrize("text", ['{"format": 3}', '{"format": 0}', '{"head": 1}'])
def test_a_format_that_is_not_known_is_named(tmp_path, text):
    file = tmp_path / "journal-000000.jsonl"
    file.write_text(f"{text}\n")
    found = json.loads(text).get("format")
    with pytest.raises(
        ValueError, match=f"format of journal-000000.jsonl must be 1 or 2, got {found}"
    ):
        Journal(str(tmp_path), HEAD)
    assert file.read_text() == f"{text}\n"


def test_other_settings_are_refused_and_named_and_the_journal_stays(tmp_path):
    file = written(tmp_path, 3, {**HEAD, "rule": "pareto", "max_t": 27})
    before = file.read_bytes()
    with pytest.raises(
        ValueError, match='rule must be "pareto" as in the sweep to resume, got "asha"'
    ):
        Journal(str(tmp_path), {**HEAD, "rule": "asha", "max_t": 27})
    assert file.read_bytes() == before
    same = Journal(str(tmp_path), {**HEAD, "max_t": 27.0, "rule": "pareto"})
    assert len(same.lines) == 3


def test_a_journal_of_format_1_is_read_and_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 2)
    for k, rows in enumerate([(0, 1), (2,)]):
        lines = [{"format": 1, **HEAD}, *({"i": i} for i in rows)]
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        (tmp_path / f"journal-00000{k}.jsonl").write_text(text)
    old = Journal(str(tmp_path), HEAD)
    assert (old.lines, old.damage) == ([{"i": i} for i in range(3)], [])
    old.add({"i": 3})
    old.add({"i": 4})
    assert Journal(str(tmp_path), HEAD).lines == [{"i": i} for i in range(5)]
    (tmp_path / "journal-000000.jsonl").write_text('{"format":1,"experiment":"e"}\n{"i":0}\nx\n')
    damaged = Journal(str(tmp_path), HEAD)
    assert damaged.lines == [{"i": i} for i in (0, 2, 3, 4)]
    assert len(damaged.damage) == 1


def reports(path, count=40):
    """A journal of a judge's lines, in two files."""
    made, judge = Journal(str(path), {**HEAD, "rule": "asha"}), Judge((3, 9, 27), 2, Asha(3))
    generator = random.Random(0)
    for i in range(count):
        costs = (generator.random(), generator.random())
        made.add(judge.report(f"{i}-ab", 3, costs, math.log(1 + i))[1])
    return made.lines


def is_part_of(lines, whole):
    """Whether they are some of the lines, in their order."""
    rest = iter(whole)
    return all(line in rest for line in lines)


def test_random_bit_flips_and_truncations_are_seen_or_do_no_harm(tmp_path):
    whole = reports(tmp_path)
    files = sorted(tmp_path.iterdir())
    contents = [file.read_bytes() for file in files]
    generator = random.Random(1)
    seen = 0
    for case in range(220):
        place = generator.randrange(2)
        content = bytearray(contents[place])
        at = generator.randrange(len(content))
        if case < 200:
            content[at] ^= 1 << generator.randrange(8)
        else:
            del content[at:]
        files[place].write_bytes(content)
        with suppress(ValueError):  # refused in whole
            found = Journal(str(tmp_path), {**HEAD, "rule": "asha"})
            assert is_part_of(found.lines, whole)
            # Without a word only what a crash would cut off is missing.
            assert found.damage or found.lines == whole[: len(found.lines)]
            assert found.damage or case >= 200 or found.lines == whole
            seen += bool(found.damage)
        files[place].write_bytes(contents[place])
    assert seen > 190


def test_a_file_beyond_all_sense_is_not_read(tmp_path, monkeypatch):
    file = written(tmp_path, 3)
    monkeypatch.setattr(journal, "MOST_BYTES", 50)
    with pytest.raises(
        ValueError, match=r"journal-000000.jsonl cannot be read: it must have at most 50"
    ):
        Journal(str(tmp_path), HEAD)
    monkeypatch.undo()
    file.write_text("[" * 100_000 + "\n")
    assert Journal(str(tmp_path), HEAD).lines == []


def test_a_pipe_in_the_place_of_a_file_is_refused_and_waits_for_nobody(tmp_path):
    file = written(tmp_path, 3)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ValueError, match=r"journal-000000.jsonl cannot be read: it must be a reg"):
        Journal(str(tmp_path), HEAD)
