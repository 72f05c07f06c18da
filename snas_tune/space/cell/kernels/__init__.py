"""Native kernels of the fused supernet: C++ sources, their build, and the calls."""
