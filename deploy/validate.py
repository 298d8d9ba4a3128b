"""Validate the files of this folder: `python deploy/validate.py`.

In: the manifests of Kubernetes and KServe, compose.yaml. Out: one line for each document, and exit code 1 if one is not
valid. Each is checked by what others publish, if it is installed; else its line says what to install.

- Kubernetes: the JSON schemas of its API, with no field that they do not name, of the oldest and the newest version
  that the package `kubernetes-validate` has.
- KServe: it publishes its schemas only with its releases. Its Python SDK has the same types as models, from which a
  schema is made here, with the types of Kubernetes from the schemas above. The SDK is read, not imported.
- Compose: the program `docker-compose` reads the file; it needs no engine for that.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MANIFESTS = ("kubernetes/inkdigit.yaml", "kubernetes/hpa-queue.yaml", "kserve/inkdigit.yaml")
COMPOSE = "compose.yaml"
KSERVE = "serving.kserve.io/"
GROUPS = ("io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1.", "io.k8s.api.apps.v1.")
PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "object": {},
    "ResourceQuantity": {"type": ["string", "number"]},
}


class Missing(Exception):
    """What validates is not installed; the message says how to install it."""


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    if find_spec("yaml") is None:
        raise Missing("PyYAML is not installed: pip install pyyaml")
    import yaml

    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def problems(document: dict[str, Any], version: str | None = None) -> list[str]:
    """What is wrong with a document of Kubernetes or KServe; `version` of Kubernetes is the newest by default.

    Raises:
        Missing: the schemas are not installed.
    """
    if document["apiVersion"].startswith(KSERVE):
        return _by_schema(document, kserve_schema(document), version or versions()[-1])
    require_schemas()
    import kubernetes_validate

    try:
        kubernetes_validate.validate(document, version or versions()[-1], strict=True)
    except kubernetes_validate.ValidationError as exc:
        return [f"{'.'.join(map(str, exc.path))}: {exc.message}"]
    except kubernetes_validate.SchemaNotFoundError as exc:
        return [exc.message]
    return []


def versions() -> list[str]:
    """The versions of Kubernetes whose schemas are installed, the oldest first."""
    require_schemas()
    import kubernetes_validate.utils

    return [re.sub(r"^(\d+\.\d+).*", r"\1", each) for each in kubernetes_validate.utils.all_versions()]


def require_schemas() -> None:
    """Fail if the schemas of Kubernetes are not installed."""
    if find_spec("kubernetes_validate") is None:
        raise Missing("the schemas of Kubernetes are not installed: pip install kubernetes-validate")


def _by_schema(document: dict[str, Any], schema: dict[str, Any], version: str) -> list[str]:
    from jsonschema.validators import Draft202012Validator
    from referencing import Registry, Resource

    registry = Resource.from_contents(definitions(version)) @ Registry()
    found = Draft202012Validator(schema, registry=registry).iter_errors(document)
    return [f"{'.'.join(map(str, each.path))}: {each.message}" for each in found]


@cache
def definitions(version: str) -> dict[str, Any]:
    """The definitions of all types of Kubernetes."""
    require_schemas()
    (home,) = find_spec("kubernetes_validate").submodule_search_locations  # type: ignore[union-attr, misc]
    folder = Path(home) / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    found: dict[str, Any] = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    return found


def kserve_schema(document: dict[str, Any]) -> dict[str, Any]:
    """A schema of a document of KServe, made of the models of its SDK."""
    models = kserve_models()
    name = document["apiVersion"].removeprefix(KSERVE).capitalize() + document["kind"]
    kubernetes = definitions(versions()[-1])
    defs = {each: _model_schema(model, models, kubernetes) for each, model in models.items()}
    return {"$id": "urn:kserve", "$ref": f"#/$defs/{name}", "$defs": defs}


def _model_schema(model: dict[str, Any], models: dict[str, Any], kubernetes: dict[str, Any]) -> dict[str, Any]:
    names = model["attribute_map"]
    return {
        "type": "object",
        "properties": {
            names[key]: _type_schema(kind, models, kubernetes) for key, kind in model["openapi_types"].items()
        },
        "required": [names[key] for key in model["required"]],
        "additionalProperties": False,
    }


def _type_schema(kind: str, models: dict[str, Any], kubernetes: dict[str, Any]) -> dict[str, Any] | bool:
    """The schema of a type as the SDK writes it; a type that nobody defines accepts nothing."""
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        return {"type": "array", "items": _type_schema(found[1], models, kubernetes)}
    if found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        return {"type": "object", "additionalProperties": _type_schema(found[1], models, kubernetes)}
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in models:
        return {"$ref": f"#/$defs/{kind}"}
    short = re.sub(r"^(V1|K8sIoApiAppsV1)", "", kind)
    names = (group + short for group in GROUPS if group + short in kubernetes["$defs"])
    name = next(names, None)
    return False if name is None else {"$ref": f"{kubernetes['$id']}#/$defs/{name}"}


@cache
def kserve_models() -> dict[str, dict[str, Any]]:
    """The models of KServe's SDK: class → its types, its names in YAML, and what is required."""
    spec = find_spec("kserve")
    if spec is None or not spec.submodule_search_locations:
        raise Missing("the SDK of KServe is not installed: pip install --no-deps kserve")
    folder = Path(next(iter(spec.submodule_search_locations))) / "models"
    models = {}
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                tables = dict(_tables(node))
                required = re.findall(r"Invalid value for `(\w+)`, must not be `None`", text)
                if {"openapi_types", "attribute_map"} <= tables.keys():
                    models[node.name] = {**tables, "required": sorted(set(required))}
    return models


def _tables(node: ast.ClassDef) -> Iterator[tuple[str, dict[str, str]]]:
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and isinstance(line.value, ast.Dict):
            yield line.targets[0].id, ast.literal_eval(line.value)


def compose_problems(path: Path) -> list[str]:
    """What Compose says about a file.

    Raises:
        Missing: Compose is not installed.
    """
    program = shutil.which("docker-compose")
    if program is None:
        raise Missing("Compose is not installed; Debian has it: apt-get install docker-compose")
    done = subprocess.run(
        [program, "-f", str(path), "config", "-q"], capture_output=True, encoding="utf-8", check=False
    )
    return [] if done.returncode == 0 else [done.stderr.strip()]


def report() -> Iterator[tuple[str, list[str] | Missing]]:
    """Each document, and what is wrong with it, or why nothing can be said."""
    for name in MANIFESTS:
        for document in documents(FOLDER / name):
            try:
                found: list[str] | Missing = [
                    f"{version}: {problem}"
                    for version in (versions()[0], versions()[-1])
                    for problem in problems(document, version)
                ]
            except Missing as exc:
                found = exc
            yield f"{name} {document['kind']}", found
    try:
        found = compose_problems(FOLDER / COMPOSE)
    except Missing as exc:
        found = exc
    yield COMPOSE, found


def main() -> None:
    """Print what is valid, and exit with 1 if something is not."""
    failed = False
    for name, found in report():
        failed = failed or bool(found and not isinstance(found, Missing))
        text = f"not checked: {found}" if isinstance(found, Missing) else "; ".join(found) or "valid"
        sys.stdout.write(f"{name}: {text}\n")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
