"""What an installation needs before it can serve, made where it is absent.

Secrets and platform keys are inserted once; `up` adds the user's world, application and token,
and writes them to `credentials.json`.
"""

import base64
import os
import secrets
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pesalango_server.applications.commands import (
    AddAdminToken,
    AddApplication,
    AddWorld,
    KeepPlatformKey,
    KeepSecret,
    RotateApiKey,
)
from pesalango_server.applications.keys import (
    PEPPER_BYTES,
    PEPPER_NAMES,
    CredentialHasher,
    make_admin_token,
    make_api_key,
)
from pesalango_server.applications.model import ENVIRONMENTS, SESSION_LIFE_S, Configuration
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.kernel.message import AnyOutcome, Done
from pesalango_server.main.engines import EngineUnit
from pesalango_server.sandbox.seed import (
    ALL_PRODUCTS,
    ORGANISATION_CODES,
    SELF_CHECK_ORGANISATION,
)

USER_WORLD = "user"
SELF_CHECK_WORLD = "self-check"
OPENAPI_WORLD = "openapi"
USER_APPLICATION = "first-application"
SELF_CHECK_APPLICATION = "self-check"

_ACTOR = "start-up"
_MARKET_PATHS = tuple(market.path_value for market in MARKETS)


class EnvironmentCredentials(msgspec.Struct):
    """How to call one environment; `public_key` is base64 of the DER form."""

    public_key: str
    api_key: str
    service_provider_code: str
    markets: tuple[str, ...]


class Credentials(msgspec.Struct):
    """The content of `credentials.json`."""

    base_url: str
    admin_url: str
    admin_token: str
    sandbox: EnvironmentCredentials
    openapi: EnvironmentCredentials


class Bootstrap:
    """Runs start-up's commands on the platform's engine before anybody else can."""

    def __init__(self, platform: EngineUnit, configuration: Configuration) -> None:
        self._platform = platform
        self._configuration = configuration
        self.notes: list[str] = []

    def _run(self, command: object) -> Done:
        outcome: AnyOutcome = self._platform.run_now(command)  # type: ignore[arg-type]
        if not isinstance(outcome, Done):
            raise RuntimeError(  # noqa: TRY004 - a refusal, not a wrong type
                f"start-up could not prepare the installation: {outcome}"
            )
        return outcome

    def ensure_secrets(self, *, key_bits: int) -> bool:
        """Make the peppers and platform keys that are absent; whether anything was made."""
        is_changed = False
        for name in PEPPER_NAMES:
            if name not in self._configuration.secrets:
                self._run(KeepSecret(0, _ACTOR, name, secrets.token_hex(PEPPER_BYTES)))
                is_changed = True
        for environment in ENVIRONMENTS:
            if environment not in self._configuration.platform_keys:
                self._run(KeepPlatformKey(0, _ACTOR, environment, _make_private_key(key_bits)))
                is_changed = True
        return is_changed

    def ensure_worlds(self) -> dict[str, int]:
        """The worlds that every installation has, by name."""
        return {
            name: self._run(AddWorld(0, _ACTOR, environment, name, is_hidden)).ids[0]
            for environment, name, is_hidden in (
                ("sandbox", USER_WORLD, False),
                ("sandbox", SELF_CHECK_WORLD, True),
                ("openapi", OPENAPI_WORLD, False),
            )
        }

    def ensure_self_check_key(self, worlds: dict[str, int]) -> str:
        """A fresh API key of the hidden application; the one of the last start ends."""
        return self._ensure_application(
            SELF_CHECK_APPLICATION,
            is_hidden=True,
            places=(("sandbox", worlds[SELF_CHECK_WORLD], True),),
            known_key=None,
        )

    def ensure_credentials(
        self, present: Credentials | None, *, base_url: str, worlds: dict[str, int]
    ) -> Credentials:
        """The user's secrets: those in `present` while they are in force, else fresh ones."""
        hasher = CredentialHasher(self._configuration.secrets["credentials"])
        token = present.admin_token if present else ""
        if hasher.hash_admin_token(token) not in self._configuration.admin_tokens:
            if present:
                self.notes.append("the admin token in credentials.json was not valid; it is new")
            token = make_admin_token()
            token_hash = hasher.hash_admin_token(token)
            self._run(AddAdminToken(0, _ACTOR, "credentials.json", token_hash, replaces=True))
        api_key = self._ensure_application(
            USER_APPLICATION,
            is_hidden=False,
            places=(
                ("sandbox", worlds[USER_WORLD], True),
                ("openapi", worlds[OPENAPI_WORLD], True),
            ),
            known_key=present.sandbox.api_key if present else None,
        )
        return Credentials(
            base_url=base_url,
            admin_url=f"{base_url}/admin/v1",
            admin_token=token,
            sandbox=self._describe("sandbox", api_key),
            openapi=self._describe("openapi", api_key),
        )

    def _describe(self, environment: str, api_key: str) -> EnvironmentCredentials:
        return EnvironmentCredentials(
            public_key=encode_public_key(self._configuration.platform_keys[environment]),
            api_key=api_key,
            service_provider_code=SELF_CHECK_ORGANISATION,
            markets=_MARKET_PATHS,
        )

    def _ensure_application(
        self,
        name: str,
        *,
        is_hidden: bool,
        places: tuple[tuple[str, int, bool], ...],
        known_key: str | None,
    ) -> str:
        configuration = self._configuration
        hasher = CredentialHasher(configuration.secrets["credentials"])
        known = next((app for app in configuration.applications.values() if app.name == name), None)
        if known is not None and known_key is not None:
            owner = configuration.api_keys.get(hasher.hash_api_key(known_key))
            if owner is not None and owner.application == known.id:
                return known_key
        api_key = make_api_key()
        key_hash = hasher.hash_api_key(api_key)
        if known is not None:
            if not is_hidden:
                self.notes.append(f"the API key of {name} was lost or not valid; it is new")
            self._run(RotateApiKey(0, _ACTOR, known.id, key_hash, 0))
            return api_key
        self._run(
            AddApplication(
                0,
                _ACTOR,
                name,
                is_hidden,
                ALL_PRODUCTS,
                ("*",),
                (),
                ORGANISATION_CODES,
                _MARKET_PATHS,
                SESSION_LIFE_S,
                0,
                places,
                key_hash,
            )
        )
        return api_key


def _make_private_key(key_bits: int) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=key_bits)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def encode_public_key(private_key: str) -> str:
    """One line of base64 of the DER form, as the documentation hands public keys out."""
    key = serialization.load_pem_private_key(private_key.encode(), password=None)
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def read_credentials(path: Path) -> Credentials | None:
    """What a file of credentials holds; None where it is absent or cannot be read as one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except (OSError, msgspec.DecodeError):
        return None


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Replace the file at once: no reader ever sees half of it, and nobody else can read it."""
    body = msgspec.json.format(msgspec.json.encode(credentials), indent=2) + b"\n"
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
