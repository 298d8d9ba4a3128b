"""`http.md`: every request that the service answers, from the same description as its page `/docs`.

In: the service's OpenAPI. Out: a section for each request, and the fields of what it answers.
"""

from __future__ import annotations

import json
from typing import Any

from inkdigit.serve.http.openapi import REFUSALS
from pages.tables import sentence, table

COMMON = {str(status): refusal["description"] for status, refusal in REFUSALS.items()}
ORDER = ("Images", "Service", "KServe v2")


def pages() -> dict[str, str]:
    """The page by its name."""
    from inkdigit.serve.app import create_app
    from inkdigit.serve.settings import Settings

    description = create_app(Settings(models=("fast",))).openapi()
    requests = [
        (operation["tags"][0], f"{method.upper()} {path}", operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        "# The HTTP API",
        "Every request that [`inkdigit serve`](commands/serve.md) answers. A running service has the same as an "
        "interactive page, `/docs`, and as OpenAPI, `/openapi.json`. How to run it, with tokens, limits and a "
        "container: [Serve over HTTP](serving.md).",
    ]
    for tag in ORDER:
        parts.append(f"## {tag}")
        for _, name, operation in (one for one in requests if one[0] == tag):
            parts += [f"### `{name}`", *request(operation)]
    rows = [[code, text] for code, text in sorted(COMMON.items())]
    parts += ["## Refusals", "Their body is a [Refusal](#refusal).", table(["status", "meaning"], rows)]
    parts += ["## Fields", "What the answers above are made of; a field that may be missing is null."]
    for name, schema in description["components"]["schemas"].items():
        if "ValidationError" not in name:
            parts += [f"### {name}", *fields(schema)]
    return {"http.md": "\n\n".join(parts) + "\n"}


def request(operation: dict[str, Any]) -> list[str]:
    """The section of one request: its text, parameters, bodies and answers."""
    parts = [str(operation.get("description") or operation["summary"]).strip()]
    if parameters := operation.get("parameters"):
        rows = [
            [f"`{one['name']}`", one["in"], sentence(one.get("description", "The name of a model."))]
            for one in parameters
            if "description" in one or one["in"] == "path"
        ]
        parts.append(table(["parameter", "in the", "meaning"], rows))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        text = f"Body `{kind}`" + (f": {shape(content['schema'])}." if "properties" in content["schema"] else ".")
        parts.append(text)
        if "example" in content:
            parts.append(f"```json\n{short(content['example'])}\n```")
    rows, refused = [], []
    for code, answer in sorted(operation["responses"].items()):
        text = sentence(answer["description"]).replace("Successful Response", "The answer.")
        if text == COMMON.get(code):
            refused.append(code)
        elif text != "Validation Error":  # FastAPI's own, which the service never sends
            rows.append([code, text, returned(answer)])
    parts.append(table(["status", "meaning", "body"], rows))
    return [*parts, f"Or a [refusal](#refusals): {', '.join(refused)}."] if refused else parts


def returned(answer: dict[str, Any]) -> str:
    """What the body of an answer is."""
    content = answer.get("content", {})
    kinds = [shape(one["schema"]) if one.get("schema") else f"`{kind}`" for kind, one in content.items()]
    return " or ".join(kinds)


def fields(schema: dict[str, Any]) -> list[str]:
    """The section of one kind of object: its fields and an example."""
    rows = [
        [f"`{name}`", shape(one), sentence(one.get("description", ""))]
        for name, one in schema.get("properties", {}).items()
    ]
    parts = [sentence(schema.get("description", "")), table(["field", "type", "meaning"], rows) if rows else ""]
    if "example" in schema:
        parts.append(f"```json\n{short(schema['example'])}\n```")
    return [part for part in parts if part]


def shape(schema: dict[str, Any]) -> str:
    """A type in words, with links to the objects among them."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(shape(one) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{json.dumps(one)}`" for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {shape(schema.get('items', {}))}"
    if schema.get("type") == "object" and "properties" in schema:
        return "an object with " + ", ".join(f"`{name}`: {shape(one)}" for name, one in schema["properties"].items())
    if schema.get("contentEncoding") == "base64":
        return "base64"
    if schema.get("contentMediaType"):
        return "file"
    kinds = schema.get("type", "any")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def short(example: Any) -> str:
    """An example as JSON on few lines, its long texts cut."""
    cut = json.loads(json.dumps(example), object_hook=lambda one: {key: _cut(item) for key, item in one.items()})
    text = json.dumps(cut, ensure_ascii=False)
    return text if len(text) <= 90 else json.dumps(cut, indent=2, ensure_ascii=False)


def _cut(item: Any) -> Any:
    if isinstance(item, list) and len(item) > 12:
        return [*item[:4], "…"]
    if isinstance(item, str) and len(item) > 100 and " " not in item:
        return f"{item[:24]}…"
    return [_cut(one) for one in item] if isinstance(item, list) else item
