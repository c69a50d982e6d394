"""Who we are to an S3 store: from the environment, or a profile of the user's AWS files.

Never from arguments, so that a secret stands in no list of processes and no history.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError
from executor.endpoints.s3_signature import Credentials

DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Credentials, and the region that signatures name."""

    credentials: Credentials
    region: str


def find_identity(environment: Mapping[str, str] | None = None) -> Identity:
    """What AWS's own tools would use: the environment first, then the profile's files.

    Raises: InputError if neither holds a key.
    """
    known = os.environ if environment is None else environment
    profile = known.get("AWS_PROFILE", "default")
    settings = _profile(known, profile)
    region = (
        known.get("AWS_REGION")
        or known.get("AWS_DEFAULT_REGION")
        or settings.get("region")
        or DEFAULT_REGION
    )
    if known.get("AWS_ACCESS_KEY_ID") and known.get("AWS_SECRET_ACCESS_KEY"):
        credentials = Credentials(
            access_key=known["AWS_ACCESS_KEY_ID"],
            secret_key=known["AWS_SECRET_ACCESS_KEY"],
            token=known.get("AWS_SESSION_TOKEN", ""),
        )
    elif settings.get("aws_access_key_id") and settings.get("aws_secret_access_key"):
        credentials = Credentials(
            access_key=settings["aws_access_key_id"],
            secret_key=settings["aws_secret_access_key"],
            token=settings.get("aws_session_token", ""),
        )
    else:
        raise InputError(
            "No credentials for the object store: set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, or write the profile {profile!r} with `aws configure`."
        )
    return Identity(credentials=credentials, region=region)


def _profile(known: Mapping[str, str], profile: str) -> dict[str, str]:
    """The settings of a profile in both files; those of the credentials file win."""
    home = Path(known.get("HOME") or Path.home())
    config = Path(known.get("AWS_CONFIG_FILE") or home / ".aws" / "config")
    shared = Path(known.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    section = profile if profile == "default" else f"profile {profile}"
    return {**_section(config, section), **_section(shared, profile)}


def _section(path: Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        # The error's own text may quote a line of the file, which may be a secret.
        raise InputError(f"Cannot read {path}: {type(error).__name__}.") from None
    return dict(parser[name]) if parser.has_section(name) else {}
