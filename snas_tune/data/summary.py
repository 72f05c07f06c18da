"""The line that says what was read, before any trial; and what always one answer would give."""

from __future__ import annotations

from collections.abc import Sequence

from snas_tune.data.found import HINTS, Found, shown
from snas_tune.results import BALANCED

COLOUR_NAMES = {1: "grey", 3: "RGB"}

TABLES = (".csv", ".tsv", ".parquet")
"""Sources whose parts are values of a column, and no folders."""

HALF = 0.5
"""The share of one class above which plain accuracy says little."""


def found_line(found: Found, side: int, used: tuple[int, int], fit: str, bits: int = 8) -> str:
    """What was read, in one line.

    Args:
        found: the record of the reading.
        side: of the images as they are searched, in pixels.
        used: training and validation images; fewer than were found where ``limit_images`` says so.
        fit: how images come to a square.
        bits: of the samples in the files.
    """
    training, validation = used
    parts = [
        f"data: {_count(found, training + validation)} of {len(found.classes)} classes "
        f"({_range(found)}), {_form(found, side, fit, bits)}{_from(found)}",
        f"{validation:,} {_held(found)}for validation",
    ]
    if "test" in found.parts:
        parts.append(f"test images in {_place(found, 'test')}")
    if found.empty:
        parts.append(f"no images of {_listed(found.empty)}")
    if found.left_out:
        parts.append(f"left out: {_left_out(found)}")
    return "; ".join(parts)


def majority(classes: Sequence[str], counts: Sequence[int]) -> tuple[str, float]:
    """The class with the most images, and its share of all."""
    count, name = max(zip(counts, classes, strict=True), key=lambda pair: pair[0])
    return name, count / sum(counts)


def answer_share(counts: Sequence[int], metric: str) -> float:
    """The accuracy of a network that always answers the largest class, by a metric."""
    if metric == BALANCED:
        return 1 / sum(count > 0 for count in counts)
    return max(counts) / sum(counts)


def majority_line(classes: Sequence[str], counts: Sequence[int], metric: str) -> str:
    """What a network that always gives the same answer reaches."""
    name, _ = majority(classes, counts)
    share = answer_share(counts, metric)
    return f'always answering "{shown(name)}" gives {100 * share:.1f} %'


def advice_line(classes: Sequence[str], counts: Sequence[int], metric: str) -> str:
    """What to do where one class has more than half of the images; empty where none has."""
    share = majority(classes, counts)[1]
    if share <= HALF or metric == BALANCED:
        return ""
    line = majority_line(classes, counts, metric)
    return f"{line}: --set metric=balanced_accuracy measures each class alike"


def _count(found: Found, used: int) -> str:
    if used == found.images:
        return f"{used:,} images"
    return f"{used:,} of {found.images:,} images (limit_images={used})"


def _range(found: Found) -> str:
    (few_name, few), (most_name, most) = found.smallest, found.largest
    if few == most:
        return f"{most:,} each"
    share = f"{100 * most / found.images:.1f} %"
    return f'smallest {few:,} "{shown(few_name)}", largest {most:,} "{shown(most_name)}", {share}'


def _form(found: Found, side: int, fit: str, bits: int) -> str:
    colour = COLOUR_NAMES.get(found.channels, f"{found.channels} channels")
    deep = f", {bits} bits" if bits > 8 else ""
    if found.sizes is None:
        return f"{side}x{side} {colour}{deep}"
    texts = [f"{width}x{height}" for width, height in dict.fromkeys(found.sizes)]
    resized = texts != [f"{side}x{side}"]
    to = f", brought to {side}x{side} (fit={fit})" if resized else ""
    return f"{' to '.join(texts)} {colour}{deep}{to}"


def _from(found: Found) -> str:
    return f", from {_place(found, 'training')}" if "training" in found.parts else ""


def _held(found: Found) -> str:
    if found.validation and "validation" in found.parts:
        return f"from {_place(found, 'validation')} "
    return "held out "


def _place(found: Found, part: str) -> str:
    """The folder of a part; of a table the value of its column."""
    name = shown(found.parts[part])
    return f'"{name}"' if found.spec.lower().endswith(TABLES) else f"{name}/"


def _listed(names: Sequence[str], most: int = 3) -> str:
    texts = [f'"{shown(name)}"' for name in names[:most]]
    rest = len(names) - most
    return ", ".join(texts) + (f" and {rest} more" if rest > 0 else "")


def _left_out(found: Found) -> str:
    texts = []
    for kind, one in found.left_out.items():
        hint = f" ({HINTS[kind]})" if kind in HINTS else ""
        texts.append(f"{one.count:,} {kind}{hint}")
    return ", ".join(texts)
