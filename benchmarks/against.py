"""A step of the fused supernet here and in another checkout, in turn in one run.

    git worktree add /tmp/earlier COMMIT
    python benchmarks/against.py /tmp/earlier --size paper

Each checkout steps in a process of its own, built by its own ``benchmarks/supernet_step.py``; the
other waits meanwhile. The ratio is the median over the rounds of the ratio within a round: here
divided by there. Peak memory is the growth of a fresh process over three steps, in turn as well.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

WORKER = """
import sys, time, torch
import supernet_step as bench
torch.set_num_threads(int(sys.argv[2]))
form = "fused" if "fused" in bench.FORMS else "fast"  # its name until 0.1
one = bench.Timed(form, bench.SIZES[sys.argv[1]], torch.device("cpu"), None)
before = bench._resident("VmRSS")
for _ in range(3):
    one.step()
print(bench._resident("VmHWM") - before, flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    one.step()
    print(time.perf_counter() - start, flush=True)
"""


class Checkout:
    """A process that steps when it is asked to."""

    def __init__(self, path: Path, size: str, threads: int) -> None:
        places = os.pathsep.join([str(path), str(path / "benchmarks")])
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, size, str(threads)],
            env={**os.environ, "PYTHONPATH": places},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=path,
        )
        self.peak_mib = self._number()

    def _number(self) -> float:
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())

    def step(self) -> float:
        """Seconds of a step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._number()

    def end(self) -> None:
        """End the process."""
        self.process.communicate()


def ratio_text(ours: list[float], theirs: list[float]) -> str:
    """Median ratio with its range."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def main() -> None:
    """Measure both, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="root of the other checkout")
    parser.add_argument("--size", choices=("paper", "demo", "small"), default="paper")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--processes", type=int, default=3, help="of each, for peak memory")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    steps: dict[str, list[float]] = {"here": [], "there": []}
    peaks: dict[str, list[float]] = {"here": [], "there": []}
    paths = {"here": HERE, "there": args.other.resolve()}
    for number in range(args.processes):
        running = {k: Checkout(path, args.size, args.threads) for k, path in paths.items()}
        for name, checkout in running.items():
            peaks[name].append(checkout.peak_mib)
        for _ in range(args.rounds):
            for name, checkout in running.items():
                steps[name].append(checkout.step())
        for checkout in running.values():
            checkout.end()
        print(f"processes {number + 1} of {args.processes}", file=sys.stderr, flush=True)
    print(f"step, here / there: {ratio_text(steps['here'], steps['there'])}")
    print(f"peak, here / there: {ratio_text(peaks['here'], peaks['there'])}")
    for name in steps:
        milliseconds, mib = 1000 * statistics.median(steps[name]), statistics.median(peaks[name])
        print(f"{name}: {milliseconds:.1f} ms a step, {mib:.0f} MiB")


if __name__ == "__main__":
    main()
