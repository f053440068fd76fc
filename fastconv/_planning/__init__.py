"""From a problem to an engine: estimates, the choice of method, plans that are kept."""
