"""Engines: each prepares jobs of one kind for the compiled loops and shares them out to threads."""
