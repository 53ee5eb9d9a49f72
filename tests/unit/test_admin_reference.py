"""The reference page of the admin API tells every call, field and error."""

import re

from pesalango_server.admin.contract import PREFIX
from pesalango_server.admin.errors import ErrorCode
from pesalango_server.admin.reference import render_admin_markdown
from pesalango_server.admin.routes import ENDPOINTS
from tests.tidy.shape import list_anchors


def test_every_call_has_a_heading_and_what_it_answers_is_described() -> None:
    page = render_admin_markdown()

    for path, endpoints in ENDPOINTS.items():
        for method in endpoints:
            assert f"\n### {method} {PREFIX}{path}\n" in page
    targets = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert targets
    assert targets <= list_anchors(page)


def test_every_error_has_its_status_and_meaning() -> None:
    page = render_admin_markdown()

    for code in ErrorCode:
        assert re.search(rf"^\| `{code.value}` \| \d{{3}} \| [A-Z].+\. \|$", page, re.MULTILINE)


def test_bounds_and_defaults_are_told() -> None:
    page = render_admin_markdown()

    assert "| `limit` | whole number, 1 to 1000 | `100` |" in page
    assert "| `session_life_s` | whole number, 60 to 86400 | may be left out |" in page
    assert "| `msisdn` | text | must be given |" in page
