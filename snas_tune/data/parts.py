"""The parts of a source, training, validation and test, by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from snas_tune.data.found import few

TRAINING, VALIDATION, TEST = "training", "validation", "test"

NAMES = {
    TRAINING: ("train", "training", "trainval", "trainset"),
    VALIDATION: ("val", "valid", "validation", "validate", "valset", "dev", "eval", "evaluation"),
    TEST: ("test", "testing", "testset"),
}
"""The words that name each part, in any case of letters."""

MOST = 10
"""More folders than these that hold the same subfolders are classes."""

WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")


def part_of(name: str) -> str | None:
    """The part that a name stands for; None if it is the name of none."""
    plain = name.strip().lower()
    return next((part for part, words in NAMES.items() if plain in words), None)


def part_in(name: str) -> str | None:
    """The part that one word of a name stands for, as of ``train_images``; None if none does."""
    return _words(name)[0]


def parts_among(names: Iterable[str], where: object) -> dict[str, str]:
    """The names that stand for parts, by part.

    A name may have a number (``val2017``), and other words that the names of all parts share
    (``seg_train`` and ``seg_test``, ``Training Set`` and ``Test Set``).

    Args:
        names: of folders, or of a table's splits.
        where: the place that an error names.

    Raises:
        ValueError: two names stand for one part.
    """
    groups: dict[tuple[str, ...], dict[str, list[str]]] = {(): {}}
    for name in sorted(names):
        part, others = _words(name)
        if part is not None:
            groups.setdefault(others, {}).setdefault(part, []).append(name)
    whole = [group for _, group in sorted(groups.items()) if len(group) > 1 and TRAINING in group]
    chosen = whole[0] if whole else groups[()]
    return {part: name for part, every in chosen.items() if (name := _one(part, every, where))}


def _one(part: str, names: list[str], where: object) -> str:
    """The name of a part; none where only numbers tell several names apart."""
    exact = [name for name in names if part_of(name)]
    if len(exact) > 1:
        raise ValueError(f"{part} images must have one name, got {' and '.join(exact)} in {where}")
    return exact[0] if exact else names[0] if len(names) == 1 else ""


def _words(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The part that one word of a name stands for, and the other words; numbers are dropped."""
    words = [word.lower() for word in WORDS.findall(name)]
    named = [word for word in words if part_of(word)]
    if len(named) != 1:
        return None, tuple(words)
    return part_of(named[0]), tuple(word for word in words if word != named[0])


def refuse_lookalikes(inside: Mapping[str, set[str]], direct: Collection[str], where: str) -> None:
    """Refuse folders as classes that look like parts.

    Args:
        inside: the names of the folders inside each would-be class folder.
        direct: those that have images directly inside.
        where: the folder that holds them, for messages.

    Raises:
        ValueError: all of them have names of parts, or hold the same folders, or one of training
            images has class folders inside and the others have not.
    """
    if len(inside) < 2:
        return
    if all(part_of(name) for name in inside):
        raise ValueError(
            f"parts must have one of training images ({', '.join(NAMES[TRAINING])}), "
            f"got {few(inside)} in {where}"
        )
    common, union = set.intersection(*inside.values()), set.union(*inside.values())
    parted = {TRAINING, TEST} <= {part_of(name) for name in common}
    alike = 2 <= len(common) >= len(union) / 2 and len(inside) <= MOST
    if not direct and (parted or alike):
        raise ValueError(
            f"class folders must not all hold the same folders, as parts do, got {few(common)} in "
            f"each of {few(inside)} in {where}; parts are read by these names: {known_names()}"
        )
    for name, folders in inside.items():
        if part_of(name) == TRAINING and len(folders) > 1 and name not in direct:
            raise ValueError(
                f"folders must all be classes, or all parts, got {name} with {few(folders)} inside "
                f"beside {few(set(inside) - {name})} in {where}; give {where}/{name} alone"
            )


def known_names() -> str:
    """All names in words: ``train, training or trainval; ...``."""
    return "; ".join(f"{', '.join(words[:-1])} or {words[-1]}" for words in NAMES.values())
