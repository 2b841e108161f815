"""Writes the rules of docs/redis.md for a user of Redis: `python docs/make_rights.py`."""

import re
import textwrap
from pathlib import Path

from teltonika.server import ServerSettings
from teltonika.server.authority import Authority
from teltonika.server.doctor.rights import least_rules

PAGE = Path(__file__).with_name("redis.md")
SETTINGS = ServerSettings(
    authority=Authority.ALLOW_LIST,
    stream_shards=3,
    stream_max_bytes=1,
    redis_url="redis+cluster://node:6379",
)
"""That need the most."""


def with_rules(page: str) -> str:
    """The page with the rules as they are in the code."""
    rules = textwrap.fill(
        " ".join(("ACL SETUSER teltonika on '>PASSWORD'", *least_rules(SETTINGS))),
        95,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    text = f"```text\n{rules}\n```\n"
    place = re.compile(r"(?<=<!-- rights -->\n).*?(?=<!-- end -->)", re.DOTALL)
    return place.sub(lambda _: text, page, count=1)


if __name__ == "__main__":
    PAGE.write_text(with_rules(PAGE.read_text()))
