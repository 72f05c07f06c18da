"""The report: what a sweep writes for TensorBoard. Knows neither ray nor torch."""

from snas_tune.report.tensorboard import SweepLog

__all__ = ["SweepLog"]
