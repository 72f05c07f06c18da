"""What only shows how a sweep goes: it neither ends the sweep nor holds it up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from snas_tune.files import first_line
from snas_tune.front.storage import STORAGE_ERRORS
from snas_tune.sweep.lines import say

ROOM = 1000
"""Most pieces of work that wait: those of a few minutes of a sweep of short epochs."""

RETRY = 5.0
"""Seconds between two tries of a piece that its storage does not take."""


WAIT = "wait for their storage: "
BEHIND = "fall behind; some are left out"
LACK = "lack a part: "


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a view's work."""

    work: Callable[[], None]
    run: str | None = None
    """The run that lacks something if it is left out."""

    again: bool = True
    """Whether it is worth trying again."""


class Guard:
    """Does pieces of work at once, and leaves out what fails; a line says so the first time.

    Args:
        name: what is written, for the line; a plural.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._failed = False

    def do(self, work: Callable[[], None]) -> None:
        """Do a piece of work, as far as it can be done."""
        try:
            work()
        except Exception as error:
            if not self._failed:
                self._failed = True
                say(f"{self._name} {LACK}{type(error).__name__}: {first_line(error)}")


class View:
    """Does pieces of work one after another, in a thread of its own.

    A piece that the storage does not take is tried again until it does; one that fails for another
    reason is left out. When more than :data:`ROOM` pieces wait, further ones are left out. A line
    says so the first time, and another one that the storage takes them again.

    Args:
        name: what is written, for the lines; a plural.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lost: set[str] = set()
        """The runs of which pieces were left out."""
        self._pieces: deque[Piece] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._away = False
        """Whether the first piece that waits was tried in vain."""
        self._said: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["name"])  # type: ignore[misc]  # its thread and locks are new ones

    def do(self, piece: Piece, *, always: bool = False) -> None:
        """Have a piece done, unless too many wait or the thread stands still since :meth:`finish`.

        Args:
            piece: of work.
            always: also if many wait.
        """
        with self._changed:
            stands = self._closing and self._thread is not None
            if stands or (len(self._pieces) >= ROOM and not always):
                self._leave_out(piece, BEHIND)
                return
            self._pieces.append(piece)
            self._changed.notify_all()
            if self._thread is None:
                self._closing = False
                self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
                self._thread.start()

    def finish(self, seconds: float) -> bool:
        """Wait until all is done or was tried once more.

        Args:
            seconds: the most to wait.

        Returns:
            Whether it came to an end.
        """
        with self._changed:
            thread = self._thread
            if thread is None:
                return True
            self._closing = True
            self._changed.notify_all()
        thread.join(seconds)
        if thread.is_alive():
            return False
        self._thread = None
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._closing)
                if not self._pieces:
                    return
                piece = self._pieces[0]
            again = self._attempt(piece)
            with self._changed:
                if again and not self._closing:
                    self._changed.wait_for(lambda: self._closing, RETRY)
                else:
                    self._pieces.popleft()
                    self._away = False
                    if again and piece.run is not None:
                        self.lost.add(piece.run)

    def _attempt(self, piece: Piece) -> bool:
        """Do a piece; whether it must be tried again."""
        try:
            piece.work()
        except STORAGE_ERRORS as error:
            self._say_once(WAIT, first_line(error))
            self._away = piece.again
            return piece.again
        except BaseException as error:  # of a user's own drawing, say
            self._leave_out(piece, LACK, f"{type(error).__name__}: {first_line(error)}")
            return False
        if self._away:
            self._said.discard(WAIT)
            say(f"{self.name} are written again")
        return False

    def _leave_out(self, piece: Piece, kind: str, detail: str = "") -> None:
        if piece.run is not None:
            self.lost.add(piece.run)
        self._say_once(kind, detail)

    def _say_once(self, kind: str, detail: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            say(f"{self.name} {kind}{detail}")
