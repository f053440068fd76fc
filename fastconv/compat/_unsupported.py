"""The exception for arguments that only the original function supports."""


class Unsupported(NotImplementedError):
    """The original supports this call and fastconv does not; a patched program then calls the original."""
