"""A folder's names: links are followed, and each real folder is read once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from snas_tune.data.entries import Entries, hidden
from snas_tune.data.found import HIDDEN, LINKED, SPECIAL, shown
from snas_tune.files import first_line

Identity = tuple[int, int]


def scan(path: Path) -> Entries:
    """List a folder and all folders below it.

    Hidden folders are not entered. Folders are told apart by device and number: real ones come
    first, then links to others, the ones at the top before those below, by name. A link to a folder
    that is read already, or to one that holds ``path``, is left out, so links in a circle end.

    Raises:
        ValueError: the folder itself cannot be listed.
    """
    walk = _Walk(path)
    walk.enter("")
    if "" in walk.broken:
        raise ValueError(f"data directory must be readable, got {shown(path)} ({walk.broken['']})")
    while walk.links:
        name = min(walk.links, key=lambda name: (name.count("/"), name))
        walk.links.remove(name)
        walk.follow(name)
    return Entries(walk.files, walk.folders, walk.left_out, walk.broken)


@dataclass(slots=True)
class _Walk:
    top: Path
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    seen: set[Identity | None] = field(default_factory=set)

    def enter(self, folder: str) -> None:
        """List a folder and the real ones below it; note links to folders."""
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            identity = _identity(self.top / current)
            if identity in self.seen:
                continue
            try:
                with os.scandir(self.top / current) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self.broken[current] = first_line(error)
                continue
            self.seen.add(identity)
            prefix = f"{current}/" if current else ""
            waiting += [name for entry in listed if (name := self.take(entry, prefix))]

    def take(self, entry: os.DirEntry[str], prefix: str) -> str:
        """Note one entry of a folder; its name if it is a real folder to enter."""
        name = prefix + entry.name
        kind = _kind(entry)
        if kind == "file":
            self.files.append(name)
        elif kind == "special":
            self.left_out.setdefault(SPECIAL, []).append(name)
        elif hidden((entry.name,)):
            self.left_out.setdefault(HIDDEN, []).append(f"{name}/")
        elif kind == "link":
            self.links.add(name)
        else:
            self.folders.append(name)
            return name
        return ""

    def follow(self, name: str) -> None:
        """Enter the folder of a link unless it is read already or holds the data's own folder."""
        target = (self.top / name).resolve()
        if _identity(target) in self.seen or target in self.top.resolve().parents:
            self.left_out.setdefault(LINKED, []).append(f"{name} -> {target}")
        else:
            self.folders.append(name)
            self.enter(name)


def _kind(entry: os.DirEntry[str]) -> str:
    """``folder``, ``link`` to a folder, ``file`` or ``special``: a pipe, which would never end."""
    try:
        if entry.is_dir():
            return "folder" if entry.is_dir(follow_symlinks=False) else "link"
        special = not entry.is_file() and Path(entry.path).exists()
    except OSError:  # such as a link to itself: reading it says why
        return "file"
    return "special" if special else "file"


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
