import json
from collections.abc import Callable

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from headgate.domain.credentials import (
    as_addresses_are_read,
    as_it_may_be_kept,
    hides_nothing,
    holds_credentials,
    without_credentials,
)
from headgate.domain.refusal import Refused
from headgate.domain.repository import broken_data_rule, broken_rule
from headgate.domain.texts import as_it_may_be_recorded
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import commit, given

SECRET = [
    "https://ghp_token@git.example.com/team/model",
    "https://user:password@git.example.com/team/model",
    "HTTPS://user:password@git.example.com",
    "https://user:pass@word@git.example.com/team/model",
    "http://:password@git.example.com/team/model",
    "https://x@",
    "ssh://git:password@git.example.com/team/model",
    "git:password@git.example.com:team/model",
    "https:/user:password@git.example.com/team/model",
    "https:/ghp_token@git.example.com/team/model",
    "https:user:password@git.example.com/team/model",
    "user:pass:word@git.example.com:team/model",
    "file://user@/srv/model",
    "https://user:pa/ss@git.example.com/team/model",
    "https://user:pa?ss@git.example.com/team/model",
    "https://user:pa#ss@git.example.com/team/model",
    "https://user:12#34@git.example.com/team/model",
    "https://t0k#en@git.example.com/team/model",
    "//user:password@git.example.com/team/model",
    "//ghp_token@git.example.com/team/model",
    "//user:pa/ss@git.example.com/team/model",
]
PLAIN = [
    "https://git.example.com/team/model",
    "https://git.example.com/team/@scope/model",
    "https://git.example.com/model?reviewer=a@example.com",
    "https://git.example.com:8443/team/@scope/model",
    "https://git.example.com:8443?reviewer=a@example.com",
    "https://git.example.com/model#L10@main",
    "https://[2001:db8::1]:8443/team/@scope/model",
    "ssh://git@git.example.com/team/model",
    "ssh://git@git.example.com:2222/team/model",
    "git@git.example.com:team/model",
    "/srv/models/a@b:c@d",
    "file:///srv/model",
    "//git.example.com/team/@scope/model",
    "//services/gateway:image",
    "a//@scope",
]


@pytest.mark.parametrize("url", SECRET)
def test_a_url_with_a_user_name_or_a_password_holds_credentials(url: str) -> None:
    assert holds_credentials(url)


@pytest.mark.parametrize("url", PLAIN)
def test_an_ssh_user_and_an_at_sign_elsewhere_are_no_credentials(url: str) -> None:
    assert not holds_credentials(url)
    assert without_credentials(f"see {url}") == f"see {url}"


@for_all(
    st.from_regex(r"[A-Za-z0-9%:_.~@-]{1,30}", fullmatch=True).map(lambda secret: f"s3cret{secret}s3cret"),
    st.sampled_from(["https:", "http:", "ftp:", "git+https:", "", "see=", "x", "["]),
)
def test_no_text_shows_what_stands_before_a_host(secret: str, scheme: str) -> None:
    shown = without_credentials(f"fatal: {scheme}//{secret}@git.example.com/model cannot be read")
    assert "s3cret" not in shown
    assert "git.example.com/model cannot be read" in shown


@for_all(st.from_regex(r"[A-Za-z0-9%_.~/?#-]{1,30}", fullmatch=True))
def test_no_text_shows_a_password_whose_characters_are_not_escaped(secret: str) -> None:
    shown = without_credentials(f"redis://:s3cret{secret}@cache.example.com:6379/0 does not answer")
    assert "s3cret" not in shown
    assert "cache.example.com:6379/0 does not answer" in shown


@pytest.mark.parametrize(
    "form",
    [
        *("https:\\\\{}@h/x", "https:\\{}@h/x", "https:/\\{}@h/x", "https:\\/{}@h/x", "https:{}@h/x"),
        *("https:/{}@h/x", "https:///{}@h/x", "HTTPS://{}@h/x", "https\uff1a//{}@h/x", "https:\uff0f\uff0f{}@h/x"),
        *("ht\u200btps://{}@h/x", "https://{}\uff20h/x", "https%3A%2F%2F{}%40h/x", "https%253A%252F%252F{}%2540h/x"),
    ],
)
@for_all(
    st.sampled_from(["{}", "({})", "<{}>", '"{}"', "see={},"]),
    st.text(alphabet="aZ0'\"`<>[]{}()$!*+~%.-_:\u00e4", max_size=8).filter(lambda text: text.strip("0123456789")),
)
def test_a_text_with_an_address_of_any_form_hides_something_and_is_kept_without_it(
    form: str, word: str, noise: str
) -> None:
    text = f"see {word.format(form.format(f'user:s3{noise}cret'))} now"
    assert not hides_nothing(text)
    kept = as_it_may_be_kept(text)
    assert "s3" not in kept
    assert kept.startswith("see ")
    assert kept.endswith(" now")
    assert hides_nothing(kept)


@for_all(
    st.lists(
        st.sampled_from(
            [
                *("http://h:8080/x,", "ratio 3:4 @ noon", "a@example.com", "owner:alice@example.com", "at 12:30"),
                *("[2001:db8::1]:8443", "https://[2001:db8::1]:8443/@scope/x", "C:\\users\\a@b", "\\\\server\\share"),
                *("git@h:team/x.git", '{"url":"https://h:80","mail":"a@b.c"}', "{'u': 'http://h', 'm': 'a@b.c'}"),
                *(
                    "100% sure",
                    "it's 5 < 6 and a = b",
                    "python:3.11@sha256:0a1b",
                    "\uff11\uff1a\uff12",
                    "d\u00e9j\u00e0 vu",
                ),
                *("https://h/x?tab=a%20b&page=2", "https://***@h/x", "@scope/package", "re:\\d+@\\w", "a\nb\tc"),
            ]
        ),
        max_size=6,
    ).map(" ".join)
)
def test_prose_hides_nothing_and_is_kept_as_it_is(text: str) -> None:
    assert hides_nothing(text)
    assert as_it_may_be_kept(text) == text


@pytest.mark.parametrize("escaped", ["%3Ftoken=s3cret", "%3faccess_token%3Ds3cret", "%26sig=s3cret", "%23key=s3cret"])
def test_no_text_shows_a_secret_behind_an_escaped_question_mark(escaped: str) -> None:
    assert without_credentials(f"see https://h/x.git{escaped} now").endswith("*** now")


@pytest.mark.parametrize("url", SECRET)
@pytest.mark.parametrize(
    "command",
    [
        lambda url: commands.CreateVersion(repository=url, commit=commit(1)),
        lambda url: commands.CreateModel(repository=url),
        lambda url: commands.DescribeModel(repository=url),
    ],
)
def test_no_command_brings_credentials_into_the_log_and_the_refusal_does_not_show_them(
    command: Callable[[str], object], url: str
) -> None:
    wanted = command(url)
    past = given() if isinstance(wanted, commands.CreateModel) else given(facts.ModelCreated())
    refused = past.when(wanted).decision
    assert isinstance(refused, Refused)
    assert (refused.code, refused.field) == ("invalid-argument", "repository")
    assert "HEADGATE_GIT_CREDENTIALS" in refused.message
    assert url not in refused.message


def test_a_refusal_keeps_the_command_without_its_credentials() -> None:
    sent = commands.Command(
        command_id="c", create_version=commands.CreateVersion(repository=SECRET[1], commit="a", commit_message="fix")
    )
    kept = as_it_may_be_recorded(sent)
    assert kept.create_version == commands.CreateVersion(repository="***", commit="a", commit_message="fix")
    assert sent.create_version.repository == SECRET[1]
    assert as_it_may_be_recorded(commands.Command()) == commands.Command()


@pytest.mark.parametrize(
    "text",
    [
        *("x" * 1_000_000, "a1" * 500_000, "://" * 300_000, "@" * 1_000_000, "ssh://" * 100_000),
        *("a:b(" * 100_000, "a:" * 200_000, "?a_" * 100_000, "https:/" * 100_000, "://#" * 100_000),
        *("/" * 1_000_000, "//a:b" * 100_000, "//a%4" * 100_000, "%3F" * 300_000),
    ],
)
def test_a_long_text_without_credentials_stays_as_it_is(text: str) -> None:
    shown = f"{text} = "  # without a sign such as this one, nothing is searched
    assert without_credentials(shown) == shown
    assert as_addresses_are_read(shown)


PIECES = [
    *("password=", "token", "?", "&", "=", '"', "'", "\\", "://", ":/", "@"),
    *(":", "/", "#", "a", " ", "\n", "\x1b", "\u202e"),
]


@for_all(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_a_line_of_json_stays_one(text: str) -> None:
    masked = without_credentials(json.dumps({"message": text}, ensure_ascii=False))
    assert list(json.loads(masked)) == ["message"]


WORDS = st.text("ab12.-_", min_size=1, max_size=6)
BLANKS = st.sampled_from([" ", "  ", "\u00a0", "\u3000", "%20", "%2520", "%09", "+", " and a "])
SCHEMES = st.sampled_from(["https", "http", "HTTPS", "ftp", "s3", "postgres", "git+https"])
HOSTS = st.sampled_from(["git.example.com", "git.example.com:8443", "[::1]", "bucket"])
AROUND = st.sampled_from(["{}", "see {}", "({})", "fetched {} again", "a.b@c.org says {}"])


@for_all(SCHEMES, WORDS, WORDS, BLANKS, WORDS, HOSTS, AROUND)
def test_a_password_with_a_blank_in_it_comes_into_no_record(
    scheme: str, user: str, begin: str, blank: str, end: str, host: str, around: str
) -> None:
    url = f"{scheme}://{user}:s3cret{begin}{blank}{end}@{host}/fraud"
    assert broken_rule(url)
    assert broken_data_rule(url)
    text = around.format(url)
    assert not hides_nothing(text)
    assert "s3cret" not in as_it_may_be_kept(text)


@pytest.mark.parametrize(
    "text",
    [
        "see https://example.com: mail a@b.org",
        "https://example.com:8080 mail a@b.org",
        "https://example.com:8080/x, mail a@b.org",
        "http://host:80: refused, ask a@b.org",
        "see https://example.com/a:b and c@d.org",
        "// note: ask me@x.org",
    ],
)
def test_prose_with_a_url_and_an_address_of_mail_is_no_password(text: str) -> None:
    assert hides_nothing(text)
    assert without_credentials(text) == text
