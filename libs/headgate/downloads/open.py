"""From a URL to the source that reads it."""

from headgate.downloads.buckets import bucket_file
from headgate.downloads.places import BUCKETS, Places, address_of
from headgate.downloads.source import Source
from headgate.downloads.web import web_file


def source_of(url: str, places: Places, credentials: str = "") -> Source:
    """The file that a URL names. Raises Refused when the operator does not allow its place."""
    places.of(url)
    engine = bucket_file if address_of(url).scheme in BUCKETS else web_file
    return engine(url, places, credentials)
