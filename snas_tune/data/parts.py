"""The parts of a source, training, validation and test, by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Iterable

TRAINING, VALIDATION, TEST = "training", "validation", "test"

NAMES = {
    TRAINING: ("train", "training", "trainval"),
    VALIDATION: ("val", "valid", "validation", "dev", "eval"),
    TEST: ("test", "testing"),
}
"""The names of each part, in any case of letters."""

NUMBER = re.compile(r"[-_ ]?\d+$")
"""A number may stand behind a part's name where one folder has it (``val2017``, ``test1``)."""


def part_of(name: str) -> str | None:
    """The part that a name stands for; None if it is the name of none."""
    plain = name.strip().lower()
    return next((part for part, names in NAMES.items() if plain in names), None)


def parts_among(names: Iterable[str], where: object) -> dict[str, str]:
    """The names that stand for parts, by part.

    Args:
        names: of folders, or of a table's splits.
        where: the place that an error names.

    Raises:
        ValueError: two names stand for one part.
    """
    every = sorted(names)
    found: dict[str, str] = {}
    for part in NAMES:
        exact = [name for name in every if part_of(name) == part]
        if len(exact) > 1:
            raise ValueError(
                f"{part} images must have one name, got {' and '.join(exact)} in {where}"
            )
        numbered = [name for name in every if part_of(NUMBER.sub("", name)) == part]
        if exact or len(numbered) == 1:
            found[part] = (exact or numbered)[0]
    return found


def known_names() -> str:
    """All names in words: ``train, training or trainval; ...``."""
    return "; ".join(f"{', '.join(names[:-1])} or {names[-1]}" for names in NAMES.values())
