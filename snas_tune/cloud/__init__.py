"""A cloud's notices to its machines. Standard library only: it runs beside every worker."""
