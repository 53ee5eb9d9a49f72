"""Commands that change the platform's configuration. Their ledger is 0.

Every command names its `actor` (whose token it was) for the audit trail.
"""

from pesalango_server.kernel.message import Command


class PlatformCommand(Command, frozen=True):
    """A command of the platform's engine."""

    actor: str


class AddWorld(PlatformCommand, frozen=True, tag=50):
    """Make a world; safe to repeat: a world of that name is the answer."""

    environment: str
    name: str
    is_hidden: bool = False


class AddApplication(PlatformCommand, frozen=True, tag=51):
    """Make an application with its first API key (as a hash); lists are checked by the caller."""

    name: str
    is_hidden: bool
    products: tuple[str, ...]
    origins: tuple[str, ...]
    sources: tuple[str, ...]
    organisations: tuple[str, ...]
    markets: tuple[str, ...]
    session_life_s: int
    activation_delay_ms: int
    worlds: tuple[tuple[str, int, bool], ...]
    key_hash: str


class ChangeApplication(PlatformCommand, frozen=True, tag=52):
    """Change what is given of an application; None leaves a setting as it is.

    `promoted` is (environment, whether) pairs.
    """

    application: int
    status: int | None = None
    products: tuple[str, ...] | None = None
    origins: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    organisations: tuple[str, ...] | None = None
    markets: tuple[str, ...] | None = None
    session_life_s: int | None = None
    activation_delay_ms: int | None = None
    promoted: tuple[tuple[str, bool], ...] = ()


class RotateApiKey(PlatformCommand, frozen=True, tag=53):
    """Give an application another API key; the present ones end after `overlap_ms`."""

    application: int
    key_hash: str
    overlap_ms: int


class AddAdminToken(PlatformCommand, frozen=True, tag=54):
    """Let the holder of a token administrate; `name` says who that is.

    A token of that name that is in force ends at once if it `replaces` it; else it is a conflict.
    """

    name: str
    token_hash: str
    replaces: bool = False


class KeepPlatformKey(PlatformCommand, frozen=True, tag=55):
    """Store an environment's private key (PEM); one that is there stays unless `replaces`."""

    environment: str
    private_key: str
    replaces: bool = False

    def __repr__(self) -> str:
        """Without the key."""
        return f"KeepPlatformKey(environment={self.environment!r}, replaces={self.replaces})"


class KeepSecret(PlatformCommand, frozen=True, tag=56):
    """Store one of the installation's own secrets, once and for ever; `value` is hexadecimal."""

    name: str
    value: str

    def __repr__(self) -> str:
        """Without the secret."""
        return f"KeepSecret(name={self.name!r})"
