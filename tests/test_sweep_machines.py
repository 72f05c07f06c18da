"""What is known of a cluster before a sweep starts: room, memory, storage. And tests/cluster."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ray

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.search.footprint import CONTEXT, HELD, MIB, PROCESS, WORKSPACE, Footprint, footprint
from snas_tune.search.search import Search
from snas_tune.sweep import SnasTrainable, prepare, quiet_ray
from snas_tune.sweep import machines as machines_module
from snas_tune.sweep.machines import Answer, Machine, check_growing, file_system
from snas_tune.sweep.packing import packing_line

GIB = 2**30


def machine(cpus=0.0, gpus=0.0, memory=64 * GIB, address="10.0.0.1"):
    return Machine("ab" * 28, address, cpus, gpus, memory)


@pytest.mark.parametrize(
    ("has", "cpus", "gpus", "slots"),
    [
        ((4, 0), 1, 0, 4),
        ((4, 0), 3, 0, 1),
        ((1, 0), 0.1, 0, 10),
        ((4, 1), 1, 0, 4),
        ((4, 1), 1, 1, 1),
        ((8, 1), 1, 0.25, 4),
        ((8, 1), 1, 1 / 3, 3),
        ((16, 1), 1, 0.1, 10),
        ((8, 2), 1, 0.35, 4),  # two on each; not five, as none may lie on two GPUs
        ((2, 1), 1, 0.25, 2),
        ((8, 4), 1, 2, 2),
        ((0, 0), 1, 0, 0),
        ((8, 0), 1, 0.5, 0),
    ],
)
def test_a_machine_holds_as_many_trials_as_its_cpus_and_gpus_allow(has, cpus, gpus, slots):
    assert machine(*has).slots(cpus, gpus) == slots


def cpu_need(gib: float) -> Footprint:
    """A search that takes so much of a machine."""
    return Footprint(0, round((gib * GIB - PROCESS - WORKSPACE) / HELD), 0)


def gpu_need(gib: float) -> Footprint:
    return Footprint(0, round((gib * GIB - CONTEXT) / HELD), 0)


def test_one_line_says_how_many_trials_fit():
    line = packing_line(cpu_need(2), [machine(8, memory=63 * GIB)], {}, 2, 0)
    assert line == (
        "memory: about 2.00 GiB a trial; 4 fit on this machine (4 by 2 CPUs each, 31 by memory)"
    )
    few = [machine(8, memory=5 * GIB), machine(8, memory=3.9 * GIB)]  # memory is not shared
    line = packing_line(cpu_need(2), few, {}, 1, 0)
    assert "; 3 fit on 2 machines (16 by 1 CPUs each, 3 by memory): give --concurrent 3, or" in line


def test_the_line_of_a_gpu_says_what_would_fit_if_too_many_share_it():
    answers = {"a": Answer("", {}, 24 * GIB), "b": Answer("", {}, 16 * GIB), "c": Answer("", {}, 0)}
    two = [machine(8, 1), machine(8, 1)]
    line = packing_line(gpu_need(3.5), two, answers, 1, 0.25)
    assert line == (
        "memory: about 3.50 GiB of a GPU a trial; 4 on a GPU take 14.00 of 16.0 GiB, where 4 fit; "
        "8 at a time on 2 machines now"
    )
    line = packing_line(gpu_need(5), two, answers, 1, 0.25)
    assert line.endswith(
        "where 3 fit: give --gpus-per-trial 0.333, or trials will run out of memory"
    )
    assert machine(8, 1).slots(1, 0.333) == 3
    assert "make the search smaller" in packing_line(gpu_need(17), two, answers, 1, 1)
    unknown = packing_line(gpu_need(5), two, {}, 1, 0.5)
    assert unknown.endswith("2 on a GPU take 10.00; 4 at a time on 2 machines now")


def test_the_memory_of_a_gpu_is_that_of_the_smallest(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '81559\\n24564\\n'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert machines_module._gpu_memory() == 24564 * MIB
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert machines_module._gpu_memory() == 0
    tool.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machines_module._gpu_memory() == 0


MOUNTS = """\
/dev/root / ext4 rw 0 0
fs-1:/ /shared nfs4 rw 0 0
/dev/b /shared/local xfs rw 0 0
bucket /mnt/with\\040space fuse.s3fs rw 0 0
tmpfs /share tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/shared/sweeps", "nfs4"),
        ("/shared", "nfs4"),
        ("/sharedx", "ext4"),
        ("/shared/local/x", "xfs"),
        ("/mnt/with space/x", "fuse.s3fs"),
    ],
)
def test_the_file_system_of_a_path_is_the_deepest_mount_above_it(path, kind, tmp_path):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert file_system(path, str(tmp_path / "mounts")) == kind
    assert file_system(path, str(tmp_path / "none")) == "unknown"


def test_a_local_disk_is_refused_where_every_trial_runs_on_a_machine_to_come(monkeypatch):
    head = [machine(0)]
    kinds = {"kind": "ext4"}
    monkeypatch.setattr(machines_module, "file_system", lambda path: kinds["kind"])
    with pytest.raises(
        ValueError, match=r"shares, such as s3://.* yet to start, got /x .*\(ext4\)"
    ):
        check_growing("/x", head, 1, 0)
    with pytest.raises(ValueError, match="yet to start"):
        check_growing("/x", [machine(8)], 1, 0.5)
    check_growing("/x", [machine(8)], 1, 0)  # what is there is tried out
    check_growing("s3://bucket/x", head, 1, 0)
    for kind in ("nfs4", "fuse.s3fs", "lustre"):
        kinds["kind"] = kind
        check_growing("/x", head, 1, 0)


def test_a_machine_is_refused_by_its_address_if_it_differs_or_cannot_use_the_storage():
    same = {name: machines_module._version(name) for name in machines_module.SAME}
    assert "none" not in same.values()
    good = Answer("", same, 0)
    machines_module._check_answers("/x", {"10.0.0.1": good})
    for name in same:
        other = {"10.0.0.1": good, "10.0.0.2": Answer("", {**same, name: "0.9"}, 0)}
        message = rf"{name} of every machine must be {same[name]}, .* got 0.9 on machine 10.0.0.2"
        with pytest.raises(ValueError, match=message):
            machines_module._check_answers("/x", other)
    with pytest.raises(
        ValueError, match=r"got s3://b, which machine 10.0.0.2 does not \(AccessDenied"
    ):
        machines_module._check_answers("s3://b", {"10.0.0.2": Answer("AccessDenied", same, 0)})


def test_trials_at_a_time_must_be_given_where_no_machine_has_room_yet():
    asked = SimpleNamespace(cpus_per_trial=1, gpus_per_trial=0.5)
    assert prepare._slots(asked, [machine(0), machine(8, 1), machine(8, 2)]) == 6
    with pytest.raises(
        ValueError, match="concurrent must be given where no machine that is alive has"
    ):
        prepare._slots(asked, [machine(0), machine(8)])


SIZE = {"cells": 3, "channels": 8, "nodes": 3, "epochs": 2, "threads": 1}
REAL = """
import json, sys
import torch
from test_sweep_machines import images, taken
from snas_tune.config import SearchConfig
from snas_tune.search.search import Search

torch.set_num_threads(1)
before = taken("VmRSS")  # of a process that has torch, but neither a search nor its images
Search(SearchConfig(**json.loads(sys.argv[1])), images()).run_epoch()
print(taken("VmHWM") - before)
"""


def images() -> ImageSet:
    noise = np.random.default_rng(0).integers(0, 256, (200, 3, 24, 24), dtype=np.uint8)
    return ImageSet(noise, np.arange(200) % 10, tuple("abcdefghij"))


def taken(name: str) -> int:
    """Bytes of this process: now (VmRSS), or the most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(name)]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says what is taken")
@pytest.mark.parametrize(
    "settings",
    [
        {"supernet": "fused"},
        pytest.param({"supernet": "plain"}, marks=pytest.mark.slow),
        pytest.param({"supernet": "plain", "sampling": "gdas"}, marks=pytest.mark.slow),
        pytest.param(
            {"supernet": "fused", "activation_checkpointing": True}, marks=pytest.mark.slow
        ),
    ],
)
def test_the_estimate_is_what_a_real_search_takes(settings):
    estimated = footprint(Search(SearchConfig(**SIZE, **settings), images())).on_cpu - PROCESS
    command = [sys.executable, "-c", REAL, json.dumps({**SIZE, **settings})]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert estimated == pytest.approx(int(done.stdout), rel=0.25)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_the_estimate_is_what_a_trial_of_ray_takes():
    """With what its process takes before there is a search."""

    def peak(config: dict[str, object]) -> int:
        SnasTrainable(config).train()
        (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
        return int(line.split()[1]) * 1024  # as taken(), which a worker cannot import

    config = SearchConfig(**SIZE, supernet="fused")
    estimated = footprint(Search(config)).on_cpu
    quiet_ray(cpus=1)
    try:
        real = ray.get(ray.remote(peak).remote(config.to_dict()))
    finally:
        ray.shutdown()
    assert estimated == pytest.approx(real, rel=0.15)


ALONE = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]


def may_be_alone() -> bool:
    """Whether a process can be started that sees no other, so no other Ray either."""
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run([*ALONE, "true"], capture_output=True).returncode
    )


@pytest.mark.skipif(
    not may_be_alone(), reason="no process may be started in a namespace of its own"
)
def test_the_address_auto_without_a_cluster_gives_one_line_at_once(tmp_path):
    command = [sys.executable, "-m", "snas_tune", "sweep", "--address=auto"]
    command.append(f"--storage-path={tmp_path}")
    done = subprocess.run(
        [*ALONE, *command],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "RAY_TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: address must be that of a running Ray cluster, got 'auto' (Could not find any"
    )
    assert done.stderr.count("\n") == 1
