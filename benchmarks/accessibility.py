"""Runs axe over every page of a running `sextant serve`, light and wide, dark and narrow; exits with 1 if it objects.

npm pack axe-core && tar xzf axe-core-*.tgz
python benchmarks/accessibility.py http://127.0.0.1:8765/c/archive package/axe.min.js --column porthole

Needs Playwright (`pip install playwright`) and an installed Chromium. The rules are those of WCAG 2.0, 2.1 and 2.2,
A and AA.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import sync_playwright

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WAYS = (("light", 1280, 900), ("dark", 390, 844))


def pages(address: str, query: str, column: str, image: str) -> list[str]:
    """Every kind of page of a collection."""
    below = ("columns", f"columns/{column}", f"images/{image}", "vocabulary", "review", "feedback", "models", "curate")
    return [address, f"{address}?q={quote(query)}", *(f"{address}/{name}" for name in below)]


def objections(page: Any, address: str, axe: str) -> list[str]:
    """What axe finds wrong with one page."""
    page.goto(address)
    page.wait_for_timeout(1000)
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    return [
        f"{v['impact']}: {v['id']}, {len(v['nodes'])} times: {v['nodes'][0]['html'][:100]}" for v in found["violations"]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="of a collection's gallery")
    parser.add_argument("axe", type=Path)
    parser.add_argument("--query", default="a rocket")
    parser.add_argument("--column", default="porthole")
    asked = parser.parse_args()
    address, axe, failed = asked.address.rstrip("/"), asked.axe.read_text(encoding="utf-8"), 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme, width, height in WAYS:
            size = {"width": width, "height": height}
            context = browser.new_context(color_scheme=scheme, viewport=size, bypass_csp=True)
            page = context.new_page()
            api = address.replace("/c/", "/api/v1/collections/")
            image = context.request.get(f"{api}/images?limit=1").json()["images"][0]["id"]
            for one in pages(address, asked.query, asked.column, image):
                wrong = objections(page, one, axe)
                failed += len(wrong)
                print(f"{scheme} {width} × {height}  {one}", *(wrong or ["nothing"]), sep="\n    ")
        browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
