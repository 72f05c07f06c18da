"""The cluster files: valid by Ray's, EC2's and KubeRay's own rules, and each kind of error seen."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster_files import (
    AWS,
    KUBERAY,
    LOCAL,
    ROOT,
    kuberay_problems,
    pinned,
    ray_problems,
    read,
    uncommented,
    version_problems,
)

from snas_tune.cli.app import command_of

Change = Callable[[dict[str, Any]], Any]
REMOVED = object()


def put(path: str, value: Any) -> Change:
    """A change that sets, or removes, what lies at a path of keys and places."""

    def change(config: dict[str, Any]) -> None:
        *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        place: Any = config
        for key in parents:
            place = place[key]
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value

    return change


def changed(path: Path, change: Change) -> dict[str, Any]:
    config = copy.deepcopy(read(path))
    change(config)
    return config


@pytest.mark.parametrize("path", [AWS, LOCAL])
def test_ray_takes_the_file_as_it_is(path):
    assert ray_problems(read(path)) == []


def test_kuberay_takes_the_manifest_as_it_is():
    assert kuberay_problems(read(KUBERAY)) == []


@pytest.mark.parametrize("path", [AWS, LOCAL, KUBERAY])
def test_versions_are_those_of_the_constraints(path):
    text = path.read_text()
    pins = pinned()
    assert version_problems(text) == []
    assert pins["python"] in text or f"py{pins['python'].replace('.', '')}" in text
    assert "-c constraints.txt" in text  # which has Ray and torch
    assert {"ray", "torch", "boto3"} <= set(pins)


def test_the_lines_for_google_cloud_make_a_file_that_ray_takes():
    lines = uncommented(AWS, "gcp")
    config = {**read(AWS), "provider": lines["provider"]}
    for node_type in config["available_node_types"].values():
        node_type["node_config"] = lines["node_config"]
    assert ray_problems(config) == []
    assert {"machineType", "disks", "scheduling", "serviceAccounts"} <= set(lines["node_config"])


def test_what_a_local_node_runs_is_what_a_cloud_node_runs():
    """The commands of the local file are run by tests/cluster; the cloud's must be the same."""
    aws, local = read(AWS), read(LOCAL)
    assert aws["head_start_ray_commands"] == local["head_start_ray_commands"]
    *started, notice = aws["worker_start_ray_commands"]  # which tests/cluster adds to the local
    assert started == local["worker_start_ray_commands"]
    assert "snas_tune.cloud.notice" in notice
    plain = [line.replace("digits", "cifar10") for line in local["setup_commands"]]
    assert [line for line in plain if line in aws["setup_commands"]] == aws["setup_commands"]
    assert aws["file_mounts"] == local["file_mounts"]


GPU = "available_node_types/gpu_spot"
CONFIG = f"{GPU}/node_config"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Ray's schema: names, types and limits at every level
        (put("max_worker", 8), "Additional properties are not allowed.*max_worker"),
        (put("max_workers", "8"), "max_workers: '8' is not of type 'integer'"),
        (put("max_workers", -1), "max_workers: -1 is less than the minimum"),
        (put("upscaling_speed", "fast"), "upscaling_speed: 'fast' is not of type 'number'"),
        (put("idle_timeout_minutes", "10m"), "idle_timeout_minutes: '10m' is not of type"),
        (put("cluster_name", REMOVED), "'cluster_name' is a required property"),
        (put("provider/type", REMOVED), "provider: 'type' is a required property"),
        (put("provider/cache_stopped_nodes", "no"), "cache_stopped_nodes: 'no' is not of type"),
        (put("auth/ssh_usr", "ubuntu"), "auth: Additional properties.*ssh_usr"),
        (put("docker/imag", "x"), "docker: Additional properties.*imag"),
        (put(f"{GPU}/spot", True), "gpu_spot: Additional properties.*spot"),
        (put(f"{GPU}/resources", {"GPU": "one"}), "resources/GPU: 'one' is not of type 'integer'"),
        (put(f"{GPU}/resources", {"GPU": -1}), "resources/GPU: -1 is less than the minimum"),
        (put(f"{GPU}/priority", "high"), "priority: 'high' is not of type 'integer'"),
        (put("setup_commands", "pip install x"), "setup_commands: .* is not of type 'array'"),
        (put("rsync_exclude", "x"), "rsync_exclude: 'x' is not of type 'array'"),
        # Ray's preparation: what does not fit together
        (put("provider/type", "awz"), "Ray: .*awz|Ray: .*provider"),
        (put("head_node_type", "boss"), "Ray: .*head_node_type"),
        (put("head_node_type", REMOVED), "Ray: .*head_node_type"),
        (put(f"{GPU}/min_workers", 9), "Ray: .*max_workers.*min_workers|Ray: .*min_workers"),
        (put("docker/container_name", REMOVED), "Ray: Must provide a container & image name"),
        # EC2's model of a request for a machine
        (put(f"{CONFIG}/InstanceTipe", "x"), "gpu_spot: Unknown parameter in input: .InstanceTipe"),
        (put(f"{CONFIG}/InstanceType", 5), "gpu_spot: Invalid type for parameter InstanceType"),
        (
            put(f"{CONFIG}/BlockDeviceMappings/0/Ebs/Size", 9),
            "gpu_spot: Unknown parameter in BlockDeviceMappings.*Size",
        ),
        (put(f"{CONFIG}/InstanceMarketOptions", "spot"), "gpu_spot: Invalid type for parameter"),
        # what all of these let pass
        (put(f"{CONFIG}/ImageId", REMOVED), "gpu_spot: ImageId must be given"),
        (put(f"{CONFIG}/IamInstanceProfile", REMOVED), "IamInstanceProfile must be given"),
        (put("head_start_ray_commands", ["ray start --head"]), "no worker would start"),
        (put("worker_start_ray_commands", ["ray start"]), "no worker would join"),
        (put("setup_commands", ["pip install ray"]), "versions would differ"),
        (put("setup_commands/0", "true"), "a worker would not be let in"),
        (put("file_mounts", {"~/snas-tune": "."}), "must have ~/.ray/auth_token"),
        (put("file_mounts", {"~/snas_tune": "."}), "not be called as the package"),
        (put("file_mounts/app", "."), "absolute paths of a node, got app"),
        (put("file_mounts", {"~/.ray/auth_token": "no/such"}), "what is here, got no/such"),
    ],
)
def test_an_error_in_the_file_for_aws_is_seen(change, message):
    assert re.search(message, "\n".join(ray_problems(changed(AWS, change))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("provider/head_ip", REMOVED), "Ray: "),
        (put("provider/worker_ips", REMOVED), "Ray: "),
        (put("provider/worker_ips", "192.0.2.11"), "worker_ips: .* is not of type 'array'"),
        (put("provider/head_ip", 10), "head_ip: 10 is not of type 'string'"),
        (put("auth/ssh_private_key", 1), "ssh_private_key: 1 is not of type 'string'"),
        (put("max_workers", 2.5), "max_workers: 2.5 is not of type 'integer'"),
        (put("available_node_types", {"gpu": {"resources": {}, "node_config": {}}}), "Ray: "),
        (put("head_start_ray_commands/1", "ray start --head"), "no worker would start"),
        (put("setup_commands/3", "pip install -e ."), "versions would differ"),
        (put("file_mounts", ["."]), r"file_mounts: \['.'\] is not of type 'object'"),
    ],
)
def test_an_error_in_the_file_for_machines_that_are_there_is_seen(change, message):
    assert re.search(message, "\n".join(ray_problems(changed(LOCAL, change))))


def test_a_pod_has_the_time_that_its_hook_takes():
    pod = read(KUBERAY)["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    *_, option, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert option == "--now"
    assert float(seconds) <= pod["terminationGracePeriodSeconds"] - 10


CLUSTER = "spec/rayClusterSpec"
WORKER = f"{CLUSTER}/workerGroupSpecs/0"
POD = f"{WORKER}/template/spec"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("kind", "RayCluster"), "kind must be RayJob, got RayCluster"),
        (put("apiVersion", "ray.io/v1alpha1"), "apiVersion must be ray.io/v1, got ray.io/v1alpha1"),
        (put("metadata", {}), "metadata: 'name' is a required property"),
        (put("spec/entrypont", "x"), "spec: Additional properties.*entrypont"),
        (put("spec/backoffLimit", "0"), "spec/backoffLimit: '0' is not of type 'integer'"),
        (put("spec/shutdownAfterJobFinishes", "yes"), "shutdownAfterJobFinishes: 'yes' is not of"),
        (put(f"{CLUSTER}/rayVersion", 2.6), "rayVersion: 2.6 is not of type 'string'"),
        (put(f"{CLUSTER}/headGroupSpec", REMOVED), "'headGroupSpec' is a required property"),
        (put(f"{CLUSTER}/authOptions/mode", "tokn"), "authOptions/mode: 'tokn' is not one of"),
        (put(f"{CLUSTER}/autoscalerOptions/version", "v3"), "version: 'v3' is not one of"),
        (put(f"{CLUSTER}/headGroupSpec/rayStartParams/num-cpus", 0), "num-cpus: 0 is not of type"),
        (put(f"{WORKER}/maxReplica", 8), "Additional properties.*maxReplica"),
        (put(f"{WORKER}/minReplicas", "0"), "minReplicas: '0' is not of type 'integer'"),
        (put(f"{WORKER}/groupName", REMOVED), "'groupName' is a required property"),
        (put(f"{POD}/containers", REMOVED), "'containers' is a required property"),
        (put(f"{POD}/tolerations/0/efect", "x"), "Additional properties.*efect"),
        (put(f"{POD}/volumes/0/hostPath", {}), "'path' is a required property"),
        (put(f"{POD}/containers/0/resources/limits/cpu", [3]), r"cpu: \[3\] is not of type"),
    ],
)
def test_an_error_in_the_manifest_is_seen(change, message):
    assert re.search(message, "\n".join(kuberay_problems(changed(KUBERAY, change))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image: rayproject/ray:2.59.1-py311", "Ray must be .*, got 2.59.1"),
        ("image: rayproject/ray:{ray}-py310-gpu", "Python must be 311, got 310"),
        ("pip install 'ray[default]==2.9'", "Ray must be .*, got 2.9"),
        ('rayVersion: "2.61.0"', "Ray must be .*, got 2.61.0"),
        ("python3.12 -m venv", "Python must be 3.11, got 3.12"),
        ("image: rayproject/ray:latest-gpu", "image must have a version"),
        ("image: rayproject/ray-ml:2.30.0", "image must have a version"),
    ],
)
def test_another_version_is_seen(text, message):
    problems = version_problems(text.format(ray=pinned()["ray"]))
    assert len(problems) == 1
    assert re.search(message, problems[0])


def sweeps_in_comments(path: Path) -> list[list[str]]:
    """The words of every `snas-tune` command in a file's comments."""
    text = re.sub(r"\\\n#\s*", "", path.read_text())
    return [shlex.split(found)[1:] for found in re.findall(r'"(snas-tune sweep .*)"', text)]


@pytest.mark.parametrize("path", [AWS, LOCAL, KUBERAY])
def test_the_commands_of_a_file_are_ones_that_are_known(path):
    commands = sweeps_in_comments(path)
    if path == KUBERAY:
        commands = [shlex.split(read(path)["spec"]["entrypoint"])[1:]]
    assert commands
    for words in commands:
        asked = command_of(words)
        assert asked.address == "auto"
        assert asked.storage_path.startswith(("s3://", "/shared"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_ray_makes_machines_of_the_file_in_a_stand_in_for_aws(tmp_path, monkeypatch):
    """All of Ray's own bootstrap: profile, key, subnets, security group, resources of a type."""
    from moto import mock_aws
    from ray.autoscaler._private.aws import config as aws_config
    from ray.autoscaler._private.commands import _bootstrap_config

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HOME", str(tmp_path))  # where it puts the key
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", read(AWS)["provider"]["region"])
    monkeypatch.setattr(aws_config.time, "sleep", lambda seconds: None)  # nothing spreads here
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        made = _bootstrap_config(read(AWS), no_config_cache=True)
    types = made["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    for name in ("gpu_spot", "gpu_on_demand"):
        has = types[name]["resources"]
        assert (has["CPU"], has["GPU"]) == (4, 1)
        assert has["accelerator_type:A10G"] == 1
    for node_type in types.values():
        machine = node_type["node_config"]
        assert len(machine["SubnetIds"]) == 3  # one in each zone
        assert machine["SecurityGroupIds"]
        assert machine["KeyName"].startswith("ray-autoscaler")
    assert types["gpu_spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    # Ray gives the head the profile of this name; the workers ask for the same.
    profile = made["head_node"]["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    assert types["gpu_spot"]["node_config"]["IamInstanceProfile"] == {"Name": profile}


@pytest.mark.parametrize("path", [AWS, LOCAL, KUBERAY], ids=lambda path: Path(path).name)
def test_the_python_that_a_file_runs_calls_what_is_there(path):
    found = re.findall(
        r"from (snas_tune[\w.]*) import (\w+);\s*(\w+\([^)]*\))", Path(path).read_text()
    )
    assert found
    for module, name, call in found:
        function = getattr(importlib.import_module(module), name)
        (parsed,) = (node for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Call))
        assert parsed.func.id == name
        names = dict.fromkeys(word.arg for word in parsed.keywords)
        inspect.signature(function).bind(*parsed.args, **names)
