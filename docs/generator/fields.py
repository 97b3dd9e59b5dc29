"""The format of a stored run, from its records."""

import json
from typing import Any

from generator.markdown import table
from mpcore.records import Run


def schema() -> str:
    return json.dumps(Run.model_json_schema(), indent=1) + "\n"


def fields() -> str:
    """A table for each record, with the types of its fields."""
    made = Run.model_json_schema()
    parts = []
    for name, record in {"Run": made, **made["$defs"]}.items():
        if record.get("type") == "object" and "properties" in record:
            needed, held = record.get("required", ()), record["properties"]
            cells = [(f"`{field}`", type_of(each), "yes" if field in needed else "no") for field, each in held.items()]
            parts += [f"### {name}", table(("field", "type", "needed"), cells)]
    return "\n\n".join(parts)


def type_of(shown: dict[str, Any]) -> str:
    """Of a field, in words."""
    if "$ref" in shown:
        name = shown["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in shown or "oneOf" in shown:
        return " or ".join(dict.fromkeys(type_of(each) for each in shown.get("anyOf") or shown["oneOf"]))
    if "const" in shown or "enum" in shown:
        return ", ".join(f"`{each}`" for each in shown.get("enum") or [shown["const"]])
    if shown.get("type") == "array":
        items = [shown["items"]] if "items" in shown else shown.get("prefixItems", [])
        return f"list of {' and '.join(dict.fromkeys(map(type_of, items)))}"
    if shown.get("type") == "object":
        inner = shown.get("additionalProperties")
        return f"object of {type_of(inner)}" if isinstance(inner, dict) else "object"
    return str(shown.get("type", "any"))
