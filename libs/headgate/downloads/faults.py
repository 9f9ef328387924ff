"""Why a download ends without its file."""


class DownloadFault(Exception):
    """A download has no result. The message says why and what helps; it holds no credentials."""


class Refused(DownloadFault):
    """Another try would end the same way: the address, the right to read it or the content is wrong."""


class Interrupted(DownloadFault):
    """The store did not answer, or the connection ended. Another try may succeed."""


class Stopped(DownloadFault):
    """Whoever asked for the file no longer wants it."""
