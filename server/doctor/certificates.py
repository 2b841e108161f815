"""Whether devices would accept the server's certificate, today and in three weeks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from teltonika.codecs import TlsError
from teltonika.server.doctor.finding import Finding, failure, ok, warning
from teltonika.server.tls import ServerTls

SOON = timedelta(days=21)


def check_certificates(
    cert: Path, key: Path | None, client_ca: Path | None, now: datetime | None = None
) -> Iterator[Finding]:
    """The files that a server would be given; ``now`` is the moment to look at them from."""
    now = now or datetime.now(UTC)
    try:
        ServerTls(cert, key, client_ca)
    except TlsError as error:
        yield failure("certificate", str(error), "give PEM files that belong together")
        return
    yield ok("certificate", f"{cert} and its private key belong together")
    yield from _check_key_file(key or cert)
    try:
        chain = _read(cert)
        issuers = [] if client_ca is None else _read(client_ca)
    except ValueError as error:
        yield warning("certificate", f"it cannot be looked into: {error}", "make it anew")
        return
    yield _check_names(chain[0])
    yield _check_dates("certificate-expiry", cert, chain, now)
    if client_ca is not None:
        yield _check_dates("client-ca-expiry", client_ca, issuers, now)


def _read(file: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(file.read_bytes())


def _check_key_file(file: Path) -> Iterator[Finding]:
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        yield warning(
            "certificate-key",
            f"others than its owner may read {file} (mode {mode:03o})",
            f"chmod 600 {file}, owned by the user whom the server runs as",
        )


def _check_names(leaf: x509.Certificate) -> Finding:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return warning(
            "certificate-names",
            "it has no subject alternative name: a device that checks names refuses it",
            "have it issued for the name or address that devices are set to",
        )
    told = [
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    ]
    return ok("certificate-names", f"devices may be set to {', '.join(told)}")


def _check_dates(
    check: str, file: Path, certificates: list[x509.Certificate], now: datetime
) -> Finding:
    """Of all certificates in a file the one that ends first counts."""
    first = min(certificates, key=lambda one: one.not_valid_after_utc)
    latest = max(certificates, key=lambda one: one.not_valid_before_utc)
    until = f"{first.not_valid_after_utc:%Y-%m-%d}"
    renew = "renew it, then send the server SIGHUP: connections stay"
    if first.not_valid_after_utc <= now:
        return failure(check, f"{file} has expired on {until}", renew)
    if latest.not_valid_before_utc > now:
        begins = f"{latest.not_valid_before_utc:%Y-%m-%dT%H:%MZ}"
        return failure(
            check, f"{file} is not valid before {begins}", "wait until then, or set the clock"
        )
    if first.not_valid_after_utc - now < SOON:
        return warning(check, f"{file} expires on {until}", renew)
    return ok(check, f"{file} is valid until {until}")
