"""Finds the signed URL of a file in a bucket. obstore signs it; the bytes then come like any others over HTTPS.

So redirects, limits and cancels have one place, and obstore, which follows redirects to any host, sends nothing itself.
"""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from headgate.domain.credentials import without_credentials
from headgate.downloads.credentials import Credentials, credentials_of
from headgate.downloads.faults import Refused
from headgate.downloads.places import Address, Place, address_of, shown
from headgate.downloads.web import Request, Web, WebFile

SIGNED_FOR = timedelta(hours=1)
"""How long one signed URL is valid. A download that takes longer asks for the rest with a new one."""
CONNECT, OUTAGE = timedelta(seconds=5), timedelta(seconds=5)
"""For the question who we are, where the environment refers to a server for it."""
ADVICE = (
    "the operator's file HEADGATE_GIT_CREDENTIALS or the trainer's environment has the bucket's credentials, which need"
    " the right to read; some stores answer this for a file that does not exist, too"
)
NOBODY = Credentials("nobody", base64.b64encode(b"nobody").decode())


def bucket_file(url: str, web: Web) -> WebFile:
    """A file in a bucket by its URL. Raises Refused when the bucket is not allowed."""
    address, place = address_of(url), web.places.of(url)
    return WebFile(shown(url), lambda: signed(address, place, web.credentials), web, ADVICE)


def signed(address: Address, place: Place, credentials: str) -> Request:
    """A request for the file that the bucket accepts from anybody for SIGNED_FOR. Raises Refused."""
    found = NOBODY if place.anonymous else credentials_of(credentials, address.scheme, address.host)
    try:
        store = STORES[address.scheme](address.host, place, found)
        url = obstore.sign(store, "GET", address.path.removeprefix("/"), SIGNED_FOR)
    except (BaseError, OSError, ValueError) as error:
        reason = without_credentials(next(iter(str(error).splitlines()), type(error).__name__))
        name = f"{address.scheme}://{address.host}"
        raise Refused(f"no credentials for {name} can be used: {reason}. {ADVICE[0].upper()}{ADVICE[1:]}") from error
    return Request(url.partition("?")[0] if place.anonymous else url, trusted=True)


def s3(bucket: str, place: Place, found: Credentials | None) -> S3Store:
    keys = {"access_key_id": found.user, "secret_access_key": found.password} if found else {}
    region = {"region": place.region} if place.region else {}
    options: dict[str, Any] = options_of(place) | keys | region
    return S3Store(bucket, **options)


def azure(container: str, place: Place, found: Credentials | None) -> AzureStore:
    keys = {"account_name": found.user, "account_key": found.password} if found else {}
    options: dict[str, Any] = options_of(place) | keys
    return AzureStore(container, **options)


def google(bucket: str, place: Place, found: Credentials | None) -> GCSStore:
    """The password is the path of the file with the service account's key. The user name counts for nothing."""
    options: dict[str, Any] = options_of(place) | ({"service_account_path": found.password} if found else {})
    return GCSStore(bucket, **options)


def options_of(place: Place) -> dict[str, Any]:
    endpoint = {"endpoint": place.endpoint} if place.endpoint else {}
    client = {"allow_http": place.endpoint.startswith("http://"), "connect_timeout": CONNECT}
    return {"client_options": client, "retry_config": {"retry_timeout": OUTAGE}, **endpoint}


STORES: dict[str, Callable[[str, Place, Credentials | None], S3Store | AzureStore | GCSStore]] = {
    "s3": s3,
    "az": azure,
    "gs": google,
}
