"""A certificate's days and names, looked at from other days."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from teltonika.server.doctor import Finding, Outcome
from teltonika.server.doctor.certificates import check_certificates

ENDS = datetime(2036, 5, 1, tzinfo=UTC)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that ends at `ENDS`, behind it its CA's; and its key."""
    ca = trustme.CA()
    leaf = ca.issue_cert("gate.example", not_after=ENDS)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(leaf.cert_chain_pems[0].bytes() + ca.cert_pem.bytes())
    key.write_bytes(leaf.private_key_pem.bytes())
    key.chmod(0o600)
    return cert, key


def found(
    pair: tuple[Path, Path], now: datetime, client_ca: Path | None = None
) -> dict[str, Finding]:
    return {one.check: one for one in check_certificates(*pair, client_ca, now)}


@pytest.mark.parametrize(
    ("before_the_end", "outcome"),
    [
        (timedelta(days=22), Outcome.OK),
        (timedelta(days=20), Outcome.WARNING),
        (timedelta(seconds=1), Outcome.WARNING),
        (timedelta(0), Outcome.FAILURE),
        (timedelta(days=-400), Outcome.FAILURE),
    ],
)
def test_a_certificate_that_ends(
    pair: tuple[Path, Path], before_the_end: timedelta, outcome: Outcome
) -> None:
    now = ENDS - before_the_end
    expiry = found(pair, now, client_ca=pair[0])
    assert expiry["certificate-expiry"].outcome is outcome
    assert expiry["client-ca-expiry"].outcome is outcome
    assert "2036-05-01" in expiry["certificate-expiry"].found


def test_one_that_has_not_begun(pair: tuple[Path, Path]) -> None:
    finding = found(pair, datetime(1990, 1, 1, tzinfo=UTC))["certificate-expiry"]
    assert finding.outcome is Outcome.FAILURE
    assert "not valid before" in finding.found


def test_a_file_that_is_not_there_is_all_that_is_told(tmp_path: Path) -> None:
    (finding,) = check_certificates(tmp_path / "none.pem", None, None)
    assert finding.outcome is Outcome.FAILURE
    assert "cannot be read" in finding.found
