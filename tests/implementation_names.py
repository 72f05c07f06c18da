"""Names of the cell space's implementations."""

from __future__ import annotations

from snas_tune.space.space import Implementation

ALL = ("fused channels-last", "fused", "plain channels-last", "plain")
"""Every implementation and memory format of the cell space."""

NATIVE = ("fused channels-last", "plain channels-last", "plain")
"""What ``auto`` chooses among where the native kernels run."""


def named(text: str) -> Implementation:
    """The implementation whose text that is."""
    return Implementation(text.split()[0], text.endswith(" channels-last"))
