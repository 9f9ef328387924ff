"""One rule says which address a record may name. It holds for every command, and a recorded address stays readable."""

from collections.abc import Callable

import pytest

from headgate.domain.address import PORT_RULE
from headgate.domain.refusal import Refused
from headgate.domain.repository import (
    CREDENTIALS_RULE,
    DATA_FORM_RULE,
    DATA_PORT_RULE,
    DATA_RULE,
    DOWNLOAD_FORM_RULE,
    DOWNLOAD_LENGTH_RULE,
    FORM_RULE,
    LENGTH_RULE,
    MAX_REPOSITORY_CHARACTERS,
    PRINTABLE_RULE,
    QUERY_RULE,
    broken_data_rule,
    broken_download_rule,
    broken_rule,
)
from headgate.domain.texts import as_it_may_be_recorded
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import commit, given

ACCEPTED = [
    "/srv/git/fraud",
    "/srv/git/a fraud?x#y",
    "https://git.example.com",
    "http://git.example.com:8080/team/fraud.git",
    "https://[2001:db8::1]:8443/team/@scope/fraud",
    "ssh://git.example.com/fraud",
    "ssh://git@git.example.com:2222/~team/fraud",
    "git@git.example.com:team/fraud.git",
    "file:///srv/git/a%20fraud",
]
REFUSED = [
    ("https:/user:s3cret@git.example.com/fraud", CREDENTIALS_RULE),
    ("https:user:s3cret@git.example.com/fraud", CREDENTIALS_RULE),
    ("https:///user:s3cret@git.example.com/fraud", CREDENTIALS_RULE),
    ("https:/s3cret@git.example.com/fraud", CREDENTIALS_RULE),
    ("user:s3cret@git.example.com:fraud.git", CREDENTIALS_RULE),
    ("git@https://user:s3cret@git.example.com", CREDENTIALS_RULE),
    ("https://git.example.com/fraud;access_token=s3cret", CREDENTIALS_RULE),
    ("https://git.example.com/fraud%3Faccess_token=s3cret", QUERY_RULE),
    ("https://git.example.com/fraud%253Faccess_token=s3cret", QUERY_RULE),
    ("https://git.example.com/fraud.git%23s3cret", QUERY_RULE),
    ("git@git.example.com:token=s3cret", CREDENTIALS_RULE),
    ("https://git.example.com/access_token=s3cret/fraud", CREDENTIALS_RULE),
    ("https://user%3As3cret%40git.example.com/fraud", CREDENTIALS_RULE),
    ("//user:s3cret@git.example.com/fraud", CREDENTIALS_RULE),
    ("//s3cret@git.example.com/fraud", CREDENTIALS_RULE),
    ("///user:s3cret@git.example.com/fraud", CREDENTIALS_RULE),
    ("//user:pa/s3cret@git.example.com/fraud", CREDENTIALS_RULE),
    ("//user%3As3cret%40git.example.com/fraud", CREDENTIALS_RULE),
    ("//git.example.com/s3cret", FORM_RULE),
    ("https://git.example.com/fraud?access_token=s3cret", QUERY_RULE),
    ("https://git.example.com/fraud?s3cret", QUERY_RULE),
    ("https://git.example.com/fraud#s3cret", QUERY_RULE),
    ("file:///srv/fraud?private_token=s3cret", QUERY_RULE),
    ("git@git.example.com:fraud#token=s3cret", QUERY_RULE),
    ("ext::sh -c s3cret", FORM_RULE),
    ("--upload-pack=s3cret", FORM_RULE),
    ("ssh://-oProxyCommand=s3cret/fraud", FORM_RULE),
    ("git@git.example.com:-s3cret", FORM_RULE),
    ("git@-s3cret:fraud", FORM_RULE),
    ("HTTPS://git.example.com/fraud", FORM_RULE),
    ("ftp://git.example.com/fraud", FORM_RULE),
    ("https:///fraud", FORM_RULE),
    ("https://git.example.com/a fraud", FORM_RULE),
    ("file://git.example.com/fraud", FORM_RULE),
    ("git.example.com:fraud", FORM_RULE),
    ("../fraud", FORM_RULE),
    ("~/fraud", FORM_RULE),
    ("C:/fraud", FORM_RULE),
    ("/srv/\x1b[31mfraud", PRINTABLE_RULE),
    ("https://git.example.com/fraud\n", PRINTABLE_RULE),
    ("https://git.example.com/\N{RIGHT-TO-LEFT OVERRIDE}duarf", PRINTABLE_RULE),
    ("https://git.example.com:99999/s3cret", PORT_RULE),
    ("ssh://git@git.example.com:0/s3cret", PORT_RULE),
    ("/" + "s3cret" * 1000, LENGTH_RULE),
]
ENTRIES: list[Callable[[str], commands.CreateVersion | commands.CreateModel | commands.DescribeModel]] = [
    lambda address: commands.CreateVersion(repository=address, commit=commit(1)),
    lambda address: commands.CreateModel(repository=address),
    lambda address: commands.DescribeModel(repository=address),
]


@pytest.mark.parametrize("address", ACCEPTED)
def test_an_address_from_which_the_trainer_can_fetch_breaks_no_rule(address: str) -> None:
    assert broken_rule(address) == ""


@pytest.mark.parametrize(("address", "rule"), REFUSED)
def test_any_other_address_is_refused_with_the_rule_that_it_breaks(address: str, rule: str) -> None:
    assert broken_rule(address) == rule
    assert "s3cret" not in rule


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(("address", "rule"), REFUSED)
def test_no_command_brings_such_an_address_into_the_log(
    entry: Callable[[str], commands.CreateVersion], address: str, rule: str
) -> None:
    wanted = entry(address)
    past = given() if isinstance(wanted, commands.CreateModel) else given(facts.ModelCreated())
    refused = past.when(wanted).decision
    assert isinstance(refused, Refused)
    assert (refused.field, refused.rule) == ("repository", rule)
    assert address not in refused.message


@pytest.mark.parametrize("address", [address for address, rule in REFUSED if "s3cret" in address])
def test_a_refusal_keeps_nothing_of_such_an_address_that_may_be_secret(address: str) -> None:
    sent = commands.Command(describe_model=commands.DescribeModel(repository=address))
    assert "s3cret" not in str(as_it_may_be_recorded(sent))


def test_a_refusal_keeps_nothing_of_an_address_of_data_that_may_be_secret() -> None:
    update = configuration.UpdatedData(uri="https://data.example.com/rows.csv?s3cret")
    sent = commands.Command(create_version=commands.CreateVersion(updated_data=[update]))
    assert "s3cret" not in str(as_it_may_be_recorded(sent))


def test_a_recorded_address_that_is_refused_today_folds_and_stays_while_the_description_changes() -> None:
    old = "https://git.example.com/fraud?ref=main"
    past = given(facts.ModelCreated(repository=old), facts.VersionCreated(version=1, repository=old, commit=commit(1)))
    assert past.when(commands.DescribeModel(description="card payments", repository=old)).decision == (
        facts.ModelDescribed(description="card payments", repository=old)
    )


@pytest.mark.parametrize(
    "uri",
    [
        "data/rows.csv",
        "data/some rows.csv",
        "../rows.csv",
        "file:///srv/rows%3F.csv",
        "https://data.example.com:8443/may/rows%20of%20may.csv",
        "http://[2001:db8::1]/rows.csv",
        "s3://bucket/rows.csv",
        "gs://bucket.example.com/may/rows.csv",
        "az://container/rows.csv",
    ],
)
def test_the_address_of_data_is_a_path_a_file_url_or_a_url_of_a_store(uri: str) -> None:
    assert broken_data_rule(uri) == ""


@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        ("ftp://data.example.com/rows.csv", DATA_FORM_RULE),
        ("https://data.example.com", DATA_FORM_RULE),
        ("s3:///rows.csv", DATA_FORM_RULE),
        ("//data.example.com/rows.csv", DATA_FORM_RULE),
        ("//user:s3cret@data.example.com/rows.csv", DATA_RULE),
        ("data/rows.csv%3Ftoken=s3cret", DATA_RULE),
        ("s3://bucket/some rows.csv", DATA_FORM_RULE),
        ("file://data.example.com/rows.csv", DATA_FORM_RULE),
        ("https://data.example.com/rows.csv?X-Amz-Signature=s3cret", DATA_RULE),
        ("data/rows.csv?token=s3cret", DATA_RULE),
        ("file:///srv/rows.csv#s3cret", DATA_RULE),
        ("https:/user:s3cret@data.example.com/rows.csv", DATA_RULE),
        ("user:s3cret@data.example.com:rows.csv", DATA_RULE),
        ("data/\x1b[31mrows.csv", PRINTABLE_RULE),
        ("https://data.example.com:65536/rows.csv", DATA_PORT_RULE),
        ("http://data.example.com:0/rows.csv", DATA_PORT_RULE),
    ],
)
def test_any_other_address_of_data_is_refused(uri: str, rule: str) -> None:
    assert broken_data_rule(uri) == rule


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://models.example.com:8443/trees.onnx", ""),
        ("az://models/trees.onnx", ""),
        ("file:///srv/trees.onnx", DOWNLOAD_FORM_RULE),
        ("models/trees.onnx", DOWNLOAD_FORM_RULE),
        ("", DOWNLOAD_FORM_RULE),
        ("ftp://models.example.com/trees.onnx", DOWNLOAD_FORM_RULE),
        ("https://models.example.com", DOWNLOAD_FORM_RULE),
        ("https://user:s3cret@models.example.com/trees.onnx", DATA_RULE),
        ("https://models.example.com/trees.onnx?sig=s3cret", DATA_RULE),
        ("https://models.example.com:0/trees.onnx", DATA_PORT_RULE),
        (f"https://models.example.com/{'x' * MAX_REPOSITORY_CHARACTERS}", DOWNLOAD_LENGTH_RULE),
    ],
)
def test_a_download_has_a_url_of_a_server_or_a_bucket_without_secrets(url: str, rule: str) -> None:
    assert broken_download_rule(url) == rule
