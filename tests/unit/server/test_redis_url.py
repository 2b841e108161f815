"""URLs of Sentinels and clusters: what they name, and what is wrong with others."""

import pytest

from teltonika.server.deployment import Cluster, OneServer, SentinelPrimary, deployment_of
from teltonika.server.errors import InvalidRedisUrlError
from teltonika.server.redis_link import check_redis_url
from teltonika.server.redis_url import parse_redis_url, redacted_url


def test_a_cluster_is_named_by_any_of_its_nodes() -> None:
    url = parse_redis_url("redis+cluster://gate:se%40same@one:7001,two,[::1]:7003")
    assert url.addresses == (("one", 7001), ("two", 6379), ("::1", 7003))
    assert url.at("three", 7004) == "redis://gate:se%40same@three:7004"
    assert url.arguments() == {"username": "gate", "password": "se@same"}


def test_a_primary_is_named_behind_its_sentinels() -> None:
    url = parse_redis_url(
        "rediss+sentinel://:sesame@one,two:26380/main/2?ssl_ca_certs=ca.pem"
        "&sentinel_username=watch&sentinel_password=dog&socket_timeout=3"
    )
    assert (url.addresses, url.service) == ((("one", 26379), ("two", 26380)), "main")
    assert url.at("::1", 6379) == (
        "rediss://:sesame@[::1]:6379/2?ssl_ca_certs=ca.pem&socket_timeout=3"
    )
    assert url.sentinel_arguments() == {
        "socket_timeout": 2.0,
        "ssl": True,
        "ssl_ca_certs": "ca.pem",
        "username": "watch",
        "password": "dog",
    }


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://one:6379/1", OneServer),
        ("redis+sentinel://one/main", SentinelPrimary),
        ("redis+cluster://one,two", Cluster),
        ("rediss+cluster://one:7001/0?ssl_cert_reqs=none", Cluster),
    ],
)
def test_a_url_that_is_right_says_of_what_kind_it_is(url: str, kind: type) -> None:
    assert check_redis_url(url) == url
    assert isinstance(deployment_of(url), kind)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://sesame:26379",
        "redis+sentinel://one/main/sesame",
        "redis+sentinel://one/main/0/sesame",
        "redis+cluster://",
        "redis+cluster://one:sesame",
        "redis+cluster://one,,two",
        "redis+cluster://one/1",
        "redis+cluster://one?sesame=1",
        "redis+magic://sesame",
        "http+cluster://sesame",
        "unix+cluster:///sesame",
    ],
)
def test_any_other_is_wrong_and_never_repeated(url: str) -> None:
    with pytest.raises(InvalidRedisUrlError, match="not a Redis URL: expected") as caught:
        check_redis_url(url)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis+cluster://gate:sesame@one:1,two:2", "redis+cluster://gate@one:1,two:2"),
        (
            "redis+sentinel://:sesame@one,two/main?sentinel_password=dog&db=1",
            "redis+sentinel://one,two/main?db=1",
        ),
    ],
)
def test_a_url_is_told_without_its_passwords(url: str, told: str) -> None:
    assert redacted_url(url) == told
