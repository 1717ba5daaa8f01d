"""The JSON Schema of remotes.json, drawn from keys.py, for editors and `artifactapi schema`."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

from app.repositories.dialling import UpstreamSchema
from app.repositories.keys import NAME, DocumentSchema, LocalSchema
from app.repositories.remote import OF_ONE_PACKAGE, SOURCES, CacheSchema, RemoteSchema
from app.repositories.values import Value
from app.resource import Repository, UpstreamOptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The newer form of remotes.json; the older one is read and not described."""
    plugin = MarshmallowPlugin(schema_name_resolver=_title)
    spec = APISpec("remotes.json", "1", "3.1.0", plugins=[plugin])
    converter: Any = plugin.converter
    converter.add_attribute_function(_of_value)
    spec.components.schema("Document", schema=DocumentSchema)
    text = json.dumps(spec.to_dict()["components"]["schemas"]).replace("#/components/schemas/", "#/$defs/")
    return _completed(json.loads(text))


def _title(schema: Schema | type[Schema] | str) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


def _of_value(_: Any, field: fields.Field[Any], **__: Any) -> dict[str, Any]:
    return dict(field.json) if isinstance(field, Value) else {}


def _completed(found: dict[str, Any]) -> dict[str, Any]:
    """What apispec cannot know: closed objects, the pattern of names, the dataclasses' defaults."""
    for each in found.values():
        each["additionalProperties"] = False
    for section in found["Document"]["properties"].values():
        section["propertyNames"] = {"pattern": NAME.replace(r"\Z", "$")}
    for kind in (RemoteSchema, CacheSchema, LocalSchema):
        _defaults(found[_title(kind)]["properties"], Repository)
    _defaults(found[_title(UpstreamSchema)]["properties"], UpstreamOptions)
    found[_title(RemoteSchema)] |= {
        "oneOf": [{"required": [key]} for key in SOURCES],
        "allOf": [_of_one_package(package, keys) for package, keys in OF_ONE_PACKAGE.items()],
    }
    document = found.pop("Document")
    document["properties"] |= {
        "$schema": {"type": "string"},
        "config_dir": {"type": "string", "description": "a directory whose *.json files are read too"},
    }
    return {"$schema": DIALECT, "title": "remotes.json", **document, "$defs": found}


_OFF: dict[str, Any] = {"array": {"maxItems": 0}, "boolean": {"const": False}}


def _of_one_package(package: str, keys: dict[str, str]) -> dict[str, Any]:
    """Another package has these keys switched off, or not at all."""
    off: dict[str, Any] = {}
    for key, kind in keys.items():
        inner = _OFF.get(kind, False)
        parent, _, name = key.rpartition(".")
        off |= {parent: {"properties": {name: inner}}} if parent else {name: inner}
    return {
        "if": {"not": {"required": ["package"], "properties": {"package": {"const": package}}}},
        "then": {"properties": off},
    }


def _defaults(properties: dict[str, Any], made: type[Repository] | type[UpstreamOptions]) -> None:
    for each in dataclasses.fields(made):
        if each.name in properties and isinstance(each.default, bool | int | float | str):
            properties[each.name].setdefault("default", each.default)
