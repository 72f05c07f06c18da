"""The history of a sweep on disk: every report at a rung and its decision, as they happen.

A journal is a directory of files of JSON lines. A line is never changed, and only the last file
grows: on a local disk it is appended to, and a last line that a crash cut off is none; on an object
store, which cannot append, it is replaced as a whole. Files are short, so that both cost the same
however long the sweep is. The first line of a file names its sweep.

A file that is damaged, or of another experiment, is kept beside before its place is written to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs

from snas_tune.files import first_line
from snas_tune.front.storage import STORAGE_ERRORS, join, read_file, replace_file, resolve
from snas_tune.stopping.segment import FORMAT, MOST_BYTES, Line, Segment, decode, encode
from snas_tune.stopping.segment import encode_lines as _encoded

SEGMENT = 32
"""Lines of a file."""

EXPERIMENT = "experiment"
"""The key of the head by which the journals of two experiments differ."""

FORMATS = (1, FORMAT)
"""Those that are read."""

_NAME = re.compile(r"journal-(\d{6})\.jsonl")


class Journal:
    """Lines that survive the process that wrote them.

    Nothing is written before :meth:`repair`, :meth:`add` or :meth:`flush`.

    Args:
        path: the directory, local or a URI; it need not be there.
        head: names the sweep (:data:`EXPERIMENT`; if it does not, any sweep's journal is read) and
            the settings by which it decides.
        filesystem: as in :func:`snas_tune.front.storage.resolve`.

    Raises:
        ValueError: the journal on disk cannot be read, lacks a file, is of a format that is not
            known, or has other settings.
    """

    def __init__(
        self, path: str, head: Mapping[str, Any], filesystem: fs.FileSystem | None = None
    ) -> None:
        self.path = path
        self._filesystem, self._inside = resolve(path, filesystem)
        self.head: Line = json.loads(json.dumps({"format": FORMAT, **head}))
        self._lines: list[Line | None] = []
        self._aside: dict[str, str] = {}
        self.damage: list[str] = []
        """A line of text for each file that is damaged, or of another experiment."""
        self.follows = False
        """Whether the journal of an earlier experiment lies beside."""
        self._read()
        self._written = len(self._lines)
        self._open: pa.NativeFile | None = None
        """The last file, if lines can be appended to it."""

    @property
    def lines(self) -> list[Line]:
        """All lines that could be read, oldest first."""
        return [line for line in self._lines if line is not None]

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line and write it; one that cannot be written now goes with the next one.

        Raises:
            OSError: the storage does not take it now; the line is kept.
        """
        self._lines.append(dict(line))
        self.flush()

    def flush(self) -> None:
        """Write the lines that are not on disk yet.

        Raises:
            OSError: the storage does not take it now.
        """
        self.repair()
        while self._written < len(self._lines):
            start = self._written - self._written % SEGMENT
            end = min(start + SEGMENT, len(self._lines))
            stream, self._open = self._open, None  # a write that fails halfway is repeated
            # A decision must not wait for a disk: only full files do.
            full = end == start + SEGMENT
            if stream is not None and not full:
                stream.write(_encoded(self.head, self._written, self._lines[self._written : end]))
            else:
                self._replace(start, end, to_disk=full)
                stream = None if full else self._appending(start)
            self._open, self._written = stream, end

    def repair(self) -> None:
        """Keep each damaged file beside, and put what could be read of it in its place.

        Files of another experiment are kept beside as well.

        Raises:
            OSError: the storage does not take it now.
        """
        for name, kept in list(self._aside.items()):
            inside = join(self._inside, name)
            if kept.endswith(".other"):
                self._filesystem.move(inside, join(self._inside, kept))
            else:
                content = read_file(self._filesystem, inside, MOST_BYTES)
                replace_file(self._filesystem, join(self._inside, kept), content)
                start = _number(name) * SEGMENT
                self._replace(start, min(start + SEGMENT, self._written), to_disk=True)
            del self._aside[name]

    def _replace(self, start: int, end: int, *, to_disk: bool) -> None:
        """Write a file as a whole."""
        content = encode(self.head, start, self._lines[start:end])
        file = join(self._inside, _name(start // SEGMENT))
        replace_file(self._filesystem, file, content, to_disk=to_disk)

    def _appending(self, start: int) -> pa.NativeFile | None:
        """A file to append to, unbuffered; ``None`` where the storage cannot."""
        if not isinstance(self._filesystem, fs.LocalFileSystem):
            return None
        return self._filesystem.open_append_stream(join(self._inside, _name(start // SEGMENT)))

    def _read(self) -> None:
        try:
            there = self._listing()
            names = sorted(name for name in there if _NAME.fullmatch(name))
            self.follows = any(name.endswith(".other") for name in there)
            for i, name in enumerate(names):
                if name != _name(i):
                    raise ValueError(f"it must hold {_name(i)}, got {name} without it")
                if not self._take(name, self._decoded(name, i), there, last=name == names[-1]):
                    # The last one first, so that those left begin with the first at any time.
                    self._keep_aside(names[i:][::-1], "other", there)
                    self.damage.append(f"{name} is of another sweep; kept as {self._aside[name]}")
                    break
        except (*STORAGE_ERRORS, ValueError) as error:
            raise ValueError(
                f"journal {self.path} must be that of the sweep to go on with: {first_line(error)}"
            ) from error

    def _listing(self) -> set[str]:
        found = self._filesystem.get_file_info(fs.FileSelector(self._inside, allow_not_found=True))
        return {info.base_name for info in found}

    def _decoded(self, name: str, number: int) -> Segment:
        try:
            content = read_file(self._filesystem, join(self._inside, name), MOST_BYTES)
        except ValueError as error:
            raise ValueError(f"{name} cannot be read: {error}") from error
        return decode(content, self.head, number * SEGMENT)

    def _take(self, name: str, segment: Segment, there: set[str], *, last: bool) -> bool:
        """Take over a file; whether it is of this experiment."""
        if segment.head is not None and not self._is_mine(name, segment.head):
            return False
        lines, bad = segment.lines[:SEGMENT], segment.bad + max(0, len(segment.lines) - SEGMENT)
        if not last:
            bad += SEGMENT - len(lines)
            lines += [None] * (SEGMENT - len(lines))
        while last and lines and lines[-1] is None:
            lines.pop()
        self._lines += lines
        if bad:
            self._keep_aside([name], "damaged", there)
            count = "1 line" if bad == 1 else f"{bad} lines"
            self.damage.append(f"{count} of {name} cannot be read; kept as {self._aside[name]}")
        return True

    def _is_mine(self, name: str, head: Line) -> bool:
        """Whether a head is this journal's.

        Raises:
            ValueError: it is of this experiment, but its format or a setting is another.
        """
        if head.get("format") not in FORMATS:
            known = " or ".join(map(str, FORMATS))
            raise ValueError(f"format of {name} must be {known}, got {head.get('format')!r}")
        if head.get(EXPERIMENT) != self.head.setdefault(EXPERIMENT, head.get(EXPERIMENT)):
            return False
        for key in {**head, **self.head}:
            if key != "format" and head.get(key) != self.head.get(key):
                raise ValueError(
                    f"{key} must be {json.dumps(head.get(key))} as in the sweep to resume, "
                    f"got {json.dumps(self.head.get(key))}"
                )
        return True

    def _keep_aside(self, names: list[str], why: str, there: set[str]) -> None:
        for name in names:
            kept = next(
                kept
                for i in range(1, len(there) + 2)
                if (kept := f"{name}.{why}" if i == 1 else f"{name}.{i}.{why}") not in there
            )
            self._aside[name] = kept


def _name(segment: int) -> str:
    return f"journal-{segment:06d}.jsonl"


def _number(name: str) -> int:
    return int(name[len("journal-") : -len(".jsonl")])
