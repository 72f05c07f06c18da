"""How long the Pareto tab takes with thousands of runs, measured in a browser.

    python benchmarks/pareto_tab.py

Writes the log of a sweep of so many trials (the children of the recorded Fashion-MNIST searches,
again and again, their FLOPs and accuracies a little changed), starts TensorBoard, waits until it
has loaded all of them, and opens the tab in a headless Chromium (Debian's package `chromium`).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Skeleton, sync_playwright

from snas_tune import ParetoFront
from snas_tune.tensorboard_log import SweepLog

RECORDING = Path(__file__).parent / "data" / "fashion-mnist.parquet"

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

HOVER = """(moves) => {
  const box = document.querySelector('.plot');
  const area = box.getBoundingClientRect();
  const took = [];
  let seed = 1;
  const random = () => { seed = (seed * 16807) % 2147483647; return seed / 2147483647; };
  for (let i = 0; i < moves; i += 1) {
    const event = new PointerEvent('pointermove', { bubbles: true,
      clientX: area.left + random() * area.width, clientY: area.top + random() * area.height });
    const began = performance.now();
    box.dispatchEvent(event);
    document.querySelector('.hint').getBoundingClientRect(); // layout is part of it
    took.push(performance.now() - began);
  }
  return took;
}"""

FILTER = """(text) => {
  const field = document.querySelector('input[name=rx]');
  const began = performance.now();
  field.value = text;
  field.dispatchEvent(new Event('input'));
  document.body.getBoundingClientRect();
  return performance.now() - began;
}"""


def write_log(folder: Path, runs: int, children: int) -> None:
    """The event files of ``runs`` trials with ``children`` each."""
    generator = np.random.default_rng(0)
    trials: dict[str, list[dict]] = {}
    for row in ParetoFront.read(RECORDING).rows:
        trials.setdefault(row["trial"], []).append(row)
    recorded = list(trials.values())
    log = SweepLog(folder)
    for i in range(runs):
        rows = recorded[i % len(recorded)]
        config = json.loads(rows[0]["config"])
        config["penalty_strength"] *= float(np.exp(generator.normal(0, 0.3)))
        log.start_trial(f"trial-{i:05d}", config)
        for epoch, row in enumerate(rows[-children:], 1):
            flops = round(row["flops"] * float(np.exp(generator.normal(0, 0.1))))
            accuracy = float(np.clip(row["child_accuracy"] + generator.normal(0, 0.02), 0, 1))
            log.add_result(
                f"trial-{i:05d}",
                {**row, "epoch": epoch, "flops": flops, "child_accuracy": accuracy},
            )
        log.end_trial(f"trial-{i:05d}")
        if i % 500 == 499:
            print(f"wrote {i + 1} of {runs} runs", file=sys.stderr, flush=True)
    log.close()


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """A TensorBoard that serves the folder; its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr or ():
            if found := re.search(r"TensorBoard \S+ at (http://\S+)", line):
                yield found[1]
                return
        raise SystemExit("error: TensorBoard did not start")
    finally:
        process.kill()
        process.wait()


def loaded(url: str, points: int) -> float:
    """Wait until TensorBoard has all points; the seconds of the last, warm, answer."""
    while True:
        began = time.perf_counter()
        query = "points?x=flops&y=child_accuracy&value=all"
        with urllib.request.urlopen(f"{url}data/plugin/pareto/{query}") as answer:
            have = len(json.load(answer)["x"])
        if have == points:
            return time.perf_counter() - began
        print(f"loaded {have} of {points} points", file=sys.stderr, flush=True)
        time.sleep(2)


def opened(url: str, page) -> Skeleton:
    """The tab in a page, when its first picture is there."""
    page.goto(f"{url}#pareto")
    frame = page.wait_for_selector("iframe[src*=plugin_entry]").content_frame()
    frame.wait_for_selector("circle.member", state="attached", timeout=60_000)
    return frame


def main() -> None:
    """Write, open, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--children", type=int, default=5, help="of each run, at most 27")
    parser.add_argument("--times", type=int, default=5, help="pages opened")
    parser.add_argument("--screenshot", type=Path)
    args = parser.parse_args()
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if path is None:
        raise SystemExit("error: no browser, install Debian's package chromium")
    points = args.runs * args.children
    with tempfile.TemporaryDirectory() as folder:
        write_log(Path(folder), args.runs, args.children)
        with tensorboard(Path(folder)) as url, sync_playwright() as playwright:
            warm = loaded(url, points)
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            first, hover, filtering = [], [], []
            for _ in range(args.times):
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                frame = opened(url, page)
                first.append(frame.evaluate("() => performance.now()") / 1000)
                frame.wait_for_timeout(1500)
                hover += frame.evaluate(HOVER, 300)
                filtering += [frame.evaluate(FILTER, text) for text in ("trial-0[0-4]", "")]
                if args.screenshot:
                    page.screenshot(path=args.screenshot)
                page.close()
            browser.close()
    print(
        "| runs | points | answer, s | first picture, s | hover, ms | redraw after a filter, ms |"
    )
    print("|---:|---:|---:|---:|---:|---:|")
    cells = [
        f"{statistics.median(v):.{d}f} (at most {max(v):.{d}f})"
        for v, d in ((first, 2), (hover, 1), (filtering, 0))
    ]
    print(f"| {args.runs:,} | {points:,} | {warm:.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
