"""The certificate in force: read by the engine process, handed to every worker, renewed on SIGHUP.

One process reads the files, so that all workers serve with the same certificate, and one that is
started again serves with what was last found to be good, whatever the files hold by then.
"""

import socket
from datetime import UTC, datetime
from typing import Final

from pesalango_server.http.certificates import (
    CertificateFacts,
    describe_certificate,
    read_material,
)
from pesalango_server.http.tls import TlsUnusable
from pesalango_server.main.renewals import encode_renewal
from pesalango_server.settings import Settings
from pesalango_server.telemetry import get_logger

SEND_WITHIN_S: Final = 1.0

log = get_logger("tls")


class CertificateKeeper:
    """What the engine process knows of the certificate. Used by its main thread."""

    def __init__(self, settings: Settings) -> None:
        """Raises `TlsUnusable`."""
        self._files = settings.tls_certificate, settings.tls_key
        self.material = read_material(*self._files)
        self._workers: dict[int, socket.socket] = {}
        self._tell(self.facts, self.facts.find_fault(datetime.now(UTC)))

    @property
    def facts(self) -> CertificateFacts:
        """Of the certificate in force."""
        return describe_certificate(self.material.certificate)

    def add_worker(self, number: int) -> socket.socket:
        """What a worker hears of renewals by; it takes the place of its forerunner's."""
        ours, theirs = socket.socketpair()
        ours.settimeout(SEND_WITHIN_S)
        if number in self._workers:
            self._workers[number].close()
        self._workers[number] = ours
        return theirs

    def renew(self) -> None:
        """Read the files again, and have new connections served with what they hold.

        Where that cannot be served with, or is out of date while what is in force is not, all stays
        as it is.
        """
        try:
            material = read_material(*self._files)
        except TlsUnusable as error:
            log.error("certificate_not_renewed", reason=f"{error}; the one in force stays")
            return
        facts, now = describe_certificate(material.certificate), datetime.now(UTC)
        fault = facts.find_fault(now)
        if fault is not None and self.facts.find_fault(now) is None:
            reason = f"{self._files[0]}: {fault}; the one in force stays"
            log.error("certificate_not_renewed", reason=reason)
            return
        self.material = material
        self._tell(facts, fault)
        renewal = encode_renewal(material)
        for number, worker in self._workers.items():
            try:
                worker.sendall(renewal)
            except OSError as error:
                # It has ended, and the next one gets this certificate with its plan; or it hangs.
                log.warning("certificate_not_handed_over", worker=number, reason=str(error))

    def _tell(self, facts: CertificateFacts, fault: str | None) -> None:
        log.info("certificate_in_force", names=facts.names, until=facts.not_after.isoformat())
        if fault is not None:
            log.warning("certificate_out_of_date", reason=f"{self._files[0]}: {fault}")
