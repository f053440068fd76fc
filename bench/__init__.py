"""Benchmarks of fastconv against other libraries; `README.md` describes how to run them."""
