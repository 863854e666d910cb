"""The pages in a real browser: search, filter, label to a new state, pick and export, upload; by keyboard, on a phone.

Needs Chromium and Playwright, and says so where one is missing. Every other host is blocked: the pages work offline.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fakes import VOCABULARY, opened, picture
from sextant.collection import Collection
from sextant.vocabulary import parse

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PHONE = {"width": 390, "height": 844}
if not CHROMIUM:
    pytest.skip("no Chromium on this machine (`apt install chromium`)", allow_module_level=True)
playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed (`pip install playwright`)"
)

import uvicorn  # noqa: E402

from sextant.web import server  # noqa: E402
from sextant.web.app import application  # noqa: E402

REDS = 14


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "photos"
    numbers = np.random.default_rng(0)
    for k in range(60):
        strong, weak = int(numbers.integers(200, 256)), numbers.integers(0, 110, 2)
        red = (strong, int(weak[0]), int(weak[1]))
        other = (int(weak[0]), strong, int(numbers.integers(0, 256)))
        picture(folder / f"{'red' if k < REDS else 'other'}-{k:02d}.png", red if k < REDS else other, (64, 48))
    with opened(folder) as collection:
        collection.add(folder)
        collection.tag(parse(VOCABULARY, "vocabulary.yaml"), center=36.0, scale=1.5)
    return folder


@pytest.fixture
def photos(folder: Path, tmp_path: Path) -> Iterator[Collection]:
    with opened(Path(shutil.copytree(folder, tmp_path / "photos"))) as collection:
        yield collection


@pytest.fixture
def address(photos: Collection) -> Iterator[str]:
    listener: socket.socket = server.listening("127.0.0.1", 0)
    running = uvicorn.Server(server.config(application([photos], hosts=["127.0.0.1"])))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join(60)
    listener.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    yield from _page(browser, address)


@pytest.fixture
def phone(browser: Any, address: str) -> Iterator[Any]:
    yield from _page(browser, address, viewport=PHONE, has_touch=True, device_scale_factor=2)


def _page(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """A page whose errors, and whose requests to anywhere else, fail the test."""
    context = browser.new_context(
        base_url=address, accept_downloads=True, **{"viewport": {"width": 1280, "height": 800}, **options}
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda said: wrong.append(said.text) if said.type == "error" and "status of 4" not in said.text else None,
    )

    def elsewhere(route: Any) -> None:
        if route.request.url.startswith((address, "blob:")):
            route.continue_()
        else:
            wrong.append(f"asked {route.request.url}")
            route.abort()

    context.route("**/*", elsewhere)
    page.set_default_timeout(60_000)
    yield page
    context.close()
    assert not wrong


def until(page: Any, expression: str, arg: Any = None) -> None:
    """Waits for something to be true. Playwright's own way evaluates inside the page, which its policy forbids."""
    end = time.monotonic() + 60
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, expression
        time.sleep(0.02)


def search(page: Any, text: str) -> None:
    page.fill("#q", text)
    page.wait_for_selector("#grid .badge")
    until(page, "text => document.title.startsWith(text)", text)


def names(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#grid li .name", "all => all.map(one => one.textContent)")
    return found


def test_search_is_instant_and_says_what_numbers_are_worth(page: Any, photos: Collection) -> None:
    page.goto("/")
    page.wait_for_selector("#grid li")
    search(page, "red")
    page.wait_for_selector("#grid .badge")
    best = photos.search("red", limit=5, fold=True)
    assert names(page)[:5] == [hit.path for hit in best.hits]
    assert page.locator("#grid .badge").first.get_attribute("title").startswith("confidence")
    page.locator("#grid li").first.hover()
    page.locator("#grid li .why").first.click()
    page.wait_for_selector("#why .told p:nth-child(2)")
    assert "red" in page.inner_text("#why")
    page.keyboard.press("Escape")
    assert not page.locator("#why").is_visible()


def test_filters_write_a_rule_that_can_be_read_and_edited(page: Any, photos: Collection) -> None:
    page.goto("/c/photos")
    page.click("#open-filters")
    page.fill("#attribute", "red")
    until(page, "document.getElementById('where').value === 'red >= 0.8'")
    expected = len(photos.query("red >= 0.8"))
    until(page, f"document.getElementById('said').textContent.startsWith('{expected} ')")
    page.evaluate(
        "() => { const s = document.getElementById('slider-red'); s.value = 0.3; s.dispatchEvent(new Event('input')); }"
    )
    assert page.input_value("#where") == "red >= 0.3"
    page.fill("#where", "rde and green")
    page.wait_for_selector("#where[aria-invalid=true]")
    assert "unknown name 'rde'" in page.inner_text("#rule-said")
    page.fill("#where", "not red")
    until(page, "document.getElementById('rule-said').textContent === ''")
    assert page.url.endswith("where=not+red")


def test_25_key_presses_teach_a_column(page: Any, photos: Collection) -> None:
    page.goto("/c/photos/columns/red")
    page.wait_for_selector("#n-accepted:not(:empty)")
    assert page.inner_text("#trust") == "uncalibrated"
    before = int(page.inner_text("#n-accepted"))
    page.click("#teach-begin")
    page.wait_for_selector("#teach-stage:visible")
    for _ in range(25):
        shown = page.get_attribute("#teach-picture", "alt")
        page.keyboard.press("y" if shown.startswith("red") else "n")
        until(
            page,
            "shown => document.getElementById('teach-picture').alt !== shown"
            " || document.getElementById('teach-stage').hidden",
            shown,
        )
    page.wait_for_selector("#teach-stage", state="hidden")
    until(page, "document.getElementById('labels-said').textContent.includes('no so far')")
    deadline = time.monotonic() + 60
    while len(photos.labels(["red"])) < 25 and time.monotonic() < deadline:
        time.sleep(0.05)
    page.click("#calibrate")
    until(page, "document.getElementById('trust').textContent.startsWith('calibrated (25 labels')")
    page.wait_for_selector("#reliability svg")
    assert "ECE" in page.inner_text("#reliability")
    assert int(page.inner_text("#n-accepted")) > before
    assert int(page.inner_text("#n-accepted")) == len(photos.query("red is accepted"))


def test_band_edges_move_with_live_counts(page: Any, photos: Collection) -> None:
    page.goto("/c/photos/columns/red")
    page.wait_for_selector("#n-accepted:not(:empty)")
    page.locator(".edge-accepted").focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    assert page.input_value("#edge-accepted") == "0.68"
    p = photos.view(["red"]).values("red").confidence
    assert int(page.inner_text("#n-accepted")) == int((p >= 0.68).sum())
    page.click("#edges-save")
    page.wait_for_selector("#edges-save", state="hidden")
    assert photos.view(["red"]).thresholds("red").accepted == 0.68


def test_pick_and_export_with_provenance(page: Any, tmp_path: Path) -> None:
    page.goto("/c/photos?q=red")
    page.wait_for_selector("#grid .badge")
    page.locator("#grid li a").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.wait_for_selector("#picks:visible")
    assert page.inner_text("#picks-count") == "2 pictures picked"
    with page.expect_download() as downloading:
        page.click("#picks-export")
    downloading.value.save_as(tmp_path / "picks.zip")
    with zipfile.ZipFile(tmp_path / "picks.zip") as archive:
        document = json.loads(archive.read("provenance.json"))
    assert [image["found_by"]["query"] for image in document["images"]] == ["red", "red"]
    page.reload()
    page.wait_for_selector("#picks:visible")
    page.click("#picks-clear")
    page.wait_for_selector("#picks", state="hidden")


def test_a_board_is_chosen_ticked_kept_and_exported_by_keyboard(page: Any, photos: Collection, tmp_path: Path) -> None:
    for k in range(5):
        noise = np.random.default_rng(k).integers(-50, 51, (200, 240 + 20 * k, 1))
        pixels = np.clip(np.array((200, 30 + 12 * k, 30)) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"good-{k}.png")
    photos.add(tmp_path / "photos")
    page.goto("/c/photos/curate")
    page.fill("#query", "red")
    page.fill("#rule", "wdth > 3")
    page.click("#choose")
    until(page, "document.getElementById('rule-wrong').textContent.includes('wdth')")
    page.fill("#rule", "width > 3")
    page.fill("#least-confidence", "0")
    page.uncheck("#fold")
    page.keyboard.press("Enter")
    page.wait_for_selector("#cards li")
    assert page.locator("#cards li").count() == 5
    until(page, "document.activeElement.id === 'tick-1'")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.inner_text("#ticked") == "2 ticked"
    page.locator("#cards .shot").nth(3).click()
    page.locator("#cards .shot").nth(3).click()
    page.locator("#tick-3").focus()
    page.keyboard.press("k")
    until(page, "document.querySelectorAll('#cards .kept-mark').length === 2")
    assert page.evaluate("document.activeElement.id") == "tick-3"
    assert [pick.rank for pick in photos.picks()] == [1, 3]
    page.fill("#best", "1")
    page.click("#keep-best")
    until(page, "document.getElementById('notices').textContent.includes('1 picture kept')")
    page.click("#refused summary")
    assert "the shorter side is below 128" in page.inner_text("#refused")
    page.locator("#cards summary").first.click()
    assert "= " in page.locator("#cards .parts").first.inner_text()
    page.select_option("#format", "json")
    with page.expect_download() as downloading:
        page.click("#export")
    downloading.value.save_as(tmp_path / "picks.json")
    document = json.loads((tmp_path / "picks.json").read_text())
    kept = [pick.rank for pick in photos.picks()]
    assert [image["curation"]["rank"] for image in document["images"]] == kept
    page.reload()
    page.wait_for_selector("#cards li")
    assert page.input_value("#rule") == "width > 3"
    assert page.locator("#cards .kept-mark").count() == len(kept)
    assert f"{len(kept)} kept" in page.inner_text("#past")
    assert page.evaluate(UNNAMED) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(FAINT) == [], scheme
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_an_experiment_is_started_and_stopped_where_its_figures_are(page: Any, photos: Collection) -> None:
    page.goto("/c/photos/feedback")
    page.fill("#compare-name", "variety")
    page.select_option("#compare-way", "fold")
    assert not page.locator("#compare-value").is_visible()
    with page.expect_navigation():
        page.click("#compare button[type=submit]")
    assert [(e.name, e.b, e.share) for e in photos.experiments()] == [("variety", {"fold": False}, 0.5)]
    with page.expect_navigation():
        page.click("[data-stop=variety]")
    assert photos.experiments()[0].stopped_at


def test_an_outline_is_ticked_only_where_it_is_picked(phone: Any) -> None:
    phone.goto("/c/photos")
    phone.wait_for_selector("#grid .pick")
    shown = "getComputedStyle(one).visibility !== 'hidden'"
    ticks = f"[...document.querySelectorAll('#grid .pick svg')].filter(one => {shown}).length"
    assert phone.evaluate(ticks) == 0
    phone.locator("#grid .pick").first.tap()
    until(phone, f"{ticks} === 1")


def test_upload_with_tags(page: Any, photos: Collection, tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), (255, 3, 3)).save(tmp_path / "new one.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    page.goto("/c/photos")
    page.click("#upload-open")
    page.set_input_files("#upload-files", [tmp_path / "new one.jpg", tmp_path / "text.jpg"])
    page.fill("#upload-tags", "fresh, <b>bold</b>")
    page.click("#upload-form button[type=submit]")
    until(page, "document.getElementById('upload-said').textContent === '1 picture of 2 added.'")
    assert "not an image" in page.inner_text("#notices")
    (row,) = photos.query("tag('fresh')")
    page.goto(f"/c/photos/images/{row['id']}")
    assert page.inner_text("#tags").replace("×", "").split("\n")[0].strip() == "<b>bold</b>"


def test_an_override_by_hand_outranks_the_model(page: Any, photos: Collection) -> None:
    (row,) = photos.query("name = 'other-20.png'")
    page.goto(f"/c/photos/images/{row['id']}")
    page.click("summary:has-text('more that it does not show')")
    with page.expect_navigation():
        page.click("tr[data-code=red] [data-say=yes]")
    assert "by hand" in page.inner_text("tr[data-code=red]")
    assert [(o.code, o.value) for o in photos.catalog.overrides()] == [("red", True)]


def test_a_new_column_is_tried_before_it_is_saved(page: Any, photos: Collection) -> None:
    page.goto("/c/photos/vocabulary")
    page.fill("#phrase", "a yellow thing")
    page.wait_for_selector("#tried .badge")
    page.fill("#phrase", "a yellow house")
    until(page, "document.getElementById('tried').textContent.includes('a yellow house')")
    page.click("#tried >> text=Add to the text")
    page.wait_for_selector("#save:enabled")
    assert "makes 1 column: a_yellow_house" in page.inner_text("#changes")
    page.click("#save")
    until(page, "document.getElementById('notices').textContent.includes('1 column made')")
    assert "a_yellow_house" in photos.codes()
    page.fill("#text", page.input_value("#text") + "  - {code: 1x}\n")
    page.wait_for_selector("#problems li")
    assert page.locator("#save").is_disabled()
    page.fill("#text", page.input_value("#text").replace("  - {code: 1x}\n", ""))
    page.wait_for_selector("#problems li", state="detached")


def test_by_keyboard_alone(page: Any) -> None:
    page.goto("/c/photos")
    page.wait_for_selector("#grid li a")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("red")
    page.wait_for_selector("#grid .badge")
    page.keyboard.press("ArrowDown")
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") != first
    page.keyboard.press("End")
    until(page, AT_THE_END)
    page.keyboard.press("Home")
    page.keyboard.press("w")
    page.wait_for_selector("#why[open]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#why", state="hidden")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    page.keyboard.press("Escape")
    page.locator("#grid li a").first.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "/images/" in page.url


@pytest.mark.parametrize(
    "path", ["", "?q=red", "/curate", "/columns", "/columns/red", "/vocabulary", "/review", "/feedback", "/models"]
)
def test_a_phone_sees_all_of_it(phone: Any, path: str) -> None:
    phone.goto(f"/c/photos{path}")
    phone.wait_for_load_state("networkidle")
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_what_is_not_in_sight_does_not_exist(page: Any, photos: Collection, tmp_path: Path) -> None:
    page.goto("/c/photos")
    page.wait_for_selector("#grid li")
    page.evaluate(PRETEND)
    page.context.route("**/thumb*", lambda route: route.fulfill(status=200, content_type="image/webp", body=b""))
    page.select_option("#sort", "-taken_at")
    until(page, "document.getElementById('said').textContent === '100,000 pictures'")
    slowest = page.evaluate(
        """async () => {
          let slowest = 0, last = performance.now();
          for (let k = 0; k < 60; k++) {
            scrollTo(0, document.body.scrollHeight * k / 60);
            await new Promise(requestAnimationFrame);
            const now = performance.now();
            slowest = Math.max(slowest, now - last);
            last = now;
          }
          return slowest;
        }"""
    )
    assert page.locator("#grid li").count() < 150
    assert slowest < 400
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    until(page, "[...document.querySelectorAll('#grid .name')].some(one => one.textContent === 'n99999')")


def test_labels_and_contrasts_are_there_for_everyone(page: Any) -> None:
    for path in ("", "?q=red", "/curate", "/columns", "/columns/red", "/vocabulary", "/review", "/feedback", "/models"):
        page.goto(f"/c/photos{path}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate(UNNAMED) == []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(FAINT) == [], (path, scheme)


AT_THE_END = """() => {
  const tile = document.activeElement.closest('li');
  return tile?.getAttribute('aria-posinset') === tile?.getAttribute('aria-setsize');
}"""

PRETEND = """() => {
  const own = window.fetch;
  const card = name => ({ id: 'f'.repeat(32), path: 'x', name, width: 4, height: 3, confidences: {} });
  window.fetch = async (address, options) => {
    const url = new URL(address, location.origin);
    if (!url.pathname.endsWith('/images')) return own(address, options);
    const offset = Number(url.searchParams.get('offset') || 0);
    const images = Array.from({ length: 120 }, (_, k) => card(`n${offset + k}`));
    const answer = { images, total: 100000, offset, next: null, out_of_sight: 0 };
    return new Response(JSON.stringify(answer), { headers: { 'Content-Type': 'application/json' } });
  };
}"""

UNNAMED = """() => {
  const named = one => one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim() || one.title
    || one.querySelector('img[alt]:not([alt=""])');
  return [...document.querySelectorAll('button, a[href], input, select, textarea, [role=slider], img')]
    .filter(one => one.offsetParent !== null)
    .filter(one => one.tagName === 'IMG' ? !one.hasAttribute('alt') : !named(one))
    .map(one => one.outerHTML.slice(0, 120));
}"""

FAINT = """() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
  const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const behind = one => {
    for (let at = one; at; at = at.parentElement) {
      const c = parse(getComputedStyle(at).backgroundColor);
      if (c[3] > .5) return c;
    }
    return [255, 255, 255, 1];
  };
  const apart = '.hidden, svg, .picture, .verdicts, :disabled, select, datalist';
  const found = [];
  for (const one of document.querySelectorAll('main *, header *')) {
    const text = [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    const style = getComputedStyle(one);
    if (!text || one.offsetParent === null || one.closest(apart) || !style.color.startsWith('rgb')) continue;
    const [a, b] = [light(parse(style.color)), light(behind(one))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) found.push(`${one.tagName} ${one.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return found;
}"""


def test_a_click_is_told_before_the_page_is_left(page: Any, photos: Collection) -> None:
    page.goto("/c/photos")
    search(page, "red")
    page.locator("#grid a.picture").nth(1).click()
    page.wait_for_url("**/images/**")
    assert [(event.kind, event.rank) for event in photos.events()] == [("clicked", 2)]
    assert photos.metrics().overall.shown == 1
