"""The names in a folder or archive: which are images, which are other files, which are hidden."""

from __future__ import annotations

import functools
import importlib
import posixpath
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from PIL import Image

from snas_tune.data.found import HIDDEN, HINTS, UNLABELLED, LeftOut

EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".ico", ".qoi"),
        *(".jp2", ".j2k", ".jpf", ".jpx", ".avif", ".heic", ".heif"),
    )
)
"""Endings of image files, in any case of letters; read where Pillow has a decoder for them."""

TABLES = (".csv", ".tsv", ".parquet")
"""Endings of tables."""

SYSTEM = frozenset(
    (
        *("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "@eadir", "$recycle.bin"),
        *("system volume information", "lost+found", "__pycache__"),
    )
)
"""Files and folders that systems and archivers add, in lower case."""

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """All names in a folder or archive, relative, with ``/``."""

    files: Iterable[str]

    folders: Iterable[str] = ()

    left_out: Mapping[str, list[str]] = field(default_factory=dict)
    """Names that the listing itself left out, by the kinds of :mod:`snas_tune.data.found`."""

    broken: Mapping[str, str] = field(default_factory=dict)
    """Folders that cannot be listed, and why."""


@functools.cache
def readable_endings() -> frozenset[str]:
    """Those of :data:`EXTENSIONS` that Pillow decodes here, with ``pillow-heif`` if it is there."""
    with suppress(Exception):  # a plugin that is missing or broken is as good as none
        importlib.import_module("pillow_heif").register_heif_opener()
    formats = Image.registered_extensions()
    return frozenset(ending for ending in EXTENSIONS if formats.get(ending) in Image.OPEN)


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the kinds behind :func:`readable_endings`, in the order of trying.

    Pillow opens a file by its content, whatever its name. Its other kinds stay out: of EPS and WMF
    the content is a program, which Pillow hands to Ghostscript or to the system.
    """
    registered = Image.registered_extensions()
    wanted = {registered[ending] for ending in readable_endings()}
    return tuple(name for name in Image.ID if name in wanted)


def ending(name: str) -> str:
    """The ending of a name in lower case, with its dot; empty if it has none."""
    return posixpath.splitext(name)[1].lower()


def is_image(name: str) -> bool:
    """Whether a name is that of an image which can be decoded here."""
    return ending(name) in readable_endings()


def kind_of(name: str) -> str:
    """The kind under which a file that is no image is counted."""
    return ending(name) or "no ending"


def hidden(parts: Parts) -> bool:
    """Whether a path or a folder of it is hidden, or of the system."""
    return any(part[0] == "." or part.lower() in SYSTEM for part in parts)


def parts_of(name: str) -> Parts:
    """The components of a path."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def sort_out(entries: Entries) -> tuple[list[Parts], dict[str, list[str]]]:
    """The images that are not hidden, and the names of all other files by kind."""
    images: list[Parts] = []
    readable = readable_endings()
    others = {kind: list(names) for kind, names in entries.left_out.items()}
    for name in entries.files:
        parts = parts_of(name)
        if not parts:
            continue
        if hidden(parts):
            others.setdefault(HIDDEN, []).append(name)
        elif ending(name) in readable:
            images.append(parts)
        else:
            others.setdefault(kind_of(name), []).append(name)
    return images, others


def left_out_words(left_out: Mapping[str, LeftOut]) -> str:
    """What was left out in words, ``90 .heic (pip install pillow-heif), 3 hidden``."""
    words = []
    for kind, one in left_out.items():
        hint = f" (Pillow cannot read them here: {HINTS[kind]})" if kind in HINTS else ""
        noun = "images " if kind == UNLABELLED else ""
        words.append(f"{one.count:,} {noun}{kind}{hint}")
    return ", ".join(words)
