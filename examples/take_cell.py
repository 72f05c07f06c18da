"""Take a cell from a front: best under a budget, with the supernet's weights; train and export it.

python examples/take_cell.py results/digits-demo-seed0 --max-mflops 0.2 --epochs 20
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from snas_tune import Genotype, ParetoFront, load_search
from snas_tune.data import load_test
from snas_tune.method.batches import augment, batch_indices
from snas_tune.method.sampling import generator_for


def main() -> int:
    """Pick, measure on the test images, train, measure again, export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", help="the experiment's directory")
    parser.add_argument("--max-mflops", type=float, required=True, help="multiply-adds, millions")
    parser.add_argument("--epochs", type=int, default=0, help="train the child for so long")
    parser.add_argument("--export", type=Path, help="write the child with torch.export there")
    args = parser.parse_args()
    try:
        front = ParetoFront.read(args.sweep)
        with_weights = ParetoFront.from_rows(row for row in front.rows if row["checkpoint"])
        row = with_weights.best(max_flops=args.max_mflops * 1e6)
        search = load_search(Path(args.sweep, row["checkpoint"]))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    child = search.child(Genotype.from_json(row["genotype"]))
    print(f"{row['trial']}, epoch {row['epoch']}: {row['flops'] / 1e6:.3f} MFLOPs (multiply-adds "
          f"of one image), {row['params']} weights\n{child.genotype.to_text()}")  # fmt: skip
    config, data = search.config, search.data
    test = load_test(
        config.data, root=config.data_root, image_size=config.image_size,
        channels=config.image_channels,
    )  # fmt: skip
    images = data.normalise(torch.from_numpy(test.images).to(data.mean.device))
    labels = torch.from_numpy(test.labels).to(data.mean.device)

    def test_accuracy() -> float:
        child.eval()
        with torch.no_grad():
            return (child(images).argmax(1) == labels).float().mean().item()

    print(f"validation {100 * search.child_accuracy(child):.1f} %, test "
          f"{100 * test_accuracy():.1f} % with the supernet's weights")  # fmt: skip
    steps = args.epochs * search.steps_per_epoch
    optimiser = torch.optim.SGD(
        child.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    for step in range(steps):
        child.train()
        index = batch_indices(len(data.train), config.batch_size, config.seed + 1, step)
        batch = data.normalise(data.train.pixels[index])
        batch = augment(batch, config, generator_for(config.seed, "child", step))
        optimiser.zero_grad()
        F.cross_entropy(child(batch), data.train.labels[index]).backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % search.steps_per_epoch == 0:
            accuracy = 100 * search.child_accuracy(child)
            print(f"epoch {(step + 1) // search.steps_per_epoch}: validation {accuracy:.1f} %")
    if steps:
        print(f"trained: test {100 * test_accuracy():.1f} %")
    if args.export is not None:
        child.eval()
        program = torch.export.export(child, (images[:2],))
        torch.export.save(program, args.export)
        print(f"exported to {args.export}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
