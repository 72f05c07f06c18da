"""What the penalty does: a sweep over penalty strengths alone, recorded for docs/.

    python benchmarks/penalty_sweep.py --data fashion-mnist --image-size 14 --out docs/records

Everything but the strength is fixed. For every strength the child after the last epoch is recorded;
a rank correlation near -1 says that FLOPs fall as the strength grows.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import torch

from snas_tune.architecture import read_architecture
from snas_tune.config import SearchConfig
from snas_tune.pictures import front_figure, save
from snas_tune.sweep import SweepSettings, run_sweep, sweep_space


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, the mean rank for ties."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation by its definition: Pearson's of the ranks."""
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def main() -> None:
    """Run the sweep and write ``<out>/<data>.json``, ``.md`` and ``.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--limit-images", type=int, default=3000)
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--strengths", type=int, default=10, help="how many, log-uniform")
    parser.add_argument("--penalty", type=float, nargs=2, default=(0.03, 30.0))
    parser.add_argument("--form", default="linear", choices=("linear", "log"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default="results")
    parser.add_argument("--out", type=Path, default=Path("docs/records"))
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    natural = args.data.startswith(("cifar", "fashion"))
    space = sweep_space(
        penalty=tuple(args.penalty),
        schedules=("linear",),
        temperature_start=(1.0, 1.0),
        temperature_end=(0.03, 0.03),
        data=args.data,
        data_root=args.data_root,
        data_cache=str(Path(args.results, "cache").resolve()),
        image_size=args.image_size,
        limit_images=args.limit_images,
        cells=args.cells,
        nodes=args.nodes,
        channels=args.channels,
        epochs=args.epochs,
        penalty_form=args.form,
        channels_last=True,
        flip=natural,
        crop_padding=1 if natural else 0,
        seed=args.seed,
    )
    result = run_sweep(
        space,
        SweepSettings(
            name=f"penalty-{args.data}",
            storage_path=args.results,
            trials=args.strengths,
            keep_checkpoints=1,
            searcher="tpe",
            rule="fifo",
            seed=args.seed,
            resume=args.resume,
        ),
    )
    rows = result.front.rows
    last = {row["trial"]: row for row in sorted(rows, key=lambda row: row["epoch"])}
    final = sorted(last.values(), key=lambda row: row["penalty_strength"])
    strength = np.array([row["penalty_strength"] for row in final])
    flops = np.array([row["flops"] for row in final], dtype=float)
    correlation = spearman(strength, flops)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    config = SearchConfig.from_dict(json.loads(final[0]["config"])).to_dict()
    for where in ("data_root", "data_cache", "penalty_strength"):
        del config[where]
    args.out.mkdir(parents=True, exist_ok=True)
    record = {
        "commit": commit,
        "machine": f"{platform.machine()}, torch {torch.__version__}, 1 thread a trial",
        "spearman_strength_flops": correlation,
        "config": config,
        "failed": result.failed,
        "final": [{k: v for k, v in row.items() if k != "config"} for row in final],
    }
    path = args.out / f"{args.data}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    lines = [
        f"Spearman rank correlation of strength and FLOPs: {correlation:.3f}",
        "",
        "| penalty strength | child % | supernet % | MFLOPs | params | entropy | cells |",
        "|---:|---:|---:|---:|---:|---:|:---|",
    ]
    lines += [
        f"| {r['penalty_strength']:.3g} | {100 * r['child_accuracy']:.1f} "
        f"| {100 * r['accuracy']:.1f} | {r['flops'] / 1e6:.3f} | {r['params']} "
        f"| {r['entropy']:.2f} "
        f"| {read_architecture(r['architecture']).summary().replace('|', '/')} |"
        for r in final
    ]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")
    points = [
        {**row, "on_front": bool(on)} for row, on in zip(rows, result.front.mask, strict=True)
    ]
    save(
        front_figure(points, title=f"{args.data}: every child of every epoch"),
        path.with_suffix(".png"),
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
