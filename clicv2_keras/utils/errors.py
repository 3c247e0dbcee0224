"""What a user can mend: one line that says what is wrong, where, and what to do."""


class UserError(Exception):
    """A mistake in the input. The command line prints it as one line and exits with 2."""
