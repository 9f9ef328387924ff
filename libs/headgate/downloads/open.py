"""From a URL to the source that reads it."""

from headgate.downloads.buckets import bucket_file
from headgate.downloads.places import BUCKETS, address_of
from headgate.downloads.source import Source
from headgate.downloads.web import Web, web_file


def source_of(url: str, web: Web) -> Source:
    """The file that a URL names. Raises Refused when the operator does not allow its place."""
    web.places.of(url)
    return bucket_file(url, web) if address_of(url).scheme in BUCKETS else web_file(url, web)
