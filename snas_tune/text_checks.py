"""Checks of texts: names, paths, addresses and devices."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

from snas_tune.checks import A_TEXT, ON_ONE_LINE, SHORT, TEXT, Check, encoded

MOST_BYTES = 255
"""Most bytes of the name of a file."""

MOST_DEVICES = 64

DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia")
"""Kinds of torch devices on which a search can run."""


def _short_parts(value: Any) -> bool:
    return all(len(part) <= MOST_BYTES for part in encoded(value).split(b"/"))


def _known_home(value: Any) -> bool:
    try:
        Path(value).expanduser()
    except RuntimeError:
        return False
    return True


def _leads_somewhere(value: Any) -> bool:
    """Whether no link on the way leads back to itself: a RuntimeError before Python 3.13."""
    try:
        Path(value).expanduser().resolve()
    except RuntimeError:
        return False
    except OSError as error:
        return error.errno != errno.ELOOP
    return True


def _whole_address(value: Any) -> bool:
    scheme, mark, rest = os.fspath(value).partition("://")
    return not mark or bool(re.fullmatch(r"[A-Za-z][\w+.-]*", scheme) and rest.strip("/ "))


def _is_directory_name(value: str) -> bool:
    return value not in (".", "..") and "/" not in value


def _is_device(value: str) -> bool:
    kind, colon, number = value.partition(":")
    known = kind in DEVICES and (not colon or bool(re.fullmatch(r"0|[1-9]\d?", number)))
    return value == "auto" or (known and int(number or 0) < MOST_DEVICES)


ADDRESS_FORM = re.compile(r"(ray://)?([^\s:/@]+|\[[0-9a-fA-F:]+\]):\d{1,5}")

A_PATH = Check(
    lambda value: isinstance(value, (str, os.PathLike)) and os.fspath(value).strip() != "",
    "a text or a Path",
)
_LIES_SOMEWHERE = (
    ON_ONE_LINE,
    SHORT,
    Check(_short_parts, f"of parts of at most {MOST_BYTES} bytes"),
    Check(_known_home, "in the home of a user of this machine if it begins with ~"),
    Check(_leads_somewhere, "without a link that leads back to itself"),
)

TEXT_PATH = (A_TEXT, *_LIES_SOMEWHERE)
"""A path as a text, which may go into JSON."""

PATH = (A_PATH, *_LIES_SOMEWHERE)
"""A path of a file or folder."""

A_FOLDER = Check(
    lambda value: not Path(value).exists() or Path(value).is_dir(), "a folder, or a new one"
)
NO_FOLDER = Check(lambda value: not Path(value).is_dir(), "a file and no folder")
IN_A_FOLDER = Check(
    lambda value: Path(value).absolute().parent.is_dir(), "in a folder that is there"
)

STORAGE = (*TEXT_PATH, Check(_whole_address, "a folder, or a URI such as s3://bucket/sweeps"))
"""A local folder, or a URI of an object store."""

DIRECTORY = (
    A_TEXT,
    ON_ONE_LINE,
    Check(_is_directory_name, "that of a directory, without a slash"),
    Check(_short_parts, f"of at most {MOST_BYTES} bytes"),
)
"""The name of an experiment."""

ADDRESS = (
    *TEXT,
    Check(
        lambda value: value in ("auto", "local") or bool(ADDRESS_FORM.fullmatch(value)),
        "auto, or HOST:PORT, or ray://HOST:PORT",
    ),
)
"""Of a Ray cluster."""

DEVICE = Check(
    lambda value: isinstance(value, str) and _is_device(value),
    f"auto, or one of {', '.join(DEVICES)}, with a number such as cuda:0",
)
