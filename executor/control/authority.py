"""The certificate authority of one transfer: made for it, held in memory, gone with it.

A certificate names its holder's role and gateway in a URI (`tradewind://TRANSFER/ROLE/GATEWAY`);
who may call what is decided by that role. Certificates are short-lived.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from datasets.errors import SessionRefused

ROLES = ("client", "source", "relay", "destination")
LIFETIME = datetime.timedelta(hours=24)
_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a certificate says its holder is."""

    transfer: str
    role: str
    gateway: str

    def uri(self) -> str:
        """As it stands in the certificate."""
        return f"tradewind://{self.transfer}/{self.role}/{quote(self.gateway, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A certificate with its key and the authority's certificate, as PEM. Never logged."""

    authority_pem: bytes
    certificate_pem: bytes
    key_pem: bytes


def host_name(gateway: str) -> str:
    """The DNS name in a gateway's certificate, which a caller insists on."""
    return gateway.replace(":", "-").replace("#", "-") + ".tradewind"


def identity_of(uri: str) -> Identity:
    """The identity in a certificate's URI. Raises: SessionRefused."""
    scheme, _, rest = uri.partition("://")
    parts = rest.split("/")
    if scheme != "tradewind" or len(parts) != 3 or parts[1] not in ROLES:
        raise SessionRefused("a certificate does not name a role of a transfer")
    return Identity(transfer=parts[0], role=parts[1], gateway=unquote(parts[2]))


class Authority:
    """Issues the certificates of one transfer. Its key never leaves this object."""

    def __init__(self, transfer: str, *, now: datetime.datetime) -> None:
        self.transfer = transfer
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"tradewind transfer {transfer}")
        self._certificate = (
            self._builder(name, name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _SKEW)
            .not_valid_after(self._now + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )

    def issue(self, *, role: str, gateway: str) -> Credentials:
        """A certificate and key for one holder. Raises: SessionRefused on an unknown role."""
        if role not in ROLES:
            raise SessionRefused(f"there is no role {role!r}")
        key = ec.generate_private_key(ec.SECP256R1())
        identity = Identity(transfer=self.transfer, role=role, gateway=gateway)
        certificate = (
            self._builder(_name(gateway), self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [
                        x509.UniformResourceIdentifier(identity.uri()),
                        x509.DNSName(host_name(gateway)),
                    ]
                ),
                critical=False,
            )
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Credentials(
            authority_pem=self._certificate.public_bytes(serialization.Encoding.PEM),
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            key_pem=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
