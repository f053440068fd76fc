"""The exception for arguments that only the original function supports."""


class Unsupported(NotImplementedError):
    """Raised for a call that the original supports and fastconv does not; a patch then calls the original.

    See Also
    --------
    patch : Leaves calls that raise it to the originals.
    """
