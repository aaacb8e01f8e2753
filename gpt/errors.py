"""How this project says that something is wrong."""


class UserError(ValueError):
    """Something the user can put right. Its message is one line: what is wrong, and what to do."""
