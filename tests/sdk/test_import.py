"""What `import pesalango` brings along, and what waits until it is asked for."""

import json
import subprocess
import sys

import pesalango


def run(code: str) -> object:
    """What a fresh interpreter prints, which is JSON."""
    ended = subprocess.run(
        [sys.executable, "-c", f"import json, sys\nimport pesalango\n{code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(ended.stdout)


def test_a_program_without_an_event_loop_does_not_load_asyncio() -> None:
    assert run("print(json.dumps('asyncio' in sys.modules))") is False


def test_every_public_name_is_listed_and_there_whether_it_was_asked_for_before_or_not() -> None:
    printed = run(
        "listed = dir(pesalango)\n"
        "from pesalango import *\n"
        "here = [name for name in pesalango.__all__ if name in globals()]\n"
        "print(json.dumps([listed, here]))"
    )
    assert isinstance(printed, list)
    listed, here = printed
    assert sorted(here) == sorted(pesalango.__all__)
    assert set(pesalango.__all__) <= set(listed)
    assert [name for name in listed if not name.startswith("_")] == sorted(
        name for name in pesalango.__all__ if not name.startswith("_")
    )


def test_a_name_that_is_not_there_is_told_as_by_any_module() -> None:
    printed = run(
        "try:\n"
        "    pesalango.AsyncClint\n"
        "except AttributeError as error:\n"
        "    print(json.dumps(str(error)))"
    )
    assert printed == "module 'pesalango' has no attribute 'AsyncClint'"
