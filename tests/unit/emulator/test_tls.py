"""What TLS settings are made of, and which cannot be."""

import re
import ssl
from pathlib import Path

import pytest
from certificates import Certificates

from teltonika.codecs import TlsError
from teltonika.emulator import EmulatorSettings, TlsSettings

ENCRYPTED_KEY = """\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF

AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END EC PRIVATE KEY-----
"""


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


def test_a_device_speaks_plain_tcp_unless_told() -> None:
    assert EmulatorSettings().tls is None


def test_it_speaks_tls_1_2_or_later_and_verifies() -> None:
    context = TlsSettings().context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_insecure_verifies_nothing_and_is_no_older() -> None:
    context = TlsSettings(insecure=True).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_a_ca_file_is_trusted_instead_of_the_system(certificates: Certificates) -> None:
    context = TlsSettings(ca_file=certificates.ca).context
    (trusted,) = context.get_ca_certs(binary_form=True)
    assert trusted == ssl.PEM_cert_to_DER_cert(certificates.ca.read_text())


def test_they_are_equal_where_the_same_was_told(certificates: Certificates) -> None:
    assert TlsSettings(ca_file=certificates.ca) == TlsSettings(ca_file=certificates.ca)
    assert TlsSettings(ca_file=certificates.ca) != TlsSettings()
    assert len({TlsSettings(), TlsSettings()}) == 1


def test_a_key_may_be_in_the_certificates_file(certificates: Certificates, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.client_key.read_bytes() + certificates.client_cert.read_bytes())
    assert TlsSettings(cert_file=both).cert_file == both


@pytest.mark.parametrize("name", ["", ".example.com", "a..b", "a\0b"])
def test_a_name_no_certificate_can_have_is_refused(name: str) -> None:
    with pytest.raises(TlsError, match="is no name that a server's certificate can be for"):
        TlsSettings(server_name=name)


@pytest.mark.parametrize("name", ["example.com", "münchen.example", "127.0.0.1", "::1"])
def test_a_name_that_a_certificate_can_have_is_taken(name: str) -> None:
    assert TlsSettings(server_name=name).server_name == name


def test_what_has_no_effect_is_refused(certificates: Certificates) -> None:
    with pytest.raises(TlsError, match="a private key is of no use without its certificate"):
        TlsSettings(key_file=certificates.client_key)
    with pytest.raises(TlsError, match="of no use where nothing is verified"):
        TlsSettings(ca_file=certificates.ca, insecure=True)


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (None, "cannot be read: no such file or directory"),
        ("", "holds no certificate in PEM form"),
        ("\x30\x82 not PEM", "holds no certificate in PEM form"),
        (ENCRYPTED_KEY, "holds no certificate in PEM form"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "is broken",
        ),
    ],
)
@pytest.mark.parametrize("option", ["ca_file", "cert_file"])
def test_a_file_without_a_certificate_is_named_with_the_reason(
    option: str, contents: str | None, complaint: str, certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "broken.pem"
    if contents is not None:
        path.write_text(contents)
    key = {"key_file": certificates.client_key} if option == "cert_file" else {}
    with pytest.raises(TlsError, match=f"{re.escape(str(path))}.* {complaint}"):
        TlsSettings(**{option: path}, **key)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TlsError, match="cannot be read: is a directory"):
        TlsSettings(ca_file=tmp_path)


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (None, "cannot be read: no such file or directory"),
        ("nothing", "holds no private key in PEM form"),
        (ENCRYPTED_KEY, "is encrypted: give one that is not"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is broken"),
    ],
)
def test_a_file_without_a_usable_key_is_named_with_the_reason(
    contents: str | None, complaint: str, certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "broken.key"
    if contents is not None:
        path.write_text(contents)
    with pytest.raises(TlsError, match=f"{re.escape(str(path))} {complaint}"):
        TlsSettings(cert_file=certificates.client_cert, key_file=path)


def test_a_certificate_file_without_the_key_needs_a_key_file(certificates: Certificates) -> None:
    with pytest.raises(TlsError, match=r"client\.pem holds no private key in PEM form"):
        TlsSettings(cert_file=certificates.client_cert)


def test_a_key_that_does_not_fit_is_refused(certificates: Certificates) -> None:
    with pytest.raises(
        TlsError, match=r"server\.key does not belong to the certificate in .*\.pem"
    ):
        TlsSettings(cert_file=certificates.client_cert, key_file=certificates.server_key)
