"""A client of the admin API, for the command line and for scripts in Python."""

import ssl
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import SplitResult, quote, urlsplit

import httpx2
import msgspec

from pesalango_server.admin import contract

T = TypeVar("T")

# Health answers 503 with a report of its own, unless even that fails.
_FAILURE = b'{"error":'

TIMEOUT_S = 60.0
"""A list of 10 000 customers takes a few seconds at most."""


class AdminCallFailed(Exception):
    """The server refused a call; the message says what to fix."""

    def __init__(self, status: int, error: contract.Error) -> None:
        place = f" ({error.field})" if error.field else ""
        super().__init__(f"{error.message}{place}")
        self.status = status
        self.code = error.code
        self.field = error.field


class AdminUnreachable(Exception):
    """There was no answer of an admin API; the message says what to do."""


def split_address(url: str) -> SplitResult:
    """The parts of an admin API's address. Raises `AdminUnreachable` for what cannot be one."""
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass  # Brackets that do not match, or a port that is no number.
    raise AdminUnreachable(
        f"{url} is no address of an admin API: it begins with http:// or https://, such as "
        "http://127.0.0.1:8080; nothing was sent"
    )


class AdminClient:
    """Calls the admin API at `url`; methods raise `AdminCallFailed` and `AdminUnreachable`."""

    def __init__(self, url: str, token: str, *, certificate_file: str = "") -> None:
        """`url` may leave the path out: it is `contract.PREFIX`.

        What `certificate_file` holds (PEM) is trusted beside the system's authorities, or those of
        `SSL_CERT_FILE`. Raises `AdminUnreachable`.
        """
        parts = split_address(url)
        path = parts.path.rstrip("/") or contract.PREFIX
        self._url = f"{parts.scheme}://{parts.netloc}{path}"
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            verify=_make_context(certificate_file) if parts.scheme == "https" else True,
            # A proxy of the outside world has no business between us and this machine.
            trust_env=parts.hostname not in {"127.0.0.1", "::1", "localhost"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        type_: type[T],
        *,
        body: contract.Request | None = None,
        query: contract.Request | None = None,
        accepts: Sequence[int] = (200, 201),
    ) -> T:
        """Any call of the contract: `path` is what follows the prefix, the answer a `type_`."""
        try:
            answer = self._client.request(
                method,
                f"{self._url}/{path}",
                params=_make_query(query),
                content=None if body is None else msgspec.json.encode(body),
                headers={} if body is None else {"Content-Type": "application/json"},
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise AdminUnreachable(
                    f"the certificate at {self._url} is not trusted here ({error}); set "
                    "SSL_CERT_FILE to the file of its authority; nothing was sent"
                ) from error
            raise AdminUnreachable(
                f"no server answers at {self._url}; start it with pesalango-server up, or name "
                "another one with --url"
            ) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise AdminUnreachable(
                f"{self._url} cannot be called ({error}); nothing was sent"
            ) from error
        except httpx2.HTTPError as error:
            raise AdminUnreachable(
                f"the call to {self._url} broke off ({type(error).__name__}: {error}); whether it "
                "took effect is not known"
            ) from error
        is_failure = answer.content.startswith(_FAILURE)
        if answer.status_code in accepts and not is_failure:
            return _decode(answer.content, type_, self._url)
        failure = _decode(answer.content, contract.ErrorAnswer, self._url)
        raise AdminCallFailed(answer.status_code, failure.error)

    # --- customers -------------------------------------------------------------------------------

    def add_customers(self, request: contract.AddCustomersRequest) -> contract.Added:
        """Add a list of customers; those that are there already stay as they are."""
        return self.call("POST", "customers", contract.Added, body=request)

    def list_customers(self, request: contract.PageRequest) -> contract.CustomerPage:
        """A page of customers."""
        return self.call("GET", "customers", contract.CustomerPage, query=request)

    def set_customer_status(
        self, msisdn: str, request: contract.StatusRequest
    ) -> contract.Customer:
        """Change a customer's account status."""
        path = f"customers/{quote(msisdn, safe='')}/status"
        return self.call("POST", path, contract.Customer, body=request)

    def fund_customer(self, msisdn: str, request: contract.FundRequest) -> contract.FundedCustomer:
        """Put money into a customer's wallet, once a reference."""
        path = f"customers/{quote(msisdn, safe='')}/fund"
        return self.call("POST", path, contract.FundedCustomer, body=request)

    def fund_customers(self, request: contract.FundCustomersRequest) -> contract.Funded:
        """Put money into many wallets, once a reference."""
        return self.call("POST", "customers/fund", contract.Funded, body=request)

    def script_customer(self, msisdn: str, request: contract.ScriptRequest) -> contract.Customer:
        """Say how a customer answers prompts."""
        path = f"customers/{quote(msisdn, safe='')}/script"
        return self.call("POST", path, contract.Customer, body=request)

    # --- organisations ---------------------------------------------------------------------------

    def add_organisations(self, request: contract.AddOrganisationsRequest) -> contract.Added:
        """Add a list of organisations; those that are there already stay as they are."""
        return self.call("POST", "organisations", contract.Added, body=request)

    def list_organisations(self, request: contract.PageRequest) -> contract.OrganisationPage:
        """A page of organisations."""
        return self.call("GET", "organisations", contract.OrganisationPage, query=request)

    def change_organisation(
        self, code: str, request: contract.ChangeOrganisationRequest
    ) -> contract.Organisation:
        """Give an organisation another status, other products, or both."""
        path = f"organisations/{quote(code, safe='')}"
        return self.call("PATCH", path, contract.Organisation, body=request)

    def fund_organisation(
        self, code: str, request: contract.FundRequest
    ) -> contract.FundedOrganisation:
        """Put money into an organisation's wallet, once a reference."""
        path = f"organisations/{quote(code, safe='')}/fund"
        return self.call("POST", path, contract.FundedOrganisation, body=request)

    # --- applications ----------------------------------------------------------------------------

    def add_application(
        self, request: contract.AddApplicationRequest
    ) -> contract.ApplicationWithKey:
        """Make an application; the answer alone has its API key."""
        return self.call("POST", "applications", contract.ApplicationWithKey, body=request)

    def list_applications(
        self, request: contract.ListApplicationsRequest
    ) -> contract.ApplicationPage:
        """A page of applications."""
        return self.call("GET", "applications", contract.ApplicationPage, query=request)

    def change_application(
        self, application: int, request: contract.ChangeApplicationRequest
    ) -> contract.Application:
        """Change what is given of an application."""
        path = f"applications/{application}"
        return self.call("PATCH", path, contract.Application, body=request)

    def rotate_key(
        self, application: int, request: contract.RotateRequest
    ) -> contract.ApplicationWithKey:
        """Another API key; the answer alone has it."""
        path = f"applications/{application}/rotate"
        return self.call("POST", path, contract.ApplicationWithKey, body=request)

    # --- platform keys ---------------------------------------------------------------------------

    def show_platform_keys(self) -> contract.PlatformKeys:
        """The public key of each environment."""
        return self.call("GET", "platform-keys", contract.PlatformKeys)

    def replace_platform_key(
        self, environment: str, request: contract.ReplacePlatformKeyRequest
    ) -> contract.PlatformKeys:
        """Give an environment another key pair; the public keys afterwards."""
        path = f"platform-keys/{quote(environment, safe='')}"
        return self.call("PUT", path, contract.PlatformKeys, body=request)

    # --- installation ----------------------------------------------------------------------------

    def add_token(self, request: contract.AddTokenRequest) -> contract.NewToken:
        """Make an admin token; the answer alone has it."""
        return self.call("POST", "tokens", contract.NewToken, body=request)

    def list_worlds(self) -> contract.WorldPage:
        """The worlds there are."""
        return self.call("GET", "worlds", contract.WorldPage)

    def show_health(self) -> contract.Health:
        """Whether payments can be taken."""
        return self.call("GET", "health", contract.Health, accepts=(200, 503))

    def confirm_clock(self) -> contract.ClockConfirmed:
        """Say that a clock which jumped is right now."""
        return self.call("POST", "health/confirm-clock", contract.ClockConfirmed)


def _make_context(certificate_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if certificate_file:
        # A certificate that an authority of the world signed stands there without that authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(certificate_file)
        except OSError as error:
            raise AdminUnreachable(
                f"{certificate_file}, the server's certificate, cannot be read: "
                f"{error.strerror or error}"
            ) from error
    return context


def _make_query(query: contract.Request | None) -> dict[str, str] | None:
    if query is None:
        return None
    fields: dict[str, Any] = msgspec.to_builtins(query)
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in fields.items()
    }


def _decode(content: bytes, type_: type[T], url: str) -> T:
    try:
        return msgspec.json.decode(content, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AdminUnreachable(
            f"what answers at {url} is no admin API of this version; check the address"
        ) from error


def split_into_calls(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in parts of what one call takes."""
    for start in range(0, len(items), contract.LIST_ITEMS_MAX):
        yield items[start : start + contract.LIST_ITEMS_MAX]
