"""What nobody can answer as asked."""


class AskError(ValueError):
    """The question cannot be answered as it was asked: says what was expected. Nothing has changed."""
