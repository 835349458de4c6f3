"""What the store refuses."""


class StoreError(RuntimeError):
    """The database or the audit key cannot be opened, read or written. What was being written is not kept."""
