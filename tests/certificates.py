"""Certificates for tests, as the PEM files that the commands take."""

from pathlib import Path

import trustme


class Certificates:
    """A CA with a server's and a client's pair, and a foreign CA with a client's.

    The server's are for ``server_names``. Nobody who trusts ``ca`` alone trusts what
    the foreign one signed.
    """

    def __init__(
        self, directory: Path, server_names: tuple[str, ...] = ("localhost", "127.0.0.1")
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.ca = directory / "ca.pem"
        self.server_cert = directory / "server.pem"
        self.server_key = directory / "server.key"
        self.client_cert = directory / "client.pem"
        self.client_key = directory / "client.key"
        self.foreign_ca = directory / "foreign-ca.pem"
        self.foreign_client_cert = directory / "foreign-client.pem"
        self.foreign_client_key = directory / "foreign-client.key"
        self._server_names = server_names
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(self.ca)
        foreign_ca = trustme.CA(organization_name="foreign")
        foreign_ca.cert_pem.write_to_path(self.foreign_ca)
        self.renew_server()
        _write(self._ca.issue_cert("device@localhost"), self.client_cert, self.client_key)
        _write(
            foreign_ca.issue_cert("device@localhost"),
            self.foreign_client_cert,
            self.foreign_client_key,
        )

    def renew_server(self) -> None:
        """A new certificate and a new key of the server's, over the old files."""
        _write(self._ca.issue_cert(*self._server_names), self.server_cert, self.server_key)


def _write(pair: trustme.LeafCert, cert: Path, key: Path) -> None:
    cert.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    key.write_bytes(pair.private_key_pem.bytes())
