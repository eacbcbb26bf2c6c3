"""Kernels for NVIDIA GPUs. Nothing else imports `numba.cuda`, and this only when it is called."""
