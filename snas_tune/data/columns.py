"""The columns of a table of images: which hold paths, labels and parts, and what they say."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snas_tune.data.entries import ending, is_image
from snas_tune.data.found import shown
from snas_tune.data.parts import part_of
from snas_tune.files import first_line, read_bounded

IMAGES = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path"),
    *("img", "img_path", "image_file", "image_name", "image_id", "id", "name"),
)
"""Names of a column of paths, also in the plural; the first that is there counts."""

LABELS = ("label", "class", "target", "category", "label_name", "class_name", "category_name")
"""Names of a column of labels, also in the plural; the first that is there counts."""

SPLITS = ("split", "subset", "set", "partition", "part", "phase", "usage", "data_set")
"""Names of a column of parts; read if a value is the name of a part, ``split`` always."""

BINARY = ("binary", "large_binary", "binary_view")
"""Types of Parquet's columns of images."""

MOST_BYTES = 1 << 30
"""Most bytes of a table of texts."""

NUMBER = re.compile(r"[0-9]{1,18}")
"""A label that is the number of a class."""

DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of a table that are read; all of one length."""

    images: Sequence[str | None]
    """Paths, or names without an ending; None where there is none."""

    labels: Sequence[str | None]

    splits: Sequence[str | None] | None
    """None where the table has no such column."""

    names: tuple[str, ...]
    """Of the columns of images and labels, as the table spells them."""

    classes: tuple[str, ...] | None = None
    """The names of all classes where the table itself lists them."""

    inside: bool = False
    """Whether the images themselves are in the table; ``images`` are then names for messages."""

    lines: Sequence[int] | None = None
    """Of a text the line of each row, from 1 on; None where the table has no lines."""

    def place(self, row: int) -> str:
        """Where a row is, for messages: its line in the file, or its number from 0 on."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"


def read_columns(path: Path) -> Columns:
    """Read a table of paths and labels: a text with a row of names on top, or Parquet.

    A text may have no row of names if it has two columns, paths and labels.

    Raises:
        ValueError: it cannot be read, or lacks a column; one line.
    """
    with readable_table(path):
        return _parquet(path) if ending(path.name) == ".parquet" else _text(path)


def has_columns(path: Path) -> bool:
    """Whether it is a table of paths and labels."""
    try:
        return bool(read_columns(path).images)
    except ValueError:
        return False


@contextmanager
def readable_table(path: Path) -> Iterator[None]:
    """Turn an error of a reader of tables into one line that names the path.

    Raises:
        ValueError: in place of any of these.
    """
    try:
        yield
    except Exception as error:
        of_reader = isinstance(error, OSError | UnicodeError | csv.Error | MemoryError)
        if not (of_reader or type(error).__module__.startswith("pyarrow")):
            raise
        raise ValueError(f"table must be readable, got {shown(path)} ({first_line(error)})") from (
            error
        )


def choose_columns(names: Sequence[str], path: Path) -> tuple[int, int, int | None]:
    """The numbers of the columns of paths, labels and parts; the last may be missing.

    Raises:
        ValueError: there is none of paths or of labels, with the names in the message; or there
            are two of one name.
    """
    plain = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in names]
    images, labels, splits = (_first(plain, known) for known in (IMAGES, LABELS, SPLITS))
    if labels is None and images is not None:
        rest = [i for i, name in enumerate(plain) if name and i not in (images, splits)]
        rest = [i for i in rest if not plain[i].startswith(("unnamed", "__"))]  # pandas' index
        labels = rest[0] if len(rest) == 1 else None
    if images is None or labels is None:
        few = ", ".join(map(shown, names[:10])) + (", ..." if len(names) > 10 else "")
        raise ValueError(
            f"table must have a column of paths ({', '.join(IMAGES)}) and one of labels "
            f"({', '.join(LABELS)}), got {few} in {shown(path)}"
        )
    for i in (images, labels, splits):
        if i is not None and plain.count(plain[i]) > 1:
            raise ValueError(
                f"a table must have one column {shown(plain[i])}, got {plain.count(plain[i])} in "
                f"{shown(path)}"
            )
    return images, labels, splits


def _first(names: Sequence[str], known: Sequence[str]) -> int | None:
    written = (name + mark for name in known for mark in ("", "s"))
    return next((names.index(name) for name in written if name in names), None)


def _splits(name: str, values: list[str | None] | None) -> list[str | None] | None:
    """A column of parts, unless it is one by chance."""
    if values is None or name.strip().lower() == "split":
        return values
    return values if any(value is not None and part_of(value) for value in values) else None


def _text(path: Path) -> Columns:
    try:
        text = _decoded(read_bounded(path, MOST_BYTES))
    except ValueError as error:
        raise ValueError(f"table must be readable, got {shown(path)} ({error})") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    top = text.split("\n", 1)[0]
    tabs = ending(path.name) == ".tsv"
    delimiter = "\t" if tabs else max(DELIMITERS, key=top.count)
    lines, rows = _filled(text, delimiter)
    if not rows:
        raise ValueError(f"table must have rows, got none in {shown(path)}")
    names = rows[0]
    if len(names) == 2 and is_image(names[0].strip()):  # no row of names
        names = ["path", "label"]
    else:
        del rows[0], lines[0]
    where = choose_columns(names, path)
    for line, row in zip(lines, rows, strict=True):
        if any(row[len(names) :]):
            raise ValueError(
                f"each row of a table must have {len(names)} values, as the first has, "
                f"got {len(row)} in line {line} of {shown(path)}"
            )
    images, labels, splits = (None if i is None else _column(rows, i) for i in where)
    assert images is not None
    assert labels is not None
    if where[2] is not None:
        splits = _splits(names[where[2]], splits)
    return Columns(images, labels, splits, (names[where[0]], names[where[1]]), lines=lines)


def _filled(text: str, delimiter: str) -> tuple[list[int], list[list[str]]]:
    """The rows that are not empty, and the line where each begins."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    lines, rows, line = [], [], 1
    for values in reader:
        row = [value.strip() for value in values]
        if any(row):
            lines.append(line)
            rows.append(row)
        line = reader.line_num + 1
    return lines, rows


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "surrogateescape")


def _column(rows: Sequence[Sequence[str]], i: int) -> list[str | None]:
    return [_given(row[i]) if i < len(row) else None for row in rows]


def _given(value: str) -> str | None:
    """A value of a table; None where it is empty, or the ``nan`` that pandas makes of this."""
    return None if value.lower() in ("", "nan") else value


def _parquet(path: Path) -> Columns:
    from pyarrow import parquet  # loads slowly, and few need it

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        where = choose_columns(schema.names, path)
        names = [schema.names[i] for i in where if i is not None]
        inside = _holds_images(schema.field(names[0]).type, path)
        read = [*([f"{names[0]}.path"] if inside else names[:1]), *names[1:]]
        table = file.read(columns=read)
        columns = {
            name: table.column(name).to_pylist() for name in names if name in table.schema.names
        }
    labels = [_value(value, path) for value in columns[names[1]]]
    classes = _listed_classes(schema.metadata, names[1])
    if classes is not None:
        labels = [None if one is None else _named(one, classes, path) for one in labels]
    rows = columns.get(names[0]) or [None] * len(labels)
    images = [_path_of(value, row, inside) for row, value in enumerate(rows)]
    splits = None
    if len(names) > 2:
        splits = _splits(names[2], [_value(value, path) for value in columns[names[2]]])
    return Columns(images, labels, splits, (names[0], names[1]), classes, inside)


def _holds_images(kind: Any, path: Path) -> bool:
    """Whether a type of pyarrow is that of images themselves, whose ``bytes`` are binary."""
    fields = [kind.field(i) for i in range(kind.num_fields)]
    found = [str(field.type) for field in fields if field.name == "bytes"]
    if found and (len(found) > 1 or found[0] not in BINARY):  # a text would be read as a path
        raise ValueError(
            f"bytes of images in a table must be binary, got {shown(' and '.join(found))[:100]} in "
            f"{shown(path)}"
        )
    return bool(found)


def _path_of(value: Any, row: int, inside: bool) -> str | None:
    if not inside:
        return None if value is None else str(value)
    name = value.get("path") if value else None
    return f"row {row}" + (f", {name}" if name else "")


def _value(value: Any, path: Path) -> str | None:
    """A label or part as text."""
    if value is None or value != value:
        return None
    if not isinstance(value, str | int | float | bool):
        raise ValueError(
            f"label must be one text or number, got {type(value).__name__} in {shown(path)}"
        )
    return _given(str(value).strip())


def _listed_classes(metadata: Mapping[bytes, bytes] | None, column: str) -> tuple[str, ...] | None:
    """The names of classes that Hugging Face's library writes into a table's metadata."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[column]["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _named(label: str, classes: tuple[str, ...], path: Path) -> str | None:
    """The name of a class by its number; -1 stands for an image without a label."""
    if label == "-1":
        return None
    if not NUMBER.fullmatch(label) or int(label) >= len(classes):
        raise ValueError(
            f"labels must be from 0 to {len(classes) - 1}, got {shown(label[:100])} in "
            f"{shown(path)}"
        )
    return classes[int(label)]
