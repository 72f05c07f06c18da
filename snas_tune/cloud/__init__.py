"""What a cloud says to its machines. Only the standard library: it runs beside every worker."""
