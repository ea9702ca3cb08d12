"""What a page must be for a reader: it fits the screen, hides nothing, can be read, has no script errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
_CHECKS = Path(__file__).with_suffix(".js").read_text("utf-8").partition("\n")[2].strip()


def chromium() -> Iterator[Any]:
    """A headless Chromium, or a skip where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable)
        except api.Error as error:
            pytest.skip(f"no Chromium: {error}")
        yield browser
        browser.close()


def opened(browser: Any, url: str, **options: Any) -> tuple[Any, list[str]]:
    """A new page at the address, and the list that its script errors are added to."""
    page = browser.new_page(**{"viewport": PHONE, **options})
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    return page, errors


def overflow(page: Any) -> int:
    """By how many pixels the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def faint_texts(page: Any) -> list[str]:
    """Texts whose contrast is below what WCAG 2.2 asks for at level AA, with the contrast."""
    return page.evaluate(f"{_CHECKS}.faint()")


def cut_texts(page: Any, selector: str) -> list[list[str]]:
    """Boxes that hide a part of their text: the label of the button that shows it, and the text's start."""
    return page.evaluate(f"(selector) => {_CHECKS}.cut(selector)", selector)


def narrow_texts(page: Any, selector: str) -> list[str]:
    """Texts that stand in boxes narrower than four letters."""
    return page.evaluate(f"(selector) => {_CHECKS}.narrow(selector)", selector)
