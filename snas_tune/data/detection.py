"""Sets for detection, which have boxes in place of one class an image: they are named as such."""

from __future__ import annotations

from collections.abc import Collection

from snas_tune.data.entries import Parts, ending


def detection_form(files: Collection[Parts]) -> str:
    """The form of detection set that some paths have, with its tell-tale; empty if none.

    Args:
        files: the components of every path that is not hidden.
    """
    folders = _folders(files)
    known = {tuple(part.lower() for part in folder) for folder in folders}
    for parts in sorted(files):
        if _is_coco(parts):
            return f"COCO's ({'/'.join(parts)})"
    for folder, endings in sorted(folders.items()):
        name, base = folder[-1].lower(), tuple(part.lower() for part in folder[:-1])
        if name == "annotations" and endings == {".xml"} and (*base, "jpegimages") in known:
            return f"Pascal VOC's ({'/'.join(folder)}/)"
        if name == "labels" and endings == {".txt"} and (*base, "images") in known:
            return f"YOLO's ({'/'.join(folder)}/)"
    return ""


def _is_coco(parts: Parts) -> bool:
    name = parts[-1].lower()
    if not name.endswith(".json"):
        return False
    above = parts[-2].lower() if len(parts) > 1 else ""
    return name.endswith(".coco.json") or name.startswith("instances_") or above == "annotations"


def _folders(files: Collection[Parts]) -> dict[Parts, set[str]]:
    """Every folder with the endings of the files below it."""
    found: dict[Parts, set[str]] = {}
    for parts in files:
        for depth in range(1, len(parts)):
            found.setdefault(parts[:depth], set()).add(ending(parts[-1]))
    return found
