"""Services of the process: threads, CPU limits, signals, forks, memory, caches."""
