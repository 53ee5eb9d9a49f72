"""structlog without rich, which takes longer to load than the rest of it.

structlog has a renderer for terminals, which the server has no use for, and which loads rich where it
is installed: 55 ms of the start of every process. So rich is hidden while structlog is loaded, and
whoever logs gets it from here.
"""

import sys

_is_hidden = "rich" not in sys.modules
if _is_hidden:
    # What Python takes for a package that is not there.
    sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    if _is_hidden:
        del sys.modules["rich"]

get_logger = structlog.get_logger
"""Takes the name of the component; see `structlog.get_logger`."""

__all__ = ["get_logger", "structlog"]
