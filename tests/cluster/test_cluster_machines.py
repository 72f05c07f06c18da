"""Machines that die while a sweep runs, as raylets of this one; needs no namespaces."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from snas_tune.front import FrontFile
from snas_tune.sweep import SweepResult, SweepSettings, quiet_ray, run_sweep, sweep_space
from snas_tune.sweep.machines import wait_for_machines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]

TRIALS, EPOCHS = 6, 20
SETTINGS = {
    "cells": 3,
    "channels": 4,
    "nodes": 1,
    "epochs": EPOCHS,
    "batch_size": 16,
    "limit_images": 120,
    "recalibration_batches": 2,
    "supernet": "plain",
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head and two workers, with room for two trials each."""
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    for _ in range(2):
        started.add_node(num_cpus=2)
    quiet_ray(address=started.address)
    yield started
    ray.shutdown()
    started.shutdown()


def sweep(cluster: Cluster, storage: Path, name: str, **more: Any) -> SweepResult:
    return run_sweep(
        sweep_space(**SETTINGS),
        SweepSettings(
            name=name,
            storage_path=str(storage),
            trials=TRIALS,
            searcher="random",
            rule="fifo",
            address=cluster.address,
            machines=3,
            **more,
        ),
    )


def rows(path: str) -> list[str]:
    table = FrontFile(f"{path}/front.parquet").table
    return sorted(repr({**row, "checkpoint": None}) for row in table.to_pylist())


def processes(path: str) -> dict[str, list[list[int]]]:
    """The epochs that each process of a trial reported."""
    found = {}
    for file in Path(path).glob("*/result.json"):
        reports = [json.loads(line) for line in file.read_text().splitlines()]
        found[file.parent.name] = [
            [report["epoch"] for report in group]
            for _, group in itertools.groupby(reports, key=lambda report: report["pid"])
        ]
    return found


def when(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """A thread that acts once, as soon as a condition holds."""

    def wait() -> None:
        end = time.monotonic() + 120
        while not condition():
            if time.monotonic() > end:
                return
            time.sleep(0.1)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def a_machine_dies(cluster, path):
    """Take a machine away as soon as every trial of the sweep there has a checkpoint or more."""
    victim = sorted(cluster.worker_nodes, key=lambda node: node.unique_id)[0]
    return when(
        lambda: len(list(path.glob("*/checkpoint_000002"))) >= TRIALS,
        lambda: cluster.remove_node(victim, allow_graceful=False),
    )


def test_a_machines_death_costs_no_trial_and_changes_no_child(cluster, tmp_path):
    undisturbed = sweep(cluster, tmp_path, "undisturbed")
    assert undisturbed.exit_status == 0
    thread = a_machine_dies(cluster, tmp_path / "disturbed")
    disturbed = sweep(cluster, tmp_path, "disturbed", max_failures=3)
    thread.join()
    assert disturbed.exit_status == 0
    assert any(len(runs) > 1 for runs in processes(disturbed.path).values())
    assert rows(disturbed.path) == rows(undisturbed.path)
    assert len(rows(disturbed.path)) == TRIALS * EPOCHS


def test_without_retries_a_dead_machine_fails_its_trials_and_the_sweep_says_so(cluster, tmp_path):
    thread = a_machine_dies(cluster, tmp_path / "once")
    result = sweep(cluster, tmp_path, "once", max_failures=0)
    thread.join()
    assert result.exit_status == 1
    assert 1 <= len(result.failed) <= 2
    assert result.problems[-1].startswith(f"{len(result.failed)} of {TRIALS} trials failed")


def test_a_machine_that_does_not_come_is_not_waited_for_for_ever(cluster):
    assert len(wait_for_machines(3)) == 3
    with pytest.raises(
        ValueError, match=r"machines must be 4 within 1 s, got 3: the head's .*monitor"
    ):
        wait_for_machines(4, timeout=1)


def drain(cluster: Cluster, node: Any) -> None:
    """Tell Ray that a machine will be taken away in three seconds, as a cloud's notice would."""
    command = [
        f"{Path(sys.executable).parent}/ray",
        "drain-node",
        "--address",
        cluster.address,
        "--node-id",
        node.node_id,
        "--reason",
        "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message",
        "spot",
        "--deadline-remaining-seconds",
        "3",
    ]
    subprocess.run(command, check=True, env={**os.environ, "RAY_AUTH_MODE": "token"})


def test_trials_of_a_machine_that_will_go_save_themselves_at_the_end_of_their_epoch(
    cluster, tmp_path
):
    """They checkpoint at their end alone otherwise, and have no failure to spare."""
    path = tmp_path / "warned"
    victim = sorted(cluster.worker_nodes, key=lambda node: node.unique_id)[0]
    told: list[float] = []

    def begun() -> bool:
        file = path / "front.parquet"
        return file.exists() and len(FrontFile(str(file)).table) >= 2 * TRIALS

    def tell() -> None:
        drain(cluster, victim)
        told.append(time.monotonic())

    def saved() -> bool:
        early = [file for file in path.glob("*/checkpoint_*") if file.is_dir()]
        return bool(told) and time.monotonic() > told[0] + 4 and bool(early)

    warn = when(begun, tell)
    kill = when(saved, lambda: cluster.remove_node(victim, allow_graceful=False))
    result = sweep(cluster, tmp_path, "warned", checkpoint_every=1000, max_failures=0)
    warn.join()
    kill.join()
    assert result.problems == []
    resumed = [runs for runs in processes(result.path).values() if len(runs) > 1]
    assert resumed, "no trial was retried"
    for first, second, *_ in resumed:
        assert second[0] > 1  # not from its beginning
        assert second[0] <= first[-1] + 1
    assert len(rows(result.path)) == TRIALS * EPOCHS
