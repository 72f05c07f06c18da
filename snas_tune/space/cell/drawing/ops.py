"""How the pictures of cells show an op: its label and its colour."""

from __future__ import annotations

import re

FAMILY_COLOURS = {
    "separable": "orange",
    "dilated": "green",
    "pool": "blue",
    "skip": "yellow",
    "other": "purple",
}
"""The key of :data:`snas_tune.pictures.style.PILL_COLOURS` of each family of ops."""

_SHORT_FORMS = (
    (re.compile(r"(sep|dil)_conv_(\d+x\d+)"), r"\1 \2"),
    (re.compile(r"(max|avg)_pool_(\d+x\d+)"), r"\1 pool \2"),
    (re.compile(r"skip_connect"), r"skip"),
)

_FAMILIES = (
    ("pool", re.compile(r"(^|_)pool(_|$)")),
    ("skip", re.compile(r"^(skip|identity)(_|$)")),
    ("separable", re.compile(r"^sep(_|$)")),
    ("dilated", re.compile(r"^dil(_|$)")),
)


def op_label(op: str) -> str:
    """The text on a pill: ``sep_conv_3x3`` as ``sep 3x3``; an unknown op's name as it is."""
    for pattern, short in _SHORT_FORMS:
        if pattern.fullmatch(op):
            return pattern.sub(short, op)
    return op


def op_family(op: str) -> str:
    """The key of :data:`FAMILY_COLOURS` for an op's name."""
    return next((family for family, name in _FAMILIES if name.search(op)), "other")
