"""One search: a space, a method, steps, epochs, checkpoints."""
