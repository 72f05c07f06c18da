"""The fused supernet of cells: all edges that leave a node computed together."""
