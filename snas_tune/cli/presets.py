"""Presets: sizes of a sweep, as the sections of a sweep file."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "demo": {
        "search": {"cells": 3, "channels": 8, "nodes": 3, "epochs": 12, "channels_last": True},
    },
    "small": {
        "search": {
            "cells": 5,
            "channels": 8,
            "nodes": 3,
            "epochs": 30,
            "channels_last": True,
            "crop_padding": 2,
            "limit_images": 10_000,
        },
    },
    "paper": {
        "search": {
            "cells": 8,
            "channels": 16,
            "nodes": 4,
            "epochs": 150,
            "crop_padding": 4,
            "drop_path": 0.3,
        },
    },
}
"""By name: minutes on two cores, hours on a workstation, days on GPUs."""

COMMON: dict[str, dict[str, Any]] = {
    "search": {"penalty_strength": [0.03, 60.0]},
    "sweep": {"trials": 14},
}
"""Below every preset."""
