"""Record a whole sweep, every trial to its end, so that schedulers can be replayed over it.

    python benchmarks/record_sweep.py --data fashion-mnist --image-size 14 --limit-images 2000

A real sweep over penalty strength, temperature schedule and seed of the search. What every epoch of
every trial reported is its front file, which is copied to ``benchmarks/data/<name>.parquet``
whenever this program ends, also early. The same command with ``--resume`` goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from ray import tune

from snas_tune.config import PLACES
from snas_tune.files import write_whole
from snas_tune.front import FILE_NAME, SCHEMA, FrontFile
from snas_tune.sweep import SweepSettings, run_sweep, sweep_space

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Record, and say what the recording holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="fashion-mnist", help="default: %(default)s")
    add("--data-root", default="data", help="where named data sets lie or are downloaded to")
    add("--image-size", type=int, help="side in pixels (default: the source's own)")
    add("--limit-images", type=int, default=2000, help="training images (default: %(default)s)")
    add("--trials", type=int, default=72, help="default: %(default)s")
    add("--epochs", type=int, default=27, help="of each trial (default: %(default)s)")
    add("--cells", type=int, default=3, help="default: %(default)s")
    add("--nodes", type=int, default=2, help="default: %(default)s")
    add("--channels", type=int, default=8, help="default: %(default)s")
    add("--batch-size", type=int, default=64, help="default: %(default)s")
    add("--penalty", type=float, nargs=2, default=(0.03, 60.0), metavar=("LOW", "HIGH"))
    add("--seeds", type=int, default=3, help="seeds that a search may have (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the searcher, which samples at random")
    add("--name", help="of the recording (default: the data's)")
    add("--results", default="results", help="where the sweep itself is kept")
    add("--resume", action="store_true", help="go on with a recording that was interrupted")
    args = parser.parse_args()
    name = args.name or args.data
    natural = args.data.startswith(("cifar", "fashion"))
    space = sweep_space(
        penalty=tuple(args.penalty),
        data=args.data,
        data_root=args.data_root,
        data_cache=f"{args.data_root}/cache",
        image_size=args.image_size,
        limit_images=args.limit_images,
        cells=args.cells,
        nodes=args.nodes,
        channels=args.channels,
        batch_size=args.batch_size,
        epochs=args.epochs,
        channels_last=True,
        flip=natural,
        crop_padding=1 if natural else 0,
    )
    space["seed"] = tune.choice(list(range(args.seeds)))
    result = run_sweep(
        space,
        SweepSettings(
            name=f"record-{name}",
            storage_path=args.results,
            trials=args.trials,
            searcher="random",
            rule="fifo",
            seed=args.seed,
            resume=args.resume,
            checkpoint_every=9,
            keep_checkpoints=1,
        ),
    )
    for line in result.problems:
        print(line, file=sys.stderr)
    keep(Path(result.path, FILE_NAME), HERE / "data" / f"{name}.parquet")
    return result.exit_status


def keep(front_file: Path, recording: Path) -> None:
    """Copy a front file, small, and without where the images lay."""
    rows = FrontFile(str(front_file)).table.to_pylist()
    for row in rows:
        config = json.loads(row["config"])
        row["config"] = json.dumps({k: v for k, v in config.items() if k not in PLACES})
    recording.parent.mkdir(exist_ok=True)
    written = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    pq.write_table(table, written, compression="zstd", compression_level=19)
    write_whole(recording, written.getvalue().to_pybytes(), to_disk=True)
    trials = {row["trial"] for row in rows}
    print(f"{recording}: {len(rows)} epochs of {len(trials)} trials")


if __name__ == "__main__":
    sys.exit(main())
