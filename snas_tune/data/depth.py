"""Samples of more than 8 bits: which 8 of their bits are kept, by one rule for a source."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

BYTE, WORD = 8, 16


class Depth:
    """How many bits the samples of a source have, found while its images are decoded.

    Cameras and scanners store 10, 12 or 14 bits in files of 16. A rule for each image would take
    the brightness out of the pictures, so the largest sample of all images decides: the bits are
    the fewest of 8, 10, 12... that hold it. Threads may share one.

    Args:
        bits: where they are known; ``None`` counts them.
    """

    def __init__(self, bits: int | None = None) -> None:
        self.bits = bits
        self._largest = -1
        self._lock = threading.Lock()

    @property
    def found(self) -> int:
        """The bits of all images so far; 8 where none has samples of more than 8."""
        if self.bits is not None:
            return self.bits
        return bits_of(self._largest) if self._largest >= 0 else BYTE

    @property
    def assumed(self) -> int:
        """The bits by which :meth:`to_bytes` scales."""
        return WORD if self.bits is None else self.bits

    @property
    def wrong(self) -> bool:
        """Whether images were scaled by other bits than they turned out to have."""
        return self._largest >= 0 and self.found != self.assumed

    def to_bytes(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The upper 8 bits of whole numbers of 16 or 32 bits.

        Raises:
            ValueError: a negative one, which no brightness is.
        """
        least, most = int(values.min()), int(values.max())
        if least < 0:
            raise ValueError(f"image must hold samples of 0 or more, got {least}")
        with self._lock:
            self._largest = max(self._largest, most)
        shifted: npt.NDArray[Any] = values >> (self.assumed - BYTE)
        return shifted.clip(0, 255).astype(np.uint8)


def bits_of(largest: int) -> int:
    """The fewest bits of 8, 10, 12... that hold a number."""
    bits = max(BYTE, int(largest).bit_length())
    return bits + bits % 2
