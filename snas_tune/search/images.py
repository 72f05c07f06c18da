"""The training images that a config names, and the record by which a search knows them again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from snas_tune.checks import FLAG, check_value, is_count, is_instance
from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet, load
from snas_tune.data.found import counts_of
from snas_tune.data.request import Form
from snas_tune.data.split import Indices, require_two, split_rows
from snas_tune.data.summary import advice_line, found_line
from snas_tune.training.batches import require_square
from snas_tune.values import shown

RECORD = {
    "classes": list,
    "counts": list,
    "shape": list,
    "bits": int,
    "fingerprint": str,
    "samples": list,
}
"""What a record holds."""

SHOWN = 3
"""Classes that a message names."""


def form_of(config: SearchConfig) -> Form:
    """The form of a config's images, as :func:`snas_tune.data.load` takes it."""
    return {
        "image_size": config.image_size,
        "channels": config.image_channels,
        "fit": config.fit,
        "bad_images": config.bad_images,
    }


def load_images(config: SearchConfig) -> ImageSet:
    """Load the training images of ``config.data``; see :func:`snas_tune.data.load` for its errors.

    Raises:
        ValueError: the images are not square, or a class has one image only.
    """
    images = load(
        config.images_at, root=config.data_root, cache_dir=config.data_cache, **form_of(config)
    )
    require_square(images, config.images_at)
    if images.validation is None:
        require_two(images.labels, images.classes, config.images_at)
    return images


def image_record(images: ImageSet) -> dict[str, Any]:
    """What a checkpoint and the description of a sweep say of the training images."""
    return {
        "classes": list(images.classes),
        "counts": list(counts_of(images.labels, images.classes)),
        "shape": list(images.images.shape[1:]),
        "bits": images.bits,
        "fingerprint": images.fingerprint(),
        "samples": _samples(images),
    }


def _samples(images: ImageSet) -> list[str]:
    """A hash of the first image of each class, by which exchanged classes are noticed."""
    present, rows = np.unique(images.labels, return_index=True)
    found = [""] * len(images.classes)
    for label, row in zip(present, rows, strict=True):
        found[int(label)] = hashlib.sha256(images.images[row].tobytes()).hexdigest()[:16]
    return found


def read_record(value: object) -> Mapping[str, Any] | None:
    """A record from a file.

    Raises:
        ValueError: it is neither an :func:`image_record` nor None.
    """
    if value is None:
        return None
    if (
        not isinstance(value, Mapping)
        or not all(isinstance(value.get(name), kind) for name, kind in RECORD.items())
        or not len(value["classes"]) == len(value["counts"]) == len(value["samples"])
        or not all(isinstance(name, str) for name in (*value["classes"], *value["samples"]))
        or not all(is_count(count, 0) for count in value["counts"])
        or not any(value["counts"])
    ):
        raise ValueError(f"record of images must hold {', '.join(RECORD)}, got {shown(value)}")
    return value


def rows_of(config: SearchConfig, images: ImageSet) -> tuple[Indices, Indices]:
    """The rows of the training and of the validation images of a search.

    Raises:
        ValueError: a part of the split lacks a class.
    """
    return split_rows(
        images.labels,
        images.validation,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        limit=config.limit_images,
        classes=images.classes,
    )


def image_lines(config: SearchConfig, images: ImageSet) -> list[str]:
    """What was read, in one line, and more that is worth saying before a search."""
    found = images.found
    if found is None:
        return []
    training, validation = map(len, rows_of(config, images))
    side = images.images.shape[-1]
    lines = [
        found_line(found, side, (training, validation), config.fit, images.bits),
        *found.notes,
        advice_line(found.classes, found.counts, config.metric),
    ]
    return [line for line in lines if line]


def check_same_images(recorded: object, found: Mapping[str, Any], *, same: bool) -> None:
    """Refuse images that are not those of a search.

    Args:
        recorded: the search's :func:`image_record`; None where it is older than these records.
        found: of the images that are there now.
        same: also refuse another list of files of the same classes.

    Raises:
        ValueError: the classes differ, or, with ``same``, the files; one line that names them.
    """
    check_value("same_images", same, FLAG)
    recorded = read_record(recorded)
    if recorded is None:
        return
    theirs, ours = recorded["classes"], found["classes"]
    if theirs != ours:
        raise ValueError(f"classes must be those of the search, {_difference(theirs, ours)}")
    if exchanged := _exchanged(recorded, found):
        raise ValueError(f"classes must be those of the search, got images of {exchanged}")
    if same and (line := changed_line(recorded, found)):
        raise ValueError(f"images must be those of the search, got others: {line}")


def changed_line(recorded: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    """In which way images of the same classes are not the search's; empty if they are."""
    if recorded is None or recorded["fingerprint"] == found["fingerprint"]:
        return ""
    before, now = sum(recorded["counts"]), sum(found["counts"])
    if before != now:
        return f"{now:,} images where the search had {before:,}"
    return f"{now:,} images as before, with other names, sizes, labels or bits"


def _exchanged(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Classes whose first image was another's."""
    places = {sample: i for i, sample in enumerate(recorded["samples"])}
    names, same = found["classes"], recorded["samples"]
    moved = [
        f"{names[places[sample]]!r} in {names[i]!r}"
        for i, sample in enumerate(found["samples"])
        if sample and same.count(sample) == 1 and places[sample] != i
    ]
    return _listed(moved)


def _difference(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """Which classes differ, their order included."""
    new, gone = ([n for n in a if n not in b] for a, b in ((ours, theirs), (theirs, ours)))
    if new or gone:
        parts = [f"{word} {_names(some)}" for word, some in (("new", new), ("gone", gone)) if some]
        return f"{len(theirs)} of them, got {len(ours)} ({'; '.join(parts)})"
    moved = [f"{b!r} in place of {a!r}" for a, b in zip(theirs, ours, strict=True) if a != b]
    return f"in their order, got {_listed(moved)}"


def _names(names: Sequence[str]) -> str:
    return _listed([repr(name) for name in names])


def _listed(texts: Sequence[str]) -> str:
    rest = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def images_of(config: SearchConfig, images: ImageSet | None) -> ImageSet:
    """The images of a search: those that are given, else those that its config names."""
    if images is None:
        return load_images(config)
    given: ImageSet = check_value("images", images, is_instance(ImageSet))
    return given
