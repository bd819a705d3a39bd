"""Draw the rooms of the library, from the top down, with what each is for: `python docs/rooms.py`.

Sizes and sentences are read from the code, so that the picture cannot drift from it.
"""

from __future__ import annotations

import ast
import html
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ORDER = (
    *("cli", "study", "training", "pipeline", "regions", "testing", "plugins", "selection", "distillation"),
    *("evaluation", "data", "results", "decoders", "runtimes", "images", "geometry"),
)
WIDTH, ROW, LEFT = 1080, 34, 210
COLOURS = {"dld_core": "#e8f0fb", "dld_backends": "#eaf6ea", "dld_plugins": "#fbf1e3"}


def rooms() -> list[tuple[str, str, int, str]]:
    """(package, room, lines of code, first sentence of its docstring) from the top down."""
    found = []
    for package in ("dld_plugins", "dld_backends", "dld_core"):
        names = (
            ORDER
            if package == "dld_core"
            else sorted(p.parent.name for p in (ROOT / package).glob("*/__init__.py"))
        )
        for name in names:
            folder = ROOT / package / name
            if not (folder / "__init__.py").is_file():
                continue
            text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
            lines = sum(path.read_text(encoding="utf-8").count("\n") for path in folder.rglob("*.py"))
            found.append((package, name, lines, text.split("\n\n")[0].replace("\n", " ")))
    return found


def picture() -> str:
    """The rooms as SVG, one row each; imports go down the page, from the outer packages into the core."""
    rows = rooms()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {ROW * len(rows) + 50}" '
        'font-family="sans-serif" font-size="13">',
        '<text x="10" y="22" fill="#444">Imports go down: dld_plugins and dld_backends use dld_core, '
        "and each room of dld_core those below it.</text>",
    ]
    for index, (package, name, lines, sentence) in enumerate(rows):
        y = 36 + index * ROW
        parts.append(
            f'<rect x="6" y="{y}" width="{WIDTH - 12}" height="{ROW - 4}" rx="5" fill="{COLOURS[package]}"/>'
            f'<text x="16" y="{y + 20}" font-weight="bold">{package.removeprefix("dld_")}/{name}</text>'
            f'<text x="{LEFT - 14}" y="{y + 20}" text-anchor="end" fill="#777">{lines:,}</text>'
            f'<text x="{LEFT}" y="{y + 20}">{html.escape(sentence[:130])}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    (ROOT / "docs" / "images" / "rooms.svg").write_text(picture(), encoding="utf-8")
