"""The page: safe to show hostile samples in, complete without a network; driven where Chromium is."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import httpx
import pytest

from support.browser import DESK, PHONE, cut_texts, faint_texts, opened, overflow
from support.running import Upstream, alias, running
from support.speaker import Speaker
from support.stub_server import Reply

SOURCES = ("playground.html", "playground.css", "playground.js", "playground.svg")
HOSTILE = r'<img src=x onerror="document.title=1"> $\href{javascript:alert(1)}{x}$ \boxed{4}'


def source(name: str) -> str:
    return (files("sampleset") / "serve" / "page" / name).read_text("utf-8")


def test_the_page_comes_with_its_files_and_a_policy():
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        page = httpx.get(server.url)
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        links = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
        assert len(links) == 9
        for link in (*links, "/static/katex/fonts/KaTeX_Main-Regular.woff2"):
            assert httpx.get(server.url + link).status_code == 200, link
        for other in ("page.html", "../data/README.md", "%2e%2e/__init__.py", "katex/README.md"):
            assert httpx.get(f"{server.url}/static/{other}").status_code == 404


def test_the_page_takes_nothing_from_elsewhere_and_writes_no_markup():
    for name in SOURCES:
        assert not re.findall(r"https?://(?!www\.w3\.org)|@import|\burl\(", source(name)), name
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", source("playground.js")
    )
    assert not re.findall(r"\son\w+=|<style|style=|<script>", source("playground.html"))


def test_every_element_that_the_script_looks_for_stands_in_the_page():
    wanted = set(re.findall(r'\$\("([\w-]+)"\)', source("playground.js")))
    there = re.findall(r'\sid="([\w-]+)"', source("playground.html"))
    assert len(wanted) > 30
    assert wanted <= set(there)
    assert len(there) == len(set(there))


def test_every_event_of_a_stream_is_known_to_the_page():
    script = source("playground.js")
    for event in ("sample", "vote", "retry", "aggregating", "escalating", "read", "words"):
        assert f'event.event === "{event}"' in script, event


def test_a_person_asks_watches_and_replays(browser: Any):
    with Upstream() as upstream:
        upstream.says = lambda request: HOSTILE if request["seed"] % 3 else r"So $x^2$ is \boxed{5}"
        with running({"careful": alias(upstream, k=3)}, keep_runs=3) as server:
            page, complaints = opened(browser, server.url)
            page.get_by_label("Question", exact=True).fill("What is 2 + 2?")
            page.keyboard.press("Control+Enter")
            page.get_by_text("link to this run").wait_for()
            assert page.locator("#final").inner_text() == "4"
            assert page.locator(".sample").count() == 3
            assert page.locator(".vote").first.inner_text().split("\n")[0] == "4"
            assert page.locator("#samples .katex").count() >= 3
            assert page.locator("#samples img, #samples a").count() == 0
            assert overflow(page) == 0
            link = page.url
            assert "#run=" in link
            again = browser.new_page()
            again.goto(link)
            again.get_by_text("link to this run").wait_for()
            assert again.locator("#final").inner_text() == "4"
            assert again.get_by_label("Question", exact=True).input_value() == "What is 2 + 2?"
            assert not complaints


def test_a_person_stops_a_run(browser: Any):
    with Upstream() as upstream:
        upstream.says = lambda request: "hang"
        with running({"careful": alias(upstream, k=2)}) as server:
            page = browser.new_page()
            page.goto(server.url)
            page.get_by_role("button", name="Eggs").click()
            page.get_by_role("button", name="Ask").click()
            page.get_by_role("button", name="Stop").click()
            page.get_by_text("Everything in flight was cancelled").wait_for()
            page.wait_for_timeout(1000)
            assert upstream.abandoned == 2


def test_the_keyboard_is_enough_and_the_dark_is_dark(browser: Any):
    with Upstream() as upstream, Upstream(says=lambda request: "So.</think>\n<answer>5</answer>") as reader:
        upstream.says = lambda request: rf"\boxed{{{4 + request['seed'] % 2}}}"
        model = {"model": "stub-model", "base_url": reader.base_url}
        own = alias(upstream, k=2, aggregator="llm_aggregator", aggregator_model=model)
        with running({"careful": own}) as server:
            page = browser.new_page(color_scheme="dark")
            page.goto(server.url)
            page.locator("#aggregator option[value=llm_aggregator]:checked").wait_for(state="attached")
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
            page.keyboard.press("Tab")
            page.keyboard.type("What is 2 + 3?")
            page.keyboard.press("Control+Enter")
            page.get_by_text("1 of 2", exact=True).wait_for()
            page.get_by_text("1 of 2 samples say so").wait_for()
            assert page.locator("#final").inner_text() == "5"
            assert page.locator(".vote").first.inner_text().startswith("5")
            assert "What is 2 + 3?" in page.locator("#reads-text").text_content()
            assert "So." in page.locator("#wrote-text").text_content()
            colours = page.evaluate(
                "[getComputedStyle(document.body)].map(s => [s.backgroundColor, s.color])"
            )
            paper, ink = (sum(map(int, re.findall(r"\d+", one))) for one in colours[0])
            assert paper < 150 < 500 < ink
            upstream.says = lambda request: "hang"
            page.keyboard.press("Control+Enter")
            page.get_by_text("0 of 2 samples are back").wait_for()
            page.keyboard.press("Escape")
            page.get_by_text("Everything in flight was cancelled").wait_for()


def test_words_are_seen_while_they_are_written(browser: Any):
    thinks = ["Three is", None, " wrong.</think><answer>4</answer>"]
    with (
        Speaker(lambda request: ["Let me see.", None, rf" \boxed{{{3 + request['seed'] % 2}}}"]) as upstream,
        Speaker(lambda request: thinks) as reader,
    ):
        own = {"upstreams": [upstream.model], "k": 2, "aggregator": "llm_aggregator"}
        with running({"careful": {**own, "aggregator_model": reader.model}}) as server:
            page = browser.new_page()
            page.goto(server.url)
            page.get_by_label("Question", exact=True).fill("What is 2 + 2?")
            page.keyboard.press("Control+Enter")
            page.locator(".sample.speaking").get_by_text("Let me see.").nth(1).wait_for()
            assert page.locator("#votes li").count() == 0
            upstream.go.set()
            page.locator("#wrote-text").get_by_text("Three is").wait_for()
            assert page.locator("#votes li").count() == 2
            reader.go.set()
            page.get_by_text("Aggregator's share").wait_for()
            assert page.locator("#final").inner_text() == "4"
            assert page.locator(".sample.speaking").count() == 0


def test_an_error_is_told_where_it_can_be_read(browser: Any):
    with Upstream() as upstream, running({"careful": alias(upstream, k=2, max_retries=0)}) as server:
        upstream.says = lambda request: Reply(500, {})
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(server.url)
        page.get_by_label("Question", exact=True).fill("What is 2 + 2?")
        page.get_by_role("button", name="Ask").click()
        page.get_by_role("alert").get_by_text("0 of 2 samples came back").wait_for()
        assert page.get_by_role("button", name="Ask").is_enabled()


LONG = (
    "Let us see. " * 200 + "x" * 500 + r" $" + " + ".join("a_{1}^{2}" for _ in range(60)) + r"$ So \boxed{4}"
)


def test_a_long_sample_is_cut_with_a_button_that_shows_all_of_it(browser: Any):
    with Upstream() as upstream, running({"careful": alias(upstream, k=3)}) as server:
        upstream.says = lambda request: LONG if request["seed"] % 3 else r"So \boxed{5}"
        page, errors = opened(browser, server.url)
        page.get_by_label("Question", exact=True).fill("w" * 300)
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("Aggregator", exact=True).last.wait_for()
        page.get_by_role("button", name="Show all").first.wait_for()
        assert [label for label, _ in cut_texts(page, ".words")] == ["Show all", "Show all"]
        assert page.get_by_role("button", name="Show all").count() == 2
        for _ in range(2):
            page.get_by_role("button", name="Show all").first.click()
        assert cut_texts(page, ".words") == []
        assert page.get_by_role("button", name="Show less").count() == 2
        assert overflow(page) == 0
        assert not errors


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
def test_every_word_of_the_playground_can_be_read(browser: Any, scheme: str, screen: dict[str, int]):
    with Upstream() as upstream, running({"careful": alias(upstream, k=9, max_k=9)}) as server:
        upstream.says = lambda request: rf"So it is \boxed{{{request['seed'] % 8}}}"
        page, errors = opened(browser, server.url, color_scheme=scheme, viewport=screen)
        page.get_by_role("button", name="Eggs").click()
        assert faint_texts(page) == []
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("Tokens", exact=True).wait_for()
        assert page.locator(".vote").count() > 2
        assert faint_texts(page) == []
        assert overflow(page) == 0
        assert not errors
