"""What a search may choose."""

from __future__ import annotations

from collections.abc import Sequence

Active = Sequence[Sequence[Sequence[int]]]
"""By cell type and edge, the positions of the ops that run."""
