"""`credentials.json`: what `pesalango-server up` leaves for clients on its machine."""

from pathlib import Path

import msgspec

from pesalango._errors import ConfigurationError
from pesalango._model import Environment


class _Place(msgspec.Struct, frozen=True):
    public_key: str
    api_key: str
    service_provider_code: str = ""


class _Content(msgspec.Struct, frozen=True):
    base_url: str
    sandbox: _Place
    openapi: _Place
    certificate_file: str = ""


class Credentials(msgspec.Struct, frozen=True):
    """What a client of one environment is made with."""

    base_url: str
    api_key: str
    public_key: str
    certificate_file: str | None
    service_provider_code: str
    """An organisation that the application acts for; empty where the file names none."""

    def __repr__(self) -> str:
        return f"Credentials({self.base_url!r})"


def read_credentials(path: str | Path, environment: Environment) -> Credentials:
    """What the file says of an environment. Raises `ConfigurationError`, never with a secret."""
    try:
        content = msgspec.json.decode(Path(path).read_bytes(), type=_Content)
    except OSError as failure:
        raise ConfigurationError(
            f"{path} cannot be read: {failure.strerror}; a gateway that was started by "
            "pesalango-server up writes it into its data directory"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as failure:
        raise ConfigurationError(f"{path} holds no credentials: {failure}") from None
    if environment not in {"sandbox", "openapi"}:
        raise ConfigurationError(f"environment {environment!r} is neither sandbox nor openapi")
    place: _Place = getattr(content, environment)
    return Credentials(
        base_url=content.base_url,
        api_key=place.api_key,
        public_key=place.public_key,
        certificate_file=content.certificate_file or None,
        service_provider_code=place.service_provider_code,
    )
