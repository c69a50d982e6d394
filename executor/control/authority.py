"""The certificate authority of one transfer: made for it, held in memory, gone with it.

A certificate names its holder's role and gateway in a URI (`tradewind://TRANSFER/ROLE/GATEWAY`);
who may call what is decided by that role. Certificates are short-lived.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from datasets.errors import SessionRefused
from executor.control.credentials import ROLES, Credentials, Identity, host_name

LIFETIME = datetime.timedelta(hours=24)
_SKEW = datetime.timedelta(minutes=5)


class Authority:
    """Issues the certificates of one transfer, or of a site, whose own file alone has its key."""

    def __init__(
        self,
        transfer: str,
        *,
        now: datetime.datetime,
        lifetime: datetime.timedelta = LIFETIME,
        key_pem: bytes | None = None,
    ) -> None:
        """`key_pem`: the key of an authority that goes on, a site's; by default a new one."""
        self.transfer = transfer
        self._now = now
        self._lifetime = lifetime
        self._key = ec.generate_private_key(ec.SECP256R1()) if key_pem is None else _key_of(key_pem)
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
            .not_valid_after(self._now + self._lifetime)
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
            key_pem=_pem_of(key),
        )

    def key_pem(self) -> bytes:
        """The authority's own key, for a site that keeps its identity. Never logged."""
        return _pem_of(self._key)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _key_of(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SessionRefused("an authority's key is no key on a curve")
    return key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
