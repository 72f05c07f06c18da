"""Bytes as a failing disk or a broken copy gives them back."""

from __future__ import annotations

import random
from collections.abc import Iterator


def flips(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """The content with one random bit flipped, so many times."""
    draws = random.Random(seed)
    for _ in range(count):
        place = draws.randrange(8 * len(content))
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        yield bytes(changed)


def cuts(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """The content up to a random byte, so many times; the first one is empty."""
    draws = random.Random(seed)
    yield b""
    for _ in range(count - 1):
        yield content[: draws.randrange(len(content))]
