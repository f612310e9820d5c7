"""@tool: a typed function becomes what a model sees (name, description, schema) and what the gates need (risk)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from app.core import texts
from app.core.contracts import ToolSchema
from app.core.errors import ToolError

Arguments = Mapping[str, Any]
ToolFunction = Callable[..., Awaitable[str]]


class Risk(StrEnum):
    """What a call can do at worst. Only `read` calls run side by side, and again after a crash."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    DESTRUCTIVE = "destructive"
    NETWORK = "network"
    OUTSIDE = "outside"


RiskOf = Callable[[Arguments], Risk]


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: dict[str, object]
    function: ToolFunction
    risk_of: RiskOf
    _adapter: TypeAdapter[Any]
    _fields: tuple[str, ...]

    @property
    def schema(self) -> ToolSchema:
        return ToolSchema(self.name, self.description, self.parameters)

    def parse(self, arguments: str) -> dict[str, Any]:
        """Raises ToolError that names what is wrong, field by field, so that the model can mend it."""
        try:
            model = self._adapter.validate_json(arguments or "{}")
        except ValidationError as error:
            problems = "; ".join(_problem(e["loc"], e["msg"]) for e in error.errors(include_url=False))
            raise ToolError(texts.bad_arguments(self.name, problems)) from None
        return {name: getattr(model, name) for name in self._fields}


def tool(*, risk: Risk | RiskOf = Risk.READ) -> Callable[[ToolFunction], ToolFunction]:
    """Marks a function as a tool; its docstring's first paragraph is the description that the model reads.

    A parameter's description comes from Annotated[…, "text"]. The function itself stays callable as it is.
    """

    def mark(function: ToolFunction) -> ToolFunction:
        setattr(function, "__tool__", _describe(function, risk))  # noqa: B010  a function has no such field
        return function

    return mark


class Toolbox:
    """The tools on offer, by name."""

    def __init__(self, functions: Iterable[ToolFunction]) -> None:
        tools = [cast(Tool, getattr(function, "__tool__")) for function in functions]  # noqa: B009
        self._take({t.name: t for t in tools})

    def only(self, names: Container[str]) -> Toolbox:
        """The same tools, but none that is not named."""
        fewer = Toolbox(())
        fewer._take({name: tool for name, tool in self._tools.items() if name in names})
        return fewer

    def _take(self, tools: dict[str, Tool]) -> None:
        self._tools = tools
        self.schemas: tuple[ToolSchema, ...] = tuple(t.schema for t in tools.values())

    def get(self, name: str) -> Tool:
        """Raises ToolError that lists what there is."""
        if name not in self._tools:
            raise ToolError(texts.unknown_tool(name, list(self._tools)))
        return self._tools[name]

    def risk(self, name: str, arguments: str) -> Risk:
        """A call that cannot be parsed runs nothing: it counts as a read."""
        try:
            known = self.get(name)
            return known.risk_of(known.parse(arguments))
        except ToolError:
            return Risk.READ


def _describe(function: ToolFunction, risk: Risk | RiskOf) -> Tool:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[name] = (hints[name], FieldInfo(default=default, description=_annotation_text(hints[name])))
    model = create_model(function.__name__, __config__={"extra": "forbid"}, **fields)
    schema = model.model_json_schema()
    parameters = {
        "type": "object",
        "properties": schema["properties"],
        "required": schema.get("required", []),
    }
    description = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    fixed = risk
    risk_of: RiskOf = (lambda _: fixed) if isinstance(fixed, Risk) else fixed
    return Tool(function.__name__, description, _slim(parameters), function, risk_of, TypeAdapter(model), tuple(fields))


def _annotation_text(hint: Any) -> str | None:
    return next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, str)), None)


def _slim(schema: Any) -> Any:
    """Titles cost tokens in every request and tell a model nothing."""
    if isinstance(schema, dict):
        items = cast("dict[str, Any]", schema).items()
        return {k: _slim(v) for k, v in items if not (k == "title" and isinstance(v, str))}
    return schema


def _problem(location: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, location)) or 'JSON'}: {message}"


def canonical(arguments: str) -> str:
    """The same call written differently is the same call."""
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True, ensure_ascii=False)
    except ValueError:
        return arguments
