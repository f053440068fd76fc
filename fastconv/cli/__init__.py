"""The command ``fastconv``."""
