"""The files beside the code that others' programs read: are they what those programs expect?

In: the checkout. Out: one line that says what was read, or `CheckFailed`.
"""

from __future__ import annotations

from release.environment import ROOT, CheckFailed, run, tool

CARDS = ROOT / "docs" / "model-cards"
SCHEMAS = {
    "citation-file-format": ["CITATION.cff"],
    "github-workflows": [".github/workflows/*.yml"],
    "github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "github-issue-forms": [".github/ISSUE_TEMPLATE/[!c]*.yml"],
}


def check() -> str:
    """The citation, workflows and forms fit their schemas, and Hugging Face's library reads each card of a network.

    Raises:
        CheckFailed: one of them does not.
    """
    from huggingface_hub import ModelCard  # of .venv-release: the tests import this file without it

    count = 0
    for schema, patterns in SCHEMAS.items():
        paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
        run([tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *paths])
        count += len(paths)
    cards = sorted(CARDS.glob("*.md"))
    for path in cards:
        data = ModelCard.load(path).data
        if (data.license, data.library_name) != ("apache-2.0", "inkdigit") or not data.tags:
            raise CheckFailed(f"{path}: its front matter is not read. Received: {data.to_dict()}.")
    return f"citation, workflows and forms: {count} files; {len(cards)} cards of networks"
