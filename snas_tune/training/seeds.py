"""Random numbers that follow from their purpose, so that no state of them is saved."""

from __future__ import annotations

import numpy as np
import torch


def generator_for(seed: int, stream: str, step: int) -> torch.Generator:
    """A CPU generator whose state follows from its arguments alone.

    Randomness that is a function of (seed, purpose, step) needs no saved state: a restored
    search draws the numbers that the uninterrupted one would have drawn.

    Args:
        seed: of the search or the training.
        stream: the purpose of the numbers; different streams are independent.
        step: counts from 0.
    """
    entropy = [seed, int.from_bytes(stream.encode(), "little"), step]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)  # torch takes a signed 64-bit seed
