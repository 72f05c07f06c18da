"""Learning curves of other networks, to see how the stopping rules do where they were not made for.

    pip install onnxruntime
    python benchmarks/record_lcbench.py path/to/yahpo/lcbench

Asks the LCBench surrogate of YAHPO Gym (Pfisterer et al., AutoML 2022; Apache 2.0) for the
validation accuracy of random multi-layer perceptrons at every epoch, on every task, and writes
``benchmarks/data/lcbench.parquet``: one row for each network. FLOPs are the multiply-adds of the
funnel-shaped network (LCBench: Zimmer et al., TPAMI 2021) for 64 inputs and 10 classes, as the
surrogate does not say how many features a task has.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

INPUTS, CLASSES, EPOCHS = 64, 10, 52

SETTINGS = (
    "epoch",
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
"""The order of the model's continuous inputs, which is that of its param_set.R."""

ACCURACY = 1
"""The place of the validation accuracy, in percent, among the model's answers."""


def funnel_flops(units: int, layers: int) -> int:
    """Multiply-adds of hidden layers whose widths fall evenly from ``units`` to the classes."""
    widths = np.linspace(units, CLASSES, layers + 1).round().astype(int)
    return int(INPUTS * widths[0] + (widths[:-1] * widths[1:]).sum())


def draw(space: list[dict], count: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random settings, uniform or log-uniform, as the surrogate's space says."""
    drawn = {}
    for one in space:
        low, high = one["lower"], one["upper"]
        if one["log"]:
            values = np.exp(generator.uniform(np.log(low), np.log(high), count))
        else:
            values = generator.uniform(low, high, count)
        drawn[one["name"]] = values.round() if one["type"] == "uniform_int" else values
    return drawn


def main() -> None:
    """Ask and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("surrogate", type=Path, help="folder with model.onnx")
    parser.add_argument("--networks", type=int, default=64, help="of each task")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    import onnxruntime  # needed for this recording alone

    session = onnxruntime.InferenceSession(str(args.surrogate / "model.onnx"))
    tasks = json.loads((args.surrogate / "encoding.json").read_text())["OpenML_task_id"]
    space = json.loads((args.surrogate / "config_space.json").read_text())["hyperparameters"]
    numeric = [one for one in space if one["type"] != "categorical"]
    known = next(one["choices"] for one in space if one["type"] == "categorical")
    rows = []
    for task in known:
        generator = np.random.default_rng([args.seed, int(task)])
        configs = draw(numeric, args.networks, generator)
        settings = {name: np.repeat(values, EPOCHS) for name, values in configs.items()}
        settings["epoch"] = np.tile(np.arange(1.0, EPOCHS + 1), args.networks)
        ordered = np.stack([settings[name] for name in SETTINGS], axis=1).astype(np.float32)
        category = np.full((len(ordered), 1), tasks[task], dtype=np.int32)
        answers = session.run(None, {"x_cat": category, "x_cont": ordered})[0]
        curves = (answers[:, ACCURACY] / 100).reshape(args.networks, EPOCHS).clip(0, 1)
        for i, curve in enumerate(curves):
            flops = funnel_flops(int(configs["max_units"][i]), int(configs["num_layers"][i]))
            rows.append({"task": task, "network": i, "flops": flops, "accuracy": curve.tolist()})
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("network", pa.int32()),
            ("flops", pa.int64()),
            ("accuracy", pa.list_(pa.float32())),
        ]
    )
    path = Path(__file__).resolve().parent / "data" / "lcbench.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema), path, compression="zstd", compression_level=19
    )
    print(f"{path}: {len(rows)} networks of {len(known)} tasks, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
