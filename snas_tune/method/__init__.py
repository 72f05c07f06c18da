"""The method: SNAS in torch, without Ray.

==============  ====================================================================================
``ops``         the candidate ops by name: the search space
``parts``       what networks are built of, as values that are built and counted alike
``partial``     the channels that pass by the ops of an edge
``sampling``    the concrete sample, its density, entropy and credit
``supernet``    the stochastic supernet, plain; deriving its genotype
``fast``        the same supernet, node by node: ``fan``, ``fan_native``, ``fan_half``
``native``      its kernels for a CPU, in ``kernels/``, compiled on first use
``child``       the child network, the supernet's weights in it, recalibration
``cost``        FLOPs, parameters and memory access of ops, samples, genotypes and modules
``latency``     measured milliseconds of every part
``penalty``     how cost enters the loss
``batches``     images as batches, order and augmentation
``runtime``     device, precision, memory format, compilation
``evaluate``    accuracy
``search``      the step, the epoch, the report, the state
``epoch``       what the steps of an epoch amount to
``state``       what is saved of a search, and whose it is
``checkpoint``  a search in a file
``retrain``     a child's own training
``export``      a child as a program that takes raw pixels
==============  ====================================================================================
"""
