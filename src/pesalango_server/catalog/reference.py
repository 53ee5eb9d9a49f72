"""The reference pages that follow from the catalog, as Markdown."""

from collections.abc import Collection, Iterable, Sequence

from pesalango_server.catalog.codes import CODES, NOT_PRODUCED_YET
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import (
    Answer,
    Check,
    Code,
    Field,
    Operation,
    Producer,
    Retry,
    TriggerOutcome,
    TriggerRow,
)
from pesalango_server.catalog.precedence import ANY_TIME, PRECEDENCE
from pesalango_server.catalog.questions import accepted_fields, malformed_code
from pesalango_server.catalog.registry import OPERATIONS
from pesalango_server.kernel.money import format_amount_minor

_GENERATED = "<!-- Written by `make gen` from the catalog; changes belong there. -->"

_PATHS = """\
Every path begins with `/{environment}/ipg/v2/{market}/`, where the environment is `sandbox` or
`openapi`. The trailing slash and the case of the letters of what follows do not matter."""
_SERVED = """\
Operations that are not served yet are described as they will be; their paths answer 404."""
_STATUS_AND_TEXT = """\
The HTTP status and the text of a code are those of the operation's own table; what is here holds
where the operation has none."""
_NOT_PRODUCED_YET = "Usage time and limits do not exist yet, so that no operation answers"
_NOT_CHECKED = """\
The others are listed by the documentation or answered by a trigger; why nothing else leads there:"""
_ORDER = """\
A request with several faults is answered by the first row that it fails. Step 2 is the
authentication, which has no codes."""

_OF_THIS_REQUEST = """\
Each row speaks of the request that was answered, not of an earlier sending of it whose answer was
lost: of that, only the status tells."""

_RETRY_WORDS: dict[Retry, str] = {
    Retry.DONE: "It took effect; sending it again would be a duplicate.",
    Retry.ASK: "Query the status by the same ThirdPartyConversationID before anything else. After "
    "`INS-10` it tells what became of the earlier request, which may have moved money. After "
    "`INS-9` it says Expired here: the money did not move and will not, and another attempt needs "
    "a new ThirdPartyConversationID.",
    Retry.SAME: "Nothing was recorded and no money moved: the same request may be sent again.",
    Retry.CORRECTED: "Nothing was recorded: correct the request, the configuration or the hour; "
    "the ThirdPartyConversationID may be kept.",
    Retry.NEW: "No money moved, and the refusal may stand for good: another attempt needs a new "
    "ThirdPartyConversationID.",
}


def render_operations_markdown(*, served: Collection[str]) -> str:
    """The page of all operations: path, parameters, answers, codes, triggers.

    `served` are the names of those that are served today.
    """
    lines = [
        "# Operations",
        "",
        _GENERATED,
        "",
        _PATHS,
        "",
        _SERVED,
        "",
        *_table(
            ("Operation", "Call", "Product", "Served"),
            (
                (
                    f"[{operation.title}](#{_anchor(operation.title)})",
                    f"`{operation.method} {operation.path}`",
                    operation.product.value if operation.product is not None else "",
                    "yes" if operation.name in served else "not yet",
                )
                for operation in OPERATIONS
            ),
        ),
        "",
        "## Markets",
        "",
        *_table(
            ("Market", "In the path", "Country", "Currency", "Decimals", "Time zone"),
            (
                (
                    market.description,
                    f"`{market.path_value}`",
                    market.country,
                    market.currency,
                    str(market.decimals),
                    market.time_zone,
                )
                for market in MARKETS
            ),
        ),
    ]
    for operation in OPERATIONS:
        lines += ["", *_operation_lines(operation, is_served=operation.name in served)]
    return "\n".join(lines) + "\n"


def render_codes_markdown() -> str:
    """The page of all codes: what each means, what a caller may do next, the order of checks."""
    lines = [
        "# Codes",
        "",
        _GENERATED,
        "",
        _STATUS_AND_TEXT,
        "",
        *_table(
            ("Code", "HTTP", "Text", "Meaning", "Next"),
            (
                (
                    f"`{row.code}`",
                    str(row.http_status),
                    row.text,
                    row.meaning,
                    f"[{row.retry.value}](#what-a-caller-may-do-next)",
                )
                for row in CODES
            ),
        ),
        "",
        "## What a caller may do next",
        "",
        _OF_THIS_REQUEST,
        "",
        *_table(("", ""), ((f"**{retry.value}**", _RETRY_WORDS[retry]) for retry in Retry)),
        "",
        "## Order of the checks",
        "",
        _ORDER,
        "",
        *_table(
            ("Step", "Question", "Codes"),
            ((str(check.step), _ask(check), _list_codes(check.codes)) for check in PRECEDENCE),
        ),
        "",
        "At any step:",
        "",
        *_table(
            ("Question", "Codes"),
            ((check.question, _list_codes(check.codes)) for check in ANY_TIME),
        ),
        "",
        "## Codes that no check produces",
        "",
        f"{_NOT_PRODUCED_YET} {_list_codes(sorted(NOT_PRODUCED_YET))}.",
        "",
        _NOT_CHECKED,
        "",
        *_table(
            ("Operation", "Code", "Text", "Produced by", "Why"),
            (
                (operation.title, f"`{row.code}`", row.text, f"{row.producer}", row.why)
                for operation in OPERATIONS
                for row in (*operation.codes, *operation.unlisted_codes)
                if row.producer not in {Producer.CHECK, Producer.NOT_YET}
            ),
        ),
    ]
    return "\n".join(lines) + "\n"


def _operation_lines(operation: Operation, *, is_served: bool) -> list[str]:
    # Headings carry the name, so that a link to one is unambiguous.
    name = operation.name
    lines = [f"## {operation.title}", "", operation.summary, ""]
    lines += [f"`{operation.method} {operation.path}`", ""]
    notes = []
    if not is_served:
        notes.append("**Not served yet.**")
    if not operation.is_documented:
        notes.append("No page of the operator's documentation has it; public clients use it.")
    if len(operation.markets) < len(MARKETS):
        names = ", ".join(market.description for market in operation.markets)
        notes.append(f"Offered in {names} only.")
    if operation.are_duplicates_checked:
        notes.append("A ThirdPartyConversationID is good for one request.")
    else:
        notes.append("May be repeated: duplicates are not looked for.")
    if operation.can_be_asynchronous:
        notes.append("Synchronous; asynchronous mode does not exist yet.")
    else:
        notes.append("Synchronous only.")
    lines += [" ".join(notes)]
    fields = accepted_fields(operation)
    if fields:
        lines += ["", f"### Parameters ({name})", "", *_field_table(operation, fields)]
    lines += ["", f"### Answer ({name})", "", *_answer_table(operation.answer)]
    if operation.acknowledgement is not None:
        lines += ["", f"### Acknowledgement of an asynchronous request ({name})", ""]
        lines += _plain_answer_table(operation.acknowledgement)
    if operation.callback is not None:
        lines += ["", f"### Callback ({name})", "", *_answer_table(operation.callback)]
    if operation.listener_acknowledgement is not None:
        lines += ["", f"### What the listener answers ({name})", ""]
        lines += _plain_answer_table(operation.listener_acknowledgement)
    lines += ["", f"### Codes ({name})", "", *_code_table(operation.codes)]
    if operation.unlisted_codes:
        lines += [
            "",
            "Answered too, though the documentation's table lacks them:",
            "",
            *_code_table(operation.unlisted_codes),
        ]
    if operation.triggers:
        lines += ["", f"### Sandbox triggers ({name})", "", *_trigger_lines(operation)]
    return lines


def _field_table(operation: Operation, fields: Iterable[Field]) -> list[str]:
    return _table(
        ("Parameter", "Mandatory", "Pattern", "Otherwise", "Meaning", "Example"),
        (
            (
                _list_spellings(field),
                "yes" if field.mandatory else "no",
                f"`{_pattern(field)}`" if field.kind.pattern is not None else "",
                f"`{malformed_code(operation, field)}`",
                f"{field.description} ({field.kind.meaning})",
                f"`{field.example}`",
            )
            for field in fields
        ),
    )


def _pattern(field: Field) -> str:
    if field.sandbox_pattern is not None:
        return f"{field.kind.pattern}|{field.sandbox_pattern}"
    return f"{field.kind.pattern}"


def _list_spellings(field: Field) -> str:
    return ", also ".join(f"`{spelling}`" for spelling in (field.wire_name, *field.aliases))


def _answer_table(answer: Answer) -> list[str]:
    names = {field.wire_name for field in answer.fields}
    lines = _table(
        ("Field", "When refused", "Meaning", "Example"),
        (
            (
                f"`{field.wire_name}`",
                _when_refused(answer, field.wire_name),
                field.description,
                f"`{field.example}`",
            )
            for field in answer.fields
        ),
    )
    extra = [wire_name for wire_name in answer.refusal if wire_name not in names]
    if extra:
        lines += ["", f"When refused also {', '.join(f'`{wire_name}`' for wire_name in extra)}."]
    return lines


def _plain_answer_table(answer: Answer) -> list[str]:
    """For what is always the same: an acknowledgement is never a refusal."""
    return _table(
        ("Field", "Meaning", "Example"),
        (
            (f"`{field.wire_name}`", field.description, f"`{field.example}`")
            for field in answer.fields
        ),
    )


def _when_refused(answer: Answer, wire_name: str) -> str:
    if wire_name == answer.reference:
        return "`N/A`"
    return "yes" if wire_name in answer.refusal else "left out"


def _code_table(rows: Iterable[Code]) -> list[str]:
    return _table(
        ("Code", "HTTP", "Text", "Produced by", "Next"),
        (
            (
                f"`{row.code}`",
                str(row.http_status),
                row.text,
                f"{row.producer}: {row.why}" if row.why else f"{row.producer}",
                f"[{row.retry.value}](codes.md#what-a-caller-may-do-next)",
            )
            for row in rows
        ),
    )


def _trigger_lines(operation: Operation) -> list[str]:
    """One row for each value that decides its own answer."""
    lines = _table(
        ("Parameter", "Value", "Answer"),
        (
            (f"`{_wire_name(operation, row.field)}`", f"`{value}`", answer)
            for row in operation.triggers
            for value, answer in _trigger_rows(row)
        ),
    )
    if operation.trigger_details:
        lines += [
            "",
            "Where the trigger succeeds, further values decide parts of its answer:",
            "",
            *_table(
                ("Parameter", "Value", "Answer"),
                (
                    (
                        f"`{_wire_name(operation, detail.field)}`",
                        f"`{str(digit).rjust(detail.length, '0')}`",
                        f"`{operation.answer.field(detail.answer).wire_name}` {text}",
                    )
                    for detail in operation.trigger_details
                    for digit, text in detail.values.items()
                ),
            ),
        ]
    threshold = operation.trigger_threshold
    if threshold is not None:
        wire_name = operation.answer.field(threshold.answer).wire_name
        above = format_amount_minor(threshold.above_minor)
        lines += [
            "",
            f"`{wire_name}` is False for an amount above {above}, else True; left out unless asked.",
        ]
    return lines


def _trigger_rows(row: TriggerRow) -> list[tuple[str, str]]:
    answers = dict.fromkeys(row.ordinary, "an ordinary request: the customer approves")
    answers |= {digit: _describe_outcome(outcome) for digit, outcome in row.outcomes.items()}
    rows = [(str(digit).rjust(row.length, "0"), answers[digit]) for digit in sorted(answers)]
    if row.nines is not None:
        rows.append(("9" * row.length, _describe_outcome(row.nines)))
    return rows


def _describe_outcome(outcome: TriggerOutcome) -> str:
    text = f"`{outcome.code}`"
    if outcome.note:
        text += f", {outcome.note}"
    decided = [f"{name} {value}" for name, value in outcome.answer.items() if value]
    if decided:
        text += f" ({', '.join(decided).replace('_', ' ')})"
    return text


def _wire_name(operation: Operation, name: str) -> str:
    return next(field.wire_name for field in operation.fields if field.name == name)


def _list_codes(codes: Iterable[str]) -> str:
    return ", ".join(f"`{code}`" for code in codes)


def _ask(check: Check) -> str:
    is_asked = not NOT_PRODUCED_YET.issuperset(check.codes)
    return check.question if is_asked else f"{check.question} (not asked yet)"


def _anchor(heading: str) -> str:
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -")
    return kept.replace(" ", "-")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; a pipe in a cell, in code too, must not end it."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for row in rows:
        cells = (cell.replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return lines
