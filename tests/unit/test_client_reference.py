"""The reference pages of the client and its command leave nothing out."""

import pesalango
from docs.client_reference import list_explained, render_client_markdown
from docs.command_reference import DEFAULTS, render_command_markdown
from pesalango.cli.settings import SETTINGS, name_variable


def test_every_public_name_of_the_client_is_explained() -> None:
    assert list_explained() == set(pesalango.__all__)


def test_a_signature_stands_as_it_is_written_and_a_constant_as_its_value() -> None:
    page = render_client_markdown()
    assert "    journal: Journal | str | Path | None = None,\n" in page
    assert "    timeout: float = 90.0,\n" in page
    assert "\n#### client.payments.collect" not in page
    assert page.count("\n### client.payments.collect\n") == 1
    assert page.count("\n### client.payments.recover\n") == 1


def test_fields_and_errors_have_the_words_of_the_source() -> None:
    page = render_client_markdown()
    assert (
        "| `transaction_id` | `str` | The gateway's name for it; empty unless completed. |" in page
    )
    assert "* `retry_after_s`: Seconds to wait before the next attempt" in page


def test_every_command_and_setting_is_on_the_page() -> None:
    page = render_command_markdown()
    for command in ("session", "c2b", "b2c", "b2b", "reverse", "status", "recover", "bulk"):
        assert f"\n### {command}\n" in page
    for name, setting in SETTINGS.items():
        flag = f"`--{name.replace('_', '-')}`"
        assert f"| `{name}` | {flag if setting.is_flag else ''} | `{name_variable(name)}` |" in page
    assert DEFAULTS.keys() <= SETTINGS.keys()
    for status in (0, 1, 2, 3, 130):
        assert f"\n| {status} | " in page
