"""What of the client is public, which is a contract: `sdk/api.md` has all of it, and nothing else is."""

import ast
import builtins
import pkgutil
import re
from types import ModuleType

import pytest

import pesalango
import surface
from pesalango import PesalangoError
from tests.tidy.repository import ROOT

PAGE = ROOT / "sdk" / "api.md"
MODULES = surface.find_packages()
# What signatures name of others.
OTHERS = {
    *("Any", "Callable", "ClassVar", "Final", "Literal", "Mapping", "Protocol", "Self", "Sequence"),
    *("Decimal", "Enum", "Path", "Struct", "datetime", "httpx2", "os"),
}

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)


def test_the_page_of_public_names_is_what_the_source_says() -> None:
    assert PAGE.read_text("utf-8") == surface.render_page(), "make gen writes sdk/api.md"


def test_every_public_package_is_on_the_page() -> None:
    assert [module.__name__ for module in MODULES] == list(surface.PACKAGES)
    found = {module.name for module in pkgutil.iter_modules(pesalango.__path__)}
    public = {f"pesalango.{name}" for name in found if not name.startswith("_")}
    # The command has its own contract: what it is told and what it says.
    assert public == {*surface.PACKAGES[1:], "pesalango.cli"}


@every_module
def test_a_name_is_public_if_and_only_if_it_is_listed(module: ModuleType) -> None:
    inside = {each.name for each in pkgutil.iter_modules(module.__path__)}
    # Some are there once somebody asks for them.
    assert all(hasattr(module, name) for name in module.__all__)
    names = {name for name in vars(module) if not name.startswith("_")} - inside
    assert names == set(module.__all__) - {"__version__"}
    assert len(module.__all__) == len(set(module.__all__))


@every_module
def test_what_is_listed_is_ours_and_says_what_it_is(module: ModuleType) -> None:
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type):
            assert value.__module__.startswith("pesalango"), name
            assert value.__doc__, name


def test_whatever_is_raised_of_our_own_has_a_public_name() -> None:
    waiting: list[type[PesalangoError]] = [PesalangoError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        assert kind.__name__.startswith("_") or kind.__name__ in pesalango.__all__, kind


def test_every_type_that_a_public_signature_names_is_public_too() -> None:
    blocks = re.findall(r"```pyi\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    stubs = ast.parse("\n".join(blocks))
    named = {
        node.id
        for each in ast.walk(stubs)
        for annotation in (getattr(each, "annotation", None), getattr(each, "returns", None))
        if annotation is not None
        for node in ast.walk(annotation)
        if isinstance(node, ast.Name)
    }
    public = {name for module in MODULES for name in module.__all__}
    assert named - public - OTHERS - set(vars(builtins)) == set()
