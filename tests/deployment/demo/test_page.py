"""The page in a real browser: its scores against Python's, what it shows, and that it asks nobody else."""

import base64
import functools
import http.server
import json
import re
import threading
import time

import numpy as np
import pytest
from chromium import CHROMIUM, Chromium

from clicv2_keras.deployment.demo.files import write_demo
from clicv2_keras.deployment.scoring.percentiles import Percentiles
from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.utils.model_list import list_models

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH"),
]


@pytest.fixture(scope="module")
def page(url, pictures, tmp_path_factory):
    """The page after the pictures and a file that is none were chosen."""
    folder = tmp_path_factory.mktemp("chromium")
    (folder / "text.jpg").write_text("This is no picture.")
    with Chromium(folder) as browser:
        browser.open(url)
        browser.choose("#files", [*pictures.values(), folder / "text.jpg"])
        wait_for(browser, "document.querySelectorAll('.card').length == 6")
        yield browser


def wait_for(browser, condition):
    end = time.monotonic() + 30
    while not browser.evaluate(condition):
        assert time.monotonic() < end, f"{condition}: {browser.evaluate('document.body.innerText')}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def expected(pictures):
    scorer = Scorer("default")
    return {name: scorer.score(file) for name, file in pictures.items()}


def test_the_cards_show_the_scores_of_python_the_most_complex_first(page, expected):
    cards = page.evaluate("""[...document.querySelectorAll(".card:not(.failed)")].map(card =>
        [card.querySelector(".name").textContent, +card.querySelector("data").value,
         card.querySelector(".score").textContent])""")
    assert {name: score for name, score, _ in cards} == {
        name: pytest.approx(score.score, abs=1e-3) for name, score in expected.items()
    }
    assert [score for _, score, _ in cards] == sorted((score for _, score, _ in cards), reverse=True)
    assert all(text == f"{score:.3f}" for _, score, text in cards)
    assert page.evaluate("document.querySelector('.card.failed').innerText").startswith("text.jpg\nnot an image")


def test_the_cards_place_each_score_among_everyday_photographs(page, expected):
    among = page.evaluate("""[...document.querySelectorAll(".card:not(.failed)")].map(card =>
        [card.querySelector(".name").textContent, card.querySelector(".among").textContent])""")
    percentiles = Percentiles(Scorer().metadata)
    for name, text in among:
        share = re.fullmatch(r"busier than (\d+) % of everyday photographs", text)[1]
        # The browser's score is off by up to .001.
        low, high = (percentiles(expected[name].score + step) for step in (-1e-3, 1e-3))
        assert round(low) <= int(share) <= round(high)
    ties = page.evaluate("""(async () => { const { percentile } = await import("/percentile.js");
        return [0, 0.1, 0.15, 0.2, 0.5, 0.9, 1].map(score => percentile(score, [0.1, 0.2, 0.2, 0.9])) })()""")
    assert ties == [0, 12.5, 25, 50, 75, 87.5, 100]


def test_a_model_without_reference_photographs_says_nothing_of_them(page):
    text = page.evaluate("""(async () => { const { PictureCard } = await import("/picture_card.js");
        const bitmap = await createImageBitmap(new ImageData(4, 4));
        const said = { score: 0.5, map: [0.5], rows: 1, columns: 1 };
        return PictureCard.of("mine", bitmap, said, undefined).element.textContent })()""")
    assert "0.500" in text and "busier" not in text and "undefined" not in text


def test_map_and_embedding_are_python_s_too(page, pictures, expected):
    for name, file in pictures.items():
        data = json.dumps(base64.b64encode(file.read_bytes()).decode())
        page.evaluate(f"globalThis.bytes = Uint8Array.from(atob({data}), c => c.charCodeAt(0)), 0")
        got = page.evaluate("""(async () => {
            const { decode } = await import("/network_input.js");
            const { scorer } = await import("/page.js");
            const bitmap = await decode(new Blob([bytes]));
            const { score, map, rows, columns, embedding } = await (await scorer).score(bitmap);
            return { score, map: [...map], rows, columns, embedding: [...embedding] };
        })()""")
        map = np.reshape(got["map"], (got["rows"], got["columns"]))
        # A pixel that is off by one can move a patch by some thousandths, as its activations are rounded to 8 bits.
        np.testing.assert_allclose(map, expected[name].map, atol=0.02)
        assert map.mean() == pytest.approx(got["score"], abs=1e-5)
        assert np.corrcoef(got["embedding"], expected[name].embedding)[0, 1] > 0.999


def test_the_picture_stands_upright_beside_its_map_which_lies_over_it_again(page):
    turned = """[...document.querySelectorAll(".card")].find(card => card.innerText.includes("turned.jpg"))"""
    assert "500 × 900" in page.evaluate(f"{turned}.innerText")
    boxes = page.evaluate(f"""[...{turned}.querySelectorAll("canvas")].map(canvas => {{
        const {{ x, y, width, height }} = canvas.getBoundingClientRect(); return [x, y, width, height] }})""")
    picture, under, grid = boxes
    assert under == grid and grid[3] / grid[2] == pytest.approx(1.8, rel=0.02)
    # The picture itself beside it, as high and as large.
    assert picture[1:] == grid[1:] and picture[0] + picture[2] < grid[0]
    assert page.evaluate(f"getComputedStyle({turned}.querySelector('.picture')).filter") == "none"


def test_the_controls_change_the_map(page):
    color = "[...document.querySelector('.map').getContext('2d').getImageData(0, 0, 8, 8).data].join()"
    before = page.evaluate(color)
    page.evaluate("document.getElementById('stretch').click()")
    assert page.evaluate(color) != before
    page.evaluate("document.getElementById('stretch').click()")
    assert page.evaluate(color) == before
    page.evaluate("""(() => { const slider = document.getElementById("opacity");
        slider.value = 20; slider.dispatchEvent(new Event("input")); })()""")
    wait_for(page, "getComputedStyle(document.querySelector('.map')).opacity == 0.2")


@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_the_window(page, width):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width == 400)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_samples_are_added_and_a_picture_can_be_removed_by_keyboard(page):
    page.evaluate("document.getElementById('samples').focus()")
    press_enter(page)
    wait_for(page, "document.querySelectorAll('.card').length == 12")
    page.evaluate("document.querySelector('.remove').focus()")
    press_enter(page)
    assert page.evaluate("document.querySelectorAll('.card').length") == 11
    assert page.evaluate("document.activeElement.className") == "remove"


def press_enter(page):
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key="Enter", text="\r", windowsVirtualKeyCode=13)


def test_a_picture_can_be_dropped_and_pasted(page):
    before = page.evaluate("document.querySelectorAll('.card').length")
    page.evaluate("""(async () => {
        const data = new DataTransfer();
        const blob = await (await fetch("/samples/0.png")).blob();
        data.items.add(new File([blob], "dropped.png"));
        dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
    })()""")
    wait_for(page, f"document.querySelectorAll('.card').length == {before + 2}")


def test_it_asks_this_server_alone_and_meets_no_error(page, url):
    asked = [e["params"]["request"] for e in page.events if e.get("method") == "Network.requestWillBeSent"]
    assert asked and {request["method"] for request in asked} == {"GET"}
    assert all(request["url"].startswith(url) for request in asked)
    entries = [e["params"]["entry"] for e in page.events if e.get("method") == "Log.entryAdded"]
    assert [entry["text"] for entry in entries if entry["level"] == "error"] == []
    assert not any(e.get("method") == "Runtime.exceptionThrown" for e in page.events)


def test_what_it_says_is_of_the_model_it_runs(page):
    said = page.evaluate("document.querySelector('header').innerText")
    (shipped,) = (model for model in list_models() if "default" in model.aliases)
    assert (
        shipped.name in said and shipped.purpose in said and shipped.agreement.replace("*", "").replace("`", "") in said
    )
    free = page.evaluate("""(async () => (await import("/about.js")).about({ label_range: null }))()""")
    assert "No complexity that people judged taught it" in free and "fitted" not in free and "undefined" not in free
    seen = page.evaluate("""(async () => (await import("/about.js")).about({ saw_labels: true }))()""")
    assert "Human labels trained its encoder" in seen and "No complexity that people judged" not in seen
    assert Percentiles(Scorer().metadata).photographs in said and "percentages" not in free


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_as_files_below_any_address_it_scores_the_same_and_asks_nobody_else(expected, pictures, tmp_path):
    write_demo(tmp_path / "host" / "some" / "where")
    handler = functools.partial(QuietHandler, directory=tmp_path / "host")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, Chromium(tmp_path) as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/some/where/"
        browser.open(address)
        browser.choose("#files", [pictures["photo.jpg"]])
        wait_for(browser, "document.querySelectorAll('.card data').length == 1")
        score = browser.evaluate("+document.querySelector('.card data').value")
        assert score == pytest.approx(expected["photo.jpg"].score, abs=1e-3)
        assert "% of everyday photographs" in browser.evaluate("document.querySelector('.among').textContent")
        browser.evaluate("document.getElementById('samples').click()")
        wait_for(browser, "document.querySelectorAll('.card data').length == 7")
        # The policy stands in the page: what it does not allow does not leave the browser.
        browser.evaluate("""globalThis.refused = "", addEventListener("securitypolicyviolation", (event) => {
            refused = `${event.effectiveDirective} ${event.blockedURI}`
        }), fetch("http://127.0.0.1:1/x").catch(() => 0), 0""")
        wait_for(browser, "refused == 'connect-src http://127.0.0.1:1/x'")
        asked = [e["params"]["request"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
        assert asked and all(request["url"].startswith(address) for request in asked)
        server.shutdown()
