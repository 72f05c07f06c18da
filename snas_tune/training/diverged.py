"""The end of a training whose loss is no longer a number."""

from __future__ import annotations


class Diverged(RuntimeError):  # noqa: N818 - it is the event that users look for
    """The loss of a search, or of a network's own training, is no longer a number."""
