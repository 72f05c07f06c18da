"""A cluster's machines: their room, and whether all see the storage and have equal packages.

Ray calls a machine a node; nodes are those of a cell here.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import ray
from pyarrow import fs
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from snas_tune.files import first_line
from snas_tune.front.storage import STORAGE_ERRORS, join, replace_file, resolve
from snas_tune.sweep.lines import say

PATIENCE = 120.0
"""Seconds within which each machine must answer; it has to start a process for that."""

ARRIVAL = 900.0
"""Seconds within which the machines of a sweep must be there: to start, with image and torch."""

SAME = ("snas_tune", "torch", "ray")
"""Packages that all machines must have in one version."""

NETWORKED = ("nfs", "nfs4", "lustre", "ceph", "cifs", "smb3", "9p", "glusterfs", "beegfs", "gpfs")
"""Types of file systems that several machines may share; those of FUSE, too."""

ROUNDING = 1e-4
"""Of Ray's own bookkeeping: three thirds of a GPU are one."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What Ray says of a machine that is alive."""

    key: str
    """Ray's own name for it, hexadecimal."""

    address: str
    cpus: float
    gpus: float
    memory: float
    """Bytes, at the machine's start; Ray's object store, which a sweep hardly uses, included."""

    def slots(self, cpus: float, gpus: float) -> int:
        """How many trials Ray puts there at once, by their CPUs and GPUs."""
        by = [(self.cpus + ROUNDING) // cpus]
        if 0 < gpus < 1:  # a trial's share lies on one GPU
            by.append(self.gpus * ((1 + ROUNDING) // gpus))
        elif gpus:
            by.append(self.gpus // gpus)
        return int(min(by))


def live_machines() -> list[Machine]:
    """The machines of the cluster that this process has joined, by address."""
    found = []
    for each in ray.nodes():
        if each["Alive"]:
            has = each["Resources"]
            memory = has.get("memory", 0.0) + has.get("object_store_memory", 0.0)
            machine = Machine(
                each["NodeID"],
                each["NodeManagerAddress"],
                has.get("CPU", 0.0),
                has.get("GPU", 0.0),
                memory,
            )
            found.append(machine)
    return sorted(found, key=lambda machine: (machine.address, machine.key))


def wait_for_machines(count: int, timeout: float = ARRIVAL) -> list[Machine]:
    """Wait until so many machines are alive; ``ray up`` ends as soon as the head is.

    Args:
        count: of machines, the head among them.
        timeout: seconds.

    Returns:
        All that are alive.

    Raises:
        ValueError: they are not there in time.
    """
    end = time.monotonic() + timeout
    machines = live_machines()
    if len(machines) < count:
        say(f"waiting for {count} machines, {len(machines)} now")
    while len(machines) < count:
        if time.monotonic() > end:
            raise ValueError(
                f"machines must be {count} within {timeout:g} s, got {len(machines)}: the head's "
                f"/tmp/ray/session_latest/logs/monitor.out says why"
            )
        time.sleep(1)
        machines = live_machines()
    return machines


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process on a machine found there."""

    problem: str
    """Why it cannot use the storage; empty if it can."""

    versions: dict[str, str]
    """Of :data:`SAME`; of torch without the part that says what it was built for."""

    gpu_memory: int
    """Bytes of the machine's smallest GPU; 0 if it has none."""


def check_machines(storage: str, machines: Sequence[Machine]) -> dict[str, Answer]:
    """Have every machine read what this one wrote into the storage, write there, and look around.

    Args:
        storage: an absolute path or a URI.
        machines: all that are alive.

    Returns:
        The answers by address.

    Raises:
        ValueError: a machine does not see what this process wrote, or the other way round; does not
            have the package, or another version of it, of torch or of Ray; or does not answer.
    """
    probe = f".snas_tune_machines_{os.urandom(4).hex()}"
    store, inside = resolve(join(storage, probe))
    try:
        replace_file(store, f"{inside}/driver", probe.encode(), to_disk=False)
        asked = [(machine, _ask(machine, join(storage, probe), probe)) for machine in machines]
        answers = {machine.address: _answer(machine, task) for machine, task in asked}
        _check_answers(storage, answers)
        for machine in machines:
            if _content(store, f"{inside}/{machine.key}") != machine.key:
                raise _not_shared(storage, machine.address, "what it wrote is not there")
    finally:
        _remove(store, inside)
    return answers


def _ask(machine: Machine, directory: str, expected: str) -> ray.ObjectRef:
    """Start :func:`_look_around` on a machine."""
    task = ray.remote(num_cpus=0, max_retries=0)(_look_around).options(
        scheduling_strategy=NodeAffinitySchedulingStrategy(machine.key, soft=False)
    )
    return task.remote(directory, machine.key, expected)


def _answer(machine: Machine, task: ray.ObjectRef) -> Answer:
    try:
        answer: Answer = ray.get(task, timeout=PATIENCE)
    except GetTimeoutError as error:
        raise ValueError(
            f"machine {machine.address} must answer within {PATIENCE:g} s, got nothing"
        ) from error
    except RayError as error:
        last = str(error).strip().splitlines()[-1].strip()
        raise ValueError(
            f"machine {machine.address} must be able to run this package, got {last}"
        ) from error
    return answer


def _look_around(directory: str, key: str, expected: str) -> Answer:
    """In a process on a machine: read what the driver wrote, and write something beside it."""
    problem = ""
    try:
        store, inside = resolve(directory)
        if _content(store, f"{inside}/driver") == expected:
            replace_file(store, f"{inside}/{key}", key.encode(), to_disk=False)
        else:
            problem = "what the driver wrote is not there"
    except STORAGE_ERRORS as error:
        problem = first_line(error)
    return Answer(problem, {name: _version(name) for name in SAME}, _gpu_memory())


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "none"


def _gpu_memory() -> int:
    """By the driver's own tool, as a CUDA context would itself take memory."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return min(int(line) for line in done.stdout.split()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def _check_answers(storage: str, answers: dict[str, Answer]) -> None:
    for address, answer in answers.items():
        if answer.problem:
            raise _not_shared(storage, address, answer.problem)
        for name, found in answer.versions.items():
            if found != _version(name):
                raise ValueError(
                    f"{name} of every machine must be {_version(name)}, as on the driver's own, "
                    f"got {found} on machine {address}"
                )


def _not_shared(storage: str, address: str, problem: str) -> ValueError:
    return ValueError(
        f"storage path must be one that every machine shares, such as s3://bucket/sweeps or a "
        f"network folder, got {storage}, which machine {address} does not ({problem})"
    )


def _content(store: fs.FileSystem, path: str) -> str:
    """What a file of the probe holds; nothing if it is not there."""
    try:
        with store.open_input_file(path) as stream:
            return str(stream.read().decode())
    except FileNotFoundError:
        return ""


def _remove(store: fs.FileSystem, inside: str) -> None:
    try:
        store.delete_dir(inside)
    except STORAGE_ERRORS as error:  # what is left is small, and named so that it can be known
        say(f"{inside} could not be removed: {first_line(error)}")


def check_growing(storage: str, machines: Sequence[Machine], cpus: float, gpus: float) -> None:
    """Refuse a storage that cannot be shared, where all trials will run on machines yet to come.

    Args:
        storage: an absolute path or a URI.
        machines: all that are alive.
        cpus: of a trial.
        gpus: of a trial.

    Raises:
        ValueError: no machine that is alive has room for a trial, and the storage is a disk of this
            machine.
    """
    if any(machine.slots(cpus, gpus) for machine in machines) or "://" in storage:
        return
    kind = file_system(storage)
    if kind not in NETWORKED and not kind.startswith("fuse"):
        raise ValueError(
            f"storage path must be one that every machine shares, such as s3://bucket/sweeps, as "
            f"trials will run on machines that are yet to start, got {storage} on a disk of this "
            f"machine ({kind})"
        )


def file_system(path: str, mounts: str = "/proc/self/mounts") -> str:
    """The type of the file system that a local path lies on, ``unknown`` where nothing says so."""
    try:
        lines = Path(mounts).read_text().splitlines()
    except OSError:
        return "unknown"
    whole = Path(path).resolve()
    found = [
        (len(parts[1]), place, parts[2])
        for place, parts in enumerate(line.split() for line in lines)
        if whole.is_relative_to(parts[1].replace("\\040", " "))
    ]
    return max(found, default=(0, 0, "unknown"))[2]
