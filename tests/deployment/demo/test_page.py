"""The page in a real browser: its scores against Python's, what it shows, and that it asks nobody else."""

import base64
import json
import time

import numpy as np
import pytest
from chromium import CHROMIUM, Chromium

from clicv2_keras.deployment.scoring.scorer import Scorer

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


def test_the_picture_stands_upright_and_the_map_lies_over_it(page):
    turned = """[...document.querySelectorAll(".card")].find(card => card.innerText.includes("turned.jpg"))"""
    assert "500 × 900" in page.evaluate(f"{turned}.innerText")
    boxes = page.evaluate(f"""[...{turned}.querySelectorAll("canvas")].map(canvas => {{
        const {{ x, y, width, height }} = canvas.getBoundingClientRect(); return [x, y, width, height] }})""")
    assert boxes[0] == boxes[1] and boxes[0][3] / boxes[0][2] == pytest.approx(1.8, rel=0.02)


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
