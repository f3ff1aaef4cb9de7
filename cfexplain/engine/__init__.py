"""Execution: one image at a time, or stacked; the only package that knows devices, vmap and CUDA graphs."""
