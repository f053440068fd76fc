"""What a function raises for an argument that only the original can take."""


class Unsupported(NotImplementedError):
    """What the original does and fastconv does not: a patched program goes to the original for it."""
