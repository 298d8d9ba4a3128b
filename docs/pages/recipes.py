"""`recipes.md`: every field of a recipe with its default and meaning, and the bundled recipes."""

from __future__ import annotations

import inspect


def pages() -> dict[str, str]:
    """The page by its name."""
    from inkdigit.training import recipe

    source = inspect.getsource(recipe.Recipe)
    fields = source[source.index("    name: str") : source.index("    @model_validator")]
    lines = [line.removeprefix("    ") for line in fields.rstrip().splitlines()]
    files = {name: path.read_text(encoding="utf-8") for name, path in recipe.bundled().items()}
    parts = [
        "# Recipes",
        "A recipe is a flat TOML file; what it leaves out has the default below. `inkdigit train NAME --set key=value` "
        "changes single fields, and every run directory holds the `recipe.toml` that repeats it.",
        "## Every field",
        "<!-- not run: these are the fields of a class -->",
        "```python\n" + "\n".join(lines) + "\n```",
        "## The bundled recipes",
        *(f"### `{name}`\n\n```toml\n{text.strip()}\n```" for name, text in files.items()),
    ]
    return {"recipes.md": "\n\n".join(parts) + "\n"}
