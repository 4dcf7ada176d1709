"""Why an audit ends without a record."""


class InputError(Exception):
    """Something the user handed in can't be used; the message says what, where and what to do.

    The command line prints the message alone and ends with exit code 2.
    """


class AuditBrokenError(Exception):
    """The audit can't complete, through no fault of the input that could be named.

    The command line prints the message alone and ends with exit code 3.
    """
