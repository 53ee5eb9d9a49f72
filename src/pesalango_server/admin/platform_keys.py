"""Platform keys: their public halves for everybody, and another private one of the operator's."""

import asyncio

from pesalango_server.admin import contract
from pesalango_server.admin.errors import AdminError, ErrorCode, refuse
from pesalango_server.admin.ledgers import submit
from pesalango_server.applications.commands import KeepPlatformKey
from pesalango_server.applications.model import ENVIRONMENTS
from pesalango_server.applications.platform_keys import (
    PlatformKeyUnusable,
    check_platform_key,
    encode_public_key,
)
from pesalango_server.http.context import WorkerContext


class PlatformKeys:
    """What the admin API does with the platform keys. A private one goes in, and never out."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    async def show(self) -> contract.PlatformKeys:
        """The public keys."""
        kept = (await self._context.configuration.refresh()).platform_keys
        return contract.PlatformKeys(
            **{environment: encode_public_key(kept[environment]) for environment in ENVIRONMENTS}
        )

    async def replace(
        self, environment: str, private_key: str, *, actor: str
    ) -> contract.PlatformKeys:
        """Give an environment another key; the public keys afterwards."""
        if environment not in ENVIRONMENTS:
            raise AdminError(
                ErrorCode.NOT_FOUND,
                f"an environment is {' or '.join(ENVIRONMENTS)}",
                "environment",
            )
        try:
            # A decryption is part of it, which is not for the event loop.
            checked = await asyncio.to_thread(check_platform_key, private_key)
        except PlatformKeyUnusable as error:
            raise refuse("private_key", str(error)) from None
        await submit(
            self._context.platform_link,
            KeepPlatformKey(
                ledger=0, actor=actor, environment=environment, private_key=checked, replaces=True
            ),
        )
        return await self.show()
