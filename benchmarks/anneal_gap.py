"""The paper's claim: an annealed search's child keeps the supernet's accuracy, another's does not.

    python benchmarks/anneal_gap.py --data fashion-mnist --image-size 14 --out docs/records

For every seed the same search runs with the published schedule (linear, 1 to 0.03) and with a
constant temperature of 1. The gap is the validation accuracy of the derived child, weights
inherited and batch norm recalibrated, minus that of the supernet, in points. The supernet's is that
of its typical sample: the median over many samples of the architecture at the last temperature,
each of which classifies all validation images. (The mean is shown, too: it is lower, as a sample
now and then draws an unlikely op. One or two samples would measure luck.)
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import json
import multiprocessing
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snas_tune.config import SearchConfig
from snas_tune.search.search import Search
from snas_tune.training.evaluate import accuracy
from snas_tune.training.seeds import generator_for

SAMPLES = 40
"""Architectures that are drawn to measure a supernet."""


def sampled_accuracies(search: Search) -> list[float]:
    """Validation accuracy of the supernet under each of some samples at the last temperature."""
    search.supernet.eval()
    found = []
    for number in range(SAMPLES):
        generator = generator_for(search.config.seed, "anneal gap", number)
        with torch.no_grad():
            sample = search.method.draw(search.steps, generator).sample
        predict = functools.partial(_predict, search, sample)
        data = search.data
        found.append(accuracy(predict, data.validation, data.normalise, search.runtime, 250))
    return found


def _predict(search: Search, sample: Tensor, images: Tensor) -> Tensor:
    predicted: Tensor = search.supernet(images, sample)
    return predicted


def run(values: dict[str, Any]) -> dict[str, Any]:
    """One search to its end, and its child with and without recalibration."""
    torch.set_num_threads(1)
    search = Search(SearchConfig.from_dict(values))
    report: dict[str, Any] = {}
    while not search.finished:
        report = search.run_epoch()
    raw = search.space.child(search.derive())
    raw.inherit(search.supernet)
    search.runtime.place(raw)
    sampled = sampled_accuracies(search)
    return {
        "seed": values["seed"],
        "schedule": values["temperature_schedule"],
        "supernet": statistics.median(sampled),
        "supernet_mean": statistics.mean(sampled),
        "child": report["child_accuracy"],
        "child_not_recalibrated": search.child_accuracy(raw),
        "entropy": report["entropy"],
        "flops": report["flops"],
    }


def table(results: list[dict[str, Any]]) -> list[str]:
    """The lines of a Markdown table, with the medians over the seeds."""
    lines = [
        "| schedule | seed | supernet % (mean) | child % | gap | not recalibrated % | entropy |",
        "|:---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        lines.append(
            f"| {r['schedule']} | {r['seed']} | {100 * r['supernet']:.1f} "
            f"({100 * r['supernet_mean']:.1f}) "
            f"| {100 * r['child']:.1f} | {100 * (r['child'] - r['supernet']):+.1f} "
            f"| {100 * r['child_not_recalibrated']:.1f} | {r['entropy']:.2f} |"
        )
    for kind in ("linear", "constant"):
        mine = [r for r in results if r["schedule"] == kind]
        child, supernet = (statistics.median(r[k] for r in mine) for k in ("child", "supernet"))
        gap = statistics.median(r["child"] - r["supernet"] for r in mine)
        raw = statistics.median(r["child_not_recalibrated"] for r in mine)
        lines.append(
            f"| **{kind}, median** | | **{100 * supernet:.1f}** | **{100 * child:.1f}** "
            f"| **{100 * gap:+.1f}** | {100 * raw:.1f} | |"
        )
    return lines


def main() -> None:
    """Run all seeds and write ``<out>/anneal_gap-<data>.json`` and ``.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--limit-images", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--penalty-strength", type=float, default=3.0)
    parser.add_argument("--penalty-form", default="log")
    parser.add_argument("--logits-learning-rate", type=float)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", default="results/cache")
    parser.add_argument("--out", type=Path, default=Path("docs/records"))
    args = parser.parse_args()
    natural = args.data.startswith(("cifar", "fashion"))
    base = {
        "data": args.data,
        "data_root": args.data_root,
        "data_cache": args.cache,
        "image_size": args.image_size,
        "limit_images": args.limit_images,
        "cells": 3,
        "channels": 8,
        "nodes": args.nodes,
        "epochs": args.epochs,
        "child_every": args.epochs,
        "penalty_strength": args.penalty_strength,
        "penalty_form": args.penalty_form,
        "logits_learning_rate": args.logits_learning_rate,
        "flip": natural,
        "crop_padding": 1 if natural else 0,
    }
    jobs = [
        {**base, "seed": seed, "temperature_schedule": kind}
        for seed in range(args.seeds)
        for kind in ("linear", "constant")
    ]
    results = []
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(args.workers, mp_context=context) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, job) for job in jobs]):
            results.append(done.result())
            print(len(results), "of", len(jobs), results[-1], flush=True)
    results.sort(key=lambda r: (r["schedule"], r["seed"]))
    lines = table(results)
    args.out.mkdir(parents=True, exist_ok=True)
    del base["data_root"], base["data_cache"]
    (args.out / f"anneal_gap-{args.data}.json").write_text(
        json.dumps({"config": base, "results": results}, indent=1) + "\n"
    )
    (args.out / f"anneal_gap-{args.data}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
