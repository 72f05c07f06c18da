"""What is wrong with a file for `ray up` or KubeRay, as far as it can be known without a cloud."""

from __future__ import annotations

import copy
import functools
import json
import lzma
import re
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import ray.autoscaler
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parent.parent
AWS, LOCAL, KUBERAY = (ROOT / f"ray_cluster{kind}.yaml" for kind in ("", ".local", ".kuberay"))

DOCUMENTED = "ami-0123456789abcdef0"
"""The image that has to be set."""


def read(path: Path) -> dict[str, Any]:
    """The file as Python values."""
    values = yaml.safe_load(path.read_text())
    assert isinstance(values, dict)
    return values


def pinned() -> dict[str, str]:
    """Versions by package, of constraints.txt; and of Python, which its comment names."""
    text = (ROOT / "constraints.txt").read_text()
    versions = dict(re.findall(r"^([\w-]+)==([\w.]+)", text, re.MULTILINE))
    (python,) = re.findall(r"Python, (\d+\.\d+),", text)
    return {**versions, "python": python}


def version_problems(text: str) -> list[str]:
    """Every version of Ray and Python in a file that is another than the pinned one."""
    pins = pinned()
    short = pins["python"].replace(".", "")
    found = [
        *(("Ray", v, pins["ray"]) for v in re.findall(r"rayproject/ray:([\d.]+)", text)),
        *(("Ray", v, pins["ray"]) for v in re.findall(r"\bray(?:\[[\w,]*\])?==([\d.]+)", text)),
        *(("Ray", v, pins["ray"]) for v in re.findall(r"rayVersion: \"?([\d.]+)", text)),
        *(("Python", v, short) for v in re.findall(r"rayproject/ray:[\d.]+-py(\d+)", text)),
        *(("Python", v, pins["python"]) for v in re.findall(r"python(\d+\.\d+)", text)),
    ]
    wrong = [f"{what} must be {want}, got {got}" for what, got, want in found if got != want]
    floating = re.findall(r"rayproject/ray(?:-ml\S*|:(?:latest|nightly)\S*)", text)
    return wrong + [f"image must have a version, got {image}" for image in floating]


def ray_problems(config: dict[str, Any]) -> list[str]:
    """What Ray's schema and its preparation refuse, and what they let pass that cannot work."""
    problems = _schema_problems(config)
    try:
        prepared = prepare_config(copy.deepcopy(config))
        for node_type in prepared["available_node_types"].values():
            node_type.setdefault("resources", {})
        validate_config(prepared)
    except (Exception, SystemExit) as error:  # Ray raises what it likes here, also an exit
        return [*problems, f"Ray: {(str(error) or repr(error)).splitlines()[0]}"]
    problems += _command_problems(prepared)
    for target, source in prepared["file_mounts"].items():
        if not target.startswith(("/", "~")):
            problems.append(f"file_mounts must name absolute paths of a node, got {target}")
        if Path(target).name == "snas_tune":  # of no package, where a submitted script lies
            problems.append(f"file_mounts must not be called as the package, got {target}")
        if not source.startswith("~") and not (ROOT / source).exists():
            problems.append(f"file_mounts must name what is here, got {source}")
    if prepared["provider"]["type"] == "aws":
        for name, node_type in prepared["available_node_types"].items():
            problems += _aws_problems(name, node_type["node_config"])
            if name != prepared["head_node_type"]:
                problems += _profile_problems(name, node_type["node_config"])
    return problems


def _schema_problems(config: dict[str, Any]) -> list[str]:
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    checked = copy.deepcopy(config)
    if checked.get("provider", {}).get("type") == "local":
        checked.pop("min_workers", None)  # the preparation of a local cluster takes it away
    return [
        f"schema: {'/'.join(map(str, error.path))}: {error.message}"
        for error in jsonschema.Draft7Validator(schema).iter_errors(checked)
    ]


def _command_problems(config: dict[str, Any]) -> list[str]:
    head = " ".join(config["head_start_ray_commands"])
    worker = " ".join(config["worker_start_ray_commands"])
    setup = " ".join(config["setup_commands"])
    needed = [
        (head, "--autoscaling-config=~/ray_bootstrap_config.yaml", "no worker would start"),
        (worker, "--address=$RAY_HEAD_IP:6379", "no worker would join"),
        (setup, "-c constraints.txt", "versions would differ from node to node"),
        (setup, "RAY_AUTH_MODE=token", "a worker would not be let in"),
    ]
    problems = [
        f"commands must have {what}: {why}" for text, what, why in needed if what not in text
    ]
    if "~/.ray/auth_token" not in config["file_mounts"]:
        problems.append("file_mounts must have ~/.ray/auth_token: a worker would not be let in")
    return problems


@functools.cache
def _request_of_a_machine() -> Any:
    model = botocore.session.Session().get_service_model("ec2")
    return model.operation_model("RunInstances").input_shape


def _aws_problems(name: str, node_config: dict[str, Any]) -> list[str]:
    """What the model of EC2's own interface says to a request for such a machine."""
    request = {**node_config, "MinCount": 1, "MaxCount": 1}
    report = ParamValidator().validate(request, _request_of_a_machine())
    problems = [f"{name}: {line}" for line in report.generate_report().splitlines()]
    if "ImageId" not in node_config:
        problems.append(f"{name}: ImageId must be given: Ray's default is an Ubuntu 18.04")
    return problems


def _profile_problems(name: str, node_config: dict[str, Any]) -> list[str]:
    if "IamInstanceProfile" in node_config:
        return []
    return [f"{name}: IamInstanceProfile must be given: a trial could not write its checkpoint"]


def kuberay_problems(manifest: dict[str, Any]) -> list[str]:
    """What `kubectl apply --validate=strict` would refuse."""
    packed = (ROOT / "tests" / "data" / "kuberay_rayjob_v1.json.xz").read_bytes()
    schema = _closed(json.loads(lzma.decompress(packed)))
    schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    problems = [
        f"{'/'.join(map(str, error.path))}: {error.message}"
        for error in jsonschema.Draft7Validator(schema).iter_errors(manifest)
    ]
    known = {"apiVersion": "ray.io/v1", "kind": "RayJob"}
    return problems + [
        f"{name} must be {value}, got {manifest.get(name)}"
        for name, value in known.items()
        if manifest.get(name) != value
    ]


def _closed(schema: Any) -> Any:
    """An OpenAPI schema as JSON Schema in which an unknown field is an error."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {
        name: {key: _closed(each) for key, each in value.items()}
        if name == "properties"
        else _closed(value)
        for name, value in schema.items()
        if not name.startswith("x-")
    }
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in closed and "additionalProperties" not in closed and not open_ended:
        closed["additionalProperties"] = False
    return closed


def uncommented(path: Path, mark: str) -> dict[str, Any]:
    """The YAML in a file's comments that begin with ``#mark``."""
    lines = re.findall(rf"^#{mark} (.*)$", path.read_text(), re.MULTILINE)
    values = yaml.safe_load("\n".join(lines))
    assert isinstance(values, dict)
    return values
