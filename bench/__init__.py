"""Benchmarks: fastconv beside the libraries that it wants to replace. `README.md` says how to run them."""
