"""The generated documents: the stage table of the README and the catalogue of datasets. A test holds them up to date."""

import ast
from pathlib import Path

from stages.describe import dataset_page, stage_page, stage_table
from stages.pipeline import ALL
from stages.schema import schema_names

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- generated: {name} -->", "<!-- end: {name} -->"


def documents() -> dict[Path, str]:
    """Path -> what the file should hold now."""
    readme = ROOT / "README.md"
    return {
        readme: with_section(readme.read_text(encoding="utf-8"), "stages", stage_table(ALL)),
        ROOT / "schemas" / "README.md": catalogue(),
        ROOT / "stages" / "README.md": stage_pages(),
    }


def with_section(text: str, name: str, content: str) -> str:
    """`text` with what stands between the two markers of `name` replaced."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def catalogue() -> str:
    """Every dataset that flows, from schemas/*.yaml."""
    pages = "\n\n".join(f"## {name}\n\n```\n{dataset_page(name)}\n```" for name in schema_names())
    return f"# Datasets\n\nMade from the YAML files beside this page by `python -m stages docs`.\n\n{pages}\n"


def stage_pages() -> str:
    """What stands beside the stages, then every stage with its parameters, from stages/*/stage.py."""
    pages = "\n\n".join(f"## {stage.name}\n\n```\n{stage_page(stage)}\n```" for stage in ALL.stages)
    return (
        f"# Stages\n\nMade from the declarations in stages/*/stage.py by `python -m stages docs`.\n\n"
        f"A folder with a `stage.py` is a stage. The others hold what stages stand on and what runs them; none of "
        f"them stands on one that stands on it.\n\n{machinery()}\n\n{pages}\n"
    )


def machinery() -> str:
    """The folders that are no stages, each with the first words of its `__init__.py`, as a Markdown table."""
    faces = [
        path for path in sorted((ROOT / "stages").glob("*/__init__.py")) if not (path.parent / "stage.py").exists()
    ]
    rows = [f"| `{face.parent.name}/` | {ast.get_docstring(ast.parse(face.read_bytes()))} |" for face in faces]
    return "\n".join(["| folder | holds |", "|---|---|", *rows])


def stale_documents() -> list[str]:
    """Names of generated files that no longer say what the code says."""
    return [path.relative_to(ROOT).as_posix() for path, text in documents().items()
            if not path.exists() or path.read_text(encoding="utf-8") != text]  # fmt: skip


def write_documents() -> list[str]:
    """Brings the generated files up to date; returns the names of those that changed."""
    stale = stale_documents()
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
    return stale
