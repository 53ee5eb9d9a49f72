"""Dictionaries with a fixed set of typed fields: what contexts and responses are made of.

The published SDK's are dictionaries, so programs write `response["body"]`, or hand one to whatever
takes a dictionary. A field reads and writes the entry of its name, and checks what is written.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")
HIDDEN = "***"


class Field(Generic[Value]):
    """An entry of a `Record` as an attribute."""

    def __init__(self, check: Callable[[str, Any], Value]) -> None:
        """`check` takes name and value, and returns what to keep; it raises `TypeError`."""
        self.check = check
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: "Record", owner: type) -> Value: ...

    def __get__(self, instance: "Record | None", owner: type) -> "Self | Value":
        if instance is None:
            return self
        value: Value = instance[self._name]
        return value

    def __set__(self, instance: "Record", value: Value) -> None:
        instance[self._name] = value


class Record(dict[str, Any]):
    """Entries that have a field are checked, by whichever door they are written."""

    def __setitem__(self, name: str, value: Any) -> None:
        field = getattr(type(self), name, None)
        super().__setitem__(name, field.check(name, value) if isinstance(field, Field) else value)

    def update(self, *others: Any, **entries: Any) -> None:
        for name, value in dict(*others, **entries).items():
            self[name] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self


def accept(kind: type[Value], expected: str) -> Callable[[str, Any], Value]:
    """A check of one type; a bool is no int."""

    def check(name: str, value: Any) -> Value:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{name} must be {expected}, not {describe(value)}")
        return value

    return check


def copy_texts(name: str, value: Any) -> dict[str, str]:
    """A dictionary of its own of strings by string, as headers are."""
    copied = copy_mapping(name, value)
    for key, text in copied.items():
        if not isinstance(text, str):
            raise TypeError(f"{name}[{key!r}] must be a str, not {describe(text)}")
    return copied


def copy_mapping(name: str, value: Any) -> dict[str, Any]:
    """A dictionary of its own of anything by string."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict, not {describe(value)}")
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"the keys of {name} must be str, not {describe(key)}")
    return dict(value)


def describe(value: object) -> str:
    """The type of a wrong value, and never the value: it may be a secret."""
    return type(value).__name__


def hide(entries: Mapping[str, Any], *, words: tuple[str, ...]) -> dict[str, Any]:
    """The entries, without the values of those whose name has one of `words` in it."""
    return {
        name: HIDDEN if value and any(word in name.lower() for word in words) else value
        for name, value in entries.items()
    }
