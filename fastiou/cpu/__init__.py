"""Compiled kernels for the CPU. They take what `columns` prepared and know no array library."""
