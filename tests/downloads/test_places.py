"""Which URLs the operator's list of places allows."""

import pytest

from headgate.downloads.faults import Refused
from headgate.downloads.internet import connected, is_special
from headgate.downloads.places import place_of, places_of, shown

LISTED = places_of(
    "https://data.example.com/fraud, http://10.0.0.7:8080 s3://Datasets/fraud/?region=eu-central-1 s3://open?anonymous=true"
    " az://container"
)


@pytest.mark.parametrize(
    "url",
    [
        "https://data.example.com/fraud/rows.csv",
        "https://DATA.example.com:443/fraud/2026/rows%20of%20may.csv",
        "https://data.example.com/fraud",
        "https://data.example.com/%66raud/rows.csv",
        "http://10.0.0.7:8080/anything",
        "s3://Datasets/fraud/rows.csv",
        "az://container/rows.parquet",
    ],
)
def test_what_lies_below_a_listed_place_is_allowed(url: str) -> None:
    LISTED.of(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://data.example.com/rows.csv",
        "https://data.example.com/fraudulent/rows.csv",
        "https://data.example.com:8443/fraud/rows.csv",
        "https://data.example.com.evil.com/fraud/rows.csv",
        "http://data.example.com/fraud/rows.csv",
        "http://10.0.0.7/anything",
        "http://167772167:8080/anything",
        "s3://datasets/fraud/rows.csv",
        "s3://Datasets/other/rows.csv",
        "gs://container/rows.parquet",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_anything_else_is_refused_with_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(
        Refused,
        match=r"is not allowed by the operator of the trainer: HEADGATE_DATA_PLACES lists (az://|other folders there)",
    ):
        LISTED.of(url)


def test_a_path_outside_of_an_allowed_host_is_named_with_what_to_do_and_without_the_paths_of_others() -> None:
    with pytest.raises(Refused) as refused:
        LISTED.of("https://data.example.com/private/rows.csv")

    assert str(refused.value) == (
        "https://data.example.com/private/rows.csv is not allowed by the operator of the trainer: HEADGATE_DATA_PLACES"
        " lists other folders there. Move the file to one of them, or ask the operator to add this one"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://data.example.com/fraud/../secret",
        "https://data.example.com/fraud/%2e%2e/secret",
        "https://data.example.com/fraud/%252e%252e%252fsecret",
        "https://data.example.com/fraud/..%2Fsecret",
        "https://data.example.com/fraud\\..\\secret",
        "https://data.example.com/fraud/\r\nHost: other",
        "https://user:secret@data.example.com/fraud/rows.csv",
        "https://data.example.com/fraud/rows.csv#part",
        "s3://Datasets/fraud/rows.csv?versionId=1",
        "https:///fraud/rows.csv",
        "https://data.exämple.com/fraud/rows.csv",
        "https://data.example.com:port/fraud/rows.csv",
        "https://data.example.com:0/fraud/rows.csv",
        "https://data.example.com:99999/fraud/rows.csv",
    ],
)
def test_a_url_that_can_be_misread_is_refused_and_its_password_is_not_shown(url: str) -> None:
    with pytest.raises(Refused) as refused:
        LISTED.of(url)
    assert "is not allowed" not in str(refused.value)
    assert "secret@" not in str(refused.value)


def test_the_narrowest_place_says_how_its_bucket_is_reached() -> None:
    places = places_of("s3://data s3://data/eu?region=eu-central-1&endpoint=https://s3.example.com")
    assert (places.of("s3://data/eu/rows.csv").region, places.of("s3://data/us/rows.csv").region) == (
        "eu-central-1",
        "",
    )
    assert places.of("s3://data/eu/rows.csv").endpoint == "https://s3.example.com"


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("data.example.com", "expected https://host/folder, s3://bucket/folder"),
        ("ftp://data.example.com", "expected https://host/folder"),
        ("https://user:pw@host", "must not hold a user name or a password"),
        ("https://host?region=x", "region is no option; only a bucket has options"),
        ("s3://bucket?regoin=x", "regoin is no option; after the ? endpoint, region, anonymous are known"),
        ("s3://bucket?anonymous=no", "anonymous is true or left out"),
        ("s3://bucket?endpoint=s3.example.com", "endpoint: expected a URL such as"),
        ("s3://bucket?endpoint=http://s3.example.com:99999", "endpoint: a port is from 1 to 65535"),
        ("s3://bucket?endpoint=http://s3.example.com:0", "endpoint: a port is from 1 to 65535"),
        ("https://host:0/folder", "a port is from 1 to 65535"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused_with_the_reason(entry: str, fault: str) -> None:
    with pytest.raises(
        ValueError, match="^" + entry.split("?")[0].replace("user:pw", r"\*\*\*").replace(".", r"\.")
    ) as wrong:
        place_of(entry)
    assert fault in str(wrong.value)


def test_every_wrong_place_of_a_list_is_named() -> None:
    with pytest.raises(ValueError, match=r"one: .*; two: .*"):
        places_of("one https://fine two")


def test_nothing_is_shown_of_a_signature() -> None:
    assert shown("https://host/rows.csv?X-Amz-Signature=abc#x") == "https://host/rows.csv"


@pytest.mark.parametrize(
    ("address", "special"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("2002:a9fe:a9fe::1", True),
        ("10.0.0.7", False),
        ("127.0.0.1", False),
        ("93.184.216.34", False),
    ],
)
def test_addresses_that_only_the_machine_itself_should_reach_are_known(address: str, special: bool) -> None:
    assert is_special(address) == special


def test_a_listed_name_that_leads_to_such_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(2, 1, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr("headgate.downloads.internet.socket.getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(Refused, match=r"data.example.com has the address 169.254.169.254"):
        connected("data.example.com", 80)
