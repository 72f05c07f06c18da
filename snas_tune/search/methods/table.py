"""METHODS: the methods by name."""

from __future__ import annotations

from snas_tune.search.methods.method import Method, Task
from snas_tune.space.space import named_class
from snas_tune.space.supernet import Supernet

METHODS = {"snas": "snas_tune.search.methods.snas:Snas"}
"""The methods by name. Another one is ``module:name`` of a class with the same constructor."""


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        ValueError: there is none of that name.
    """
    found: type[Method] = named_class(name, METHODS, "method", Method)
    return found


def build_method(task: Task, supernet: Supernet) -> Method:
    """The method that the task's config names."""
    return method_class(task.config.method)(task, supernet)
