"""The list of what a bare installation consists of, with licences: a CycloneDX document.

In: an environment. Out: `sbom.cdx.json`, made by the tool of CycloneDX and checked against the schema of the format.
"""

from __future__ import annotations

import json
from pathlib import Path

from release.environment import ROOT, CheckFailed, Environment, run, tool

# Packages whose metadata declare no licence → the licence in the file that they ship.
UNDECLARED = {"protobuf": "BSD-3-Clause"}


def write(env: Environment, path: Path) -> str:
    """Write the document for what is installed in `env`.

    Raises:
        CheckFailed: a package has no licence that is known, or the document is not valid.
    """
    from cyclonedx.schema import SchemaVersion  # of .venv-release: the tests import this file without it
    from cyclonedx.validation.json import JsonStrictValidator

    made = path.with_name("made.json")
    words = (
        "--pyproject",
        ROOT / "pyproject.toml",
        "--mc-type",
        "library",
        "--output-reproducible",
        "--no-validate",
        "--of",
        "JSON",
    )
    run([tool("cyclonedx-py"), "environment", env.program("python"), *words, "-o", made])
    document = json.loads(made.read_text(encoding="utf-8"))
    made.unlink()
    document["metadata"]["component"]["version"] = env.packages()["inkdigit"]
    for component in document["components"]:
        if not component.get("licenses"):
            component["licenses"] = [{"license": {"id": _licence(component["name"]), "acknowledgement": "concluded"}}]
    text = json.dumps(document, indent=2) + "\n"
    if (fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise CheckFailed(f"The list of packages is not valid CycloneDX: {fault}")
    path.write_text(text, encoding="utf-8")
    return f"{path.name}: {len(document['components'])} packages, each with its licence"


def _licence(name: str) -> str:
    if name not in UNDECLARED:
        raise CheckFailed(f"{name} declares no licence. Read the one that it ships, and add it to `UNDECLARED`.")
    return UNDECLARED[name]
