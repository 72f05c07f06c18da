"""Child networks as files that run without this package."""
