"""What the process gives: threads, signals, forks, memory, folders, caches."""
