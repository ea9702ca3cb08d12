"""Hook of mkdocs: links from a page to files of the repository that are no pages become their names.

A page in the repository may link to a source file beside the docs; the site has no such file.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\]\[]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The page, its links to files outside the site as plain words; a link to nothing stays, and is told."""
    folder = PurePosixPath("docs") / PurePosixPath(page.file.src_uri).parent

    def shown(link: re.Match[str]) -> str:
        words, target = link[1], link[2]
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        place = (ROOT / folder / target).resolve()
        is_page = (
            files.get_file_from_path(place.relative_to(ROOT / "docs").as_posix())
            if (place.is_relative_to(ROOT / "docs"))
            else None
        )
        return link[0] if is_page is not None or not place.exists() else words

    return LINK.sub(shown, markdown)
