"""What an installation needs before it can serve, made where it is absent.

Secrets and platform keys are inserted once; `up` adds the user's world, application and token,
and writes them to `credentials.json`.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from pesalango_server.applications.administration import (
    KEY_OVERLAP_MAX_MS,
    KEYS_PER_APPLICATION_MAX,
)
from pesalango_server.applications.commands import (
    AddAdminToken,
    AddApplication,
    AddWorld,
    KeepPlatformKey,
    KeepSecret,
    PlatformCommand,
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
from pesalango_server.applications.platform_keys import (
    PlatformKeyUnusable,
    check_platform_key,
    encode_public_key,
    make_platform_key,
)
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.gateway.bearer import ImplicitRejectionMissing, check_platform_keys
from pesalango_server.kernel.message import AnyOutcome, Done, RefusalKind, Refused
from pesalango_server.main.credentials import (
    FILE_NAME,
    USER_APPLICATION,
    Credentials,
    EnvironmentCredentials,
)
from pesalango_server.main.engines import EngineUnit
from pesalango_server.main.failures import ServerFailed
from pesalango_server.sandbox.seed import (
    ALL_PRODUCTS,
    ORGANISATION_CODES,
    SELF_CHECK_ORGANISATION,
)
from pesalango_server.settings import Settings, environment_name

USER_WORLD = "user"
SELF_CHECK_WORLD = "self-check"
OPENAPI_WORLD = "openapi"
SELF_CHECK_APPLICATION = "self-check"

KEY_FILE_BYTES_MAX = 65_536

_ACTOR = "start-up"
_DAY_MS = 86_400_000
_MARKET_PATHS = tuple(market.path_value for market in MARKETS)


class Bootstrap:
    """Runs start-up's commands on the platform's engine before anybody else can."""

    def __init__(self, platform: EngineUnit, configuration: Configuration) -> None:
        self._platform = platform
        self._configuration = configuration
        self.notes: list[str] = []

    def _run(self, command: PlatformCommand) -> Done:
        return self._require_done(self._platform.run_now(command))

    def _require_done(self, outcome: AnyOutcome) -> Done:
        if not isinstance(outcome, Done):
            raise RuntimeError(  # noqa: TRY004 - a refusal, not a wrong type
                f"start-up could not prepare the installation: {outcome}"
            )
        return outcome

    def ensure_secrets(self, settings: Settings) -> bool:
        """Make the peppers, and make or read the platform keys, that are absent; whether any was.

        Raises `ServerFailed` for a platform key that cannot be used.
        """
        present = self._configuration.platform_keys
        fresh = {
            environment: read_key_file(settings, environment)
            or make_platform_key(settings.platform_key_bits)
            for environment in ENVIRONMENTS
            if environment not in present
        }
        # All of them before the first is kept: a start that fails leaves none behind.
        require_usable_keys({**present, **fresh})
        for environment, private_key in fresh.items():
            self._run(KeepPlatformKey(0, _ACTOR, environment, private_key))
        missing = [name for name in PEPPER_NAMES if name not in self._configuration.secrets]
        for name in missing:
            self._run(KeepSecret(0, _ACTOR, name, secrets.token_hex(PEPPER_BYTES)))
        return bool(fresh or missing)

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
            overlap_ms=0,
        )

    def ensure_credentials(
        self,
        present: Credentials | None,
        *,
        base_url: str,
        admin_url: str,
        worlds: dict[str, int],
        certificate_file: str = "",
    ) -> Credentials:
        """The user's secrets: those in `present` while they are in force, else fresh ones."""
        hasher = CredentialHasher(self._configuration.secrets["credentials"])
        token = present.admin_token if present else ""
        known = self._configuration.admin_tokens.get(hasher.hash_admin_token(token))
        # A token that has an end was replaced by another one of its name.
        if known is None or known.ends_ms is not None:
            if present:
                self.notes.append(f"the admin token in {FILE_NAME} was not valid; it is new")
            token = make_admin_token()
            token_hash = hasher.hash_admin_token(token)
            self._run(AddAdminToken(0, _ACTOR, FILE_NAME, token_hash, replaces=True))
        api_key = self._ensure_application(
            USER_APPLICATION,
            is_hidden=False,
            places=(
                ("sandbox", worlds[USER_WORLD], True),
                ("openapi", worlds[OPENAPI_WORLD], True),
            ),
            known_key=present.sandbox.api_key if present else None,
            overlap_ms=KEY_OVERLAP_MAX_MS,
        )
        return Credentials(
            base_url=base_url,
            admin_url=admin_url,
            admin_token=token,
            sandbox=self._describe("sandbox", api_key),
            openapi=self._describe("openapi", api_key),
            certificate_file=certificate_file,
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
        overlap_ms: int,
    ) -> str:
        """The application's key: `known_key` while it is in force, else another one.

        Its other keys, which may be a user's, go on for `overlap_ms`.
        """
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
            ends = self._add_api_key(known.id, key_hash, overlap_ms=overlap_ms)
            if not is_hidden:
                self.notes.append(
                    f"the API key of {name} was lost or not valid; it is new, and those before it "
                    f"{ends}"
                )
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

    def _add_api_key(self, application: int, key_hash: str, *, overlap_ms: int) -> str:
        """Give an application a further key; what becomes of those before it, in words."""
        outcome = self._platform.run_now(RotateApiKey(0, _ACTOR, application, key_hash, overlap_ms))
        if overlap_ms and isinstance(outcome, Refused) and outcome.kind == RefusalKind.CONFLICT:
            # Without room for one more, a start-up that fails would leave nobody with a key.
            self._run(RotateApiKey(0, _ACTOR, application, key_hash, 0))
            return f"have ended, because they were {KEYS_PER_APPLICATION_MAX}, the most"
        self._require_done(outcome)
        return f"end within {overlap_ms // _DAY_MS} days"


def read_key_file(settings: Settings, environment: str) -> str | None:
    """The platform key in the file that the environment's setting names, if it names one.

    Raises `ServerFailed` for a file that cannot be read and one that holds no such key.
    """
    setting = f"platform_key_file_{environment}"
    path: str = getattr(settings, setting)
    if not path:
        return None
    place = f"{path}, the platform key of {environment} ({environment_name(setting)}),"
    try:
        with Path(path).open("rb") as file:
            content = file.read(KEY_FILE_BYTES_MAX)
        return check_platform_key(content.decode("utf-8", "replace"))
    except OSError as error:
        raise ServerFailed(f"{place} cannot be read: {error.strerror or error}") from error
    except PlatformKeyUnusable as error:
        raise ServerFailed(f"{place} cannot be used: {error}") from error


def require_usable_keys(platform_keys: Mapping[str, str]) -> None:
    """Raise `ServerFailed` unless bearers can be decrypted, safely, with every one of the keys."""
    for environment, private_key in platform_keys.items():
        try:
            check_platform_keys({environment: private_key})
        except ImplicitRejectionMissing as error:
            raise ServerFailed(str(error)) from error
        except (ValueError, TypeError) as error:
            raise ServerFailed(
                f"the platform key of {environment} in the database cannot be used; restore the "
                "table platform_keys from a backup, or take the row out of it and start again, "
                "which makes another key"
            ) from error
