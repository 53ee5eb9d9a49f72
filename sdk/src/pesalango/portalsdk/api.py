"""The same names once more, for programs that say `from portalsdk.api import …`."""

from .context import APIContext, APIMethodType
from .request import APIRequest
from .response import APIResponse

__all__ = ["APIContext", "APIMethodType", "APIRequest", "APIResponse"]
