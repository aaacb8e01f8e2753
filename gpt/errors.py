"""The one exception of this project."""


class UserError(ValueError):
    """A mistake that the user can correct. Its message is one line: what is wrong, and what to do."""
