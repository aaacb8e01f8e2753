"""The page in a browser: a Chromium of the system or, without one, playwright's own (playwright install chromium)."""

import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from data.world import stories
from gpt.files.checkpoint import save_model
from gpt.model import GPT, GPTConfig
from gpt.sampling import Sampling, probabilities
from gpt.tokenizer import Tokenizer
from tests.serving.conftest import serving, until

playwright = pytest.importorskip("playwright.sync_api", reason="it needs playwright of requirements/dev.txt")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
STORY = next(stories(5, "en")).text
NASTY = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script><|endoftext|>"


@pytest.fixture(scope="module")
def site(folders, tmp_path_factory):
    """A server of a small model that was trained on a few stories for seconds, and of a classifier."""
    texts = [story.text for story, _ in zip(stories(5, "en"), range(40), strict=False)]
    tokenizer = Tokenizer.train(texts, 600)
    torch.manual_seed(0)
    model = GPT(GPTConfig(tokenizer.vocab_size, 256, 2, 2, 32, position="rotary"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    data = [[tokenizer.end_of_text, *tokenizer.encode(text)][:129] for text in texts]
    for step in range(60):
        batch = torch.tensor([(data[i % 40] * 3)[:129] for i in range(step, step + 8)])
        loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_model(model.eval(), tokenizer, tmp_path_factory.mktemp("page") / "small")
    with serving((tmp_path_factory.getbasetemp() / "page0" / "small", folders[2], folders[1])) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        if not (CHROMIUM or Path(play.chromium.executable_path).exists()):
            pytest.skip("it needs Chromium: apt install chromium, or playwright install chromium")
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, url, **settings):
    """The page, in English on a wide screen unless said. No script may fail, and no policy be broken."""
    context = browser.new_context(**({"locale": "en-US", "viewport": {"width": 1300, "height": 900}} | settings))
    page, failures = context.new_page(), []
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda message: message.type == "error" and failures.append(message.text))
    page.goto(url)
    yield page
    assert [failure for failure in failures if "status of 400" not in failure] == []
    context.close()


@pytest.fixture
def page(browser, site):
    with opened(browser, site.url) as page:
        page.wait_for_selector("#model option", state="attached")
        yield page


def wait(page, condition):
    """Until a condition in JavaScript is true; playwright's own way needs eval, which the page's policy forbids."""
    until(lambda: page.evaluate(f"!!({condition})"), 30)


def write(page, prompt, tokens=12):
    page.fill("#prompt", prompt)
    page.fill("#most", str(tokens))
    page.fill("#seed", "3")
    page.click("#write")
    page.wait_for_selector("#choices li")
    page.wait_for_selector("#heads button")
    page.wait_for_selector("#story", state="visible")


def test_a_prompt_is_continued_token_by_token(page, site):
    write(page, "Once upon a time")
    tokenizer = site.served["small"].tokenizer
    number = len(tokenizer.encode("Once upon a time"))
    assert page.locator("#text .token.given").count() == number
    assert number < page.locator("#text .token").count() <= number + 13  # the next place is the last
    assert page.inner_text("#text").startswith("Once upon a time")
    assert re.search(r"\d+ tokens · \d\.\d+ bits each", page.inner_text("#facts"))
    assert "rgb" in page.locator("#text .token").nth(3).get_attribute("style")
    assert "bits" in page.locator("#text .token").nth(3).get_attribute("aria-label")


def test_an_empty_page_says_how_to_begin_and_has_no_empty_boxes(page):
    assert "Once upon a time" in page.get_attribute("#prompt", "placeholder")
    assert "Write something first" in page.inner_text("#place")
    assert not page.is_visible("#heads-title") and not page.is_visible("#lens-title") and not page.is_visible("#hint")
    assert page.get_attribute("#text", "role") == "group"  # a list box must have options
    write(page, "Once upon a time")
    assert page.is_visible("#heads-title") and page.is_visible("#lens-title") and page.is_visible("#hint")
    assert page.get_attribute("#text", "role") == "listbox"


def test_the_token_that_stands_at_a_place_is_in_sight_among_the_others_however_unlikely(page):
    write(page, "Once upon a time zqx")
    for place in range(1, page.locator("#text .token").count() - 1):
        page.locator("#text .token").nth(place).click()
        wait(page, f"shown.places.has({place}) && document.querySelector('#choices .here')")
        row, all_rows = page.locator("#choices .here").bounding_box(), page.locator("#choices").bounding_box()
        assert all_rows["y"] <= row["y"] + 1 and row["y"] + row["height"] <= all_rows["y"] + all_rows["height"] + 1
        here = page.inner_text("#choices .here .name")
        assert page.inner_text("#place").startswith(f"‹{here}›")
        ranks = page.evaluate("[rankOf(shown.places.get(selected)), shown.places.get(selected).logprobs.length]")
        assert 1 <= ranks[0] <= ranks[1]


def test_a_token_shows_what_else_could_have_stood_there_and_another_one_goes_on(page):
    write(page, "Once upon a time")
    page.locator("#text .token").nth(5).click()
    wait(page, "selected === 5 && document.getElementById('place').textContent.includes('number')")
    before = page.locator("#text .token").all_inner_texts()
    other = page.locator("#choices li:not(.here) button").first
    name = other.locator(".name").inner_text()
    other.click()
    page.wait_for_selector("#versions button >> nth=1")
    wait(page, "writing === null")
    after = page.locator("#text .token").all_inner_texts()
    assert after[:5] == before[:5] and after[5].strip("⏎\n") == name.strip("·⏎") and len(after) > 6
    page.click("#versions button >> nth=0")
    assert page.locator("#text .token").all_inner_texts() == before


def test_the_sliders_change_the_bars_at_once_to_what_sampling_py_draws_from(page):
    write(page, "Once upon a time")
    logprobs = page.evaluate("shown.places.get(selected).logprobs")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    for temperature, top_k, top_p in ((0.5, 12, 1.0), (1.5, 4, 1.0), (0.8, 12, 0.6), (1.0, 6, 0.9), (0.0, 12, 1.0)):
        for name, value in (("temperature", temperature), ("top-k", top_k), ("top-p", top_p)):
            page.locator(f"#{name}").evaluate(
                "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }", value
            )
        shown = page.evaluate("probabilities(shown.places.get(selected).logprobs, settings())")
        keep = page.evaluate("settings().topK") if top_k < 12 else None
        expected = torch.zeros(len(logprobs))
        expected[0] = 1.0
        if temperature:
            sampling = Sampling(temperature, keep, top_p if top_p < 1 else None)
            expected = probabilities(torch.tensor([logprobs]), sampling)[0]
        assert shown == pytest.approx(expected.tolist(), abs=1e-5)
        widths = page.locator("#choices .bar i:first-child").evaluate_all(
            "all => all.map(i => parseFloat(i.style.width))"
        )
        widths = widths[:50]  # after these, there may be the token that stands there
        drawn = torch.tensor(shown[:50])
        assert torch.allclose(torch.tensor(widths) * drawn[0], drawn * widths[0], atol=1e-2)
        assert page.inner_text("#kept").startswith(f"{int((expected > 0).sum())} of")
    assert requests == []


def test_heads_layers_and_the_judge_are_shown(page):
    write(page, STORY, tokens=1)
    assert page.locator("#heads button").count() == 4 and page.locator("#lens tr").count() == 3
    assert page.locator("#verdict li.right").count() >= 5
    page.locator("#text .token").nth(8).hover()
    wait(page, "hovered === 8")
    wait(page, "document.getElementById('heads-title').textContent.includes(nameOf(shown, shown.tokens[8]))")
    looks = page.locator("#text .token").evaluate_all("all => all.map(i => +i.style.getPropertyValue('--look'))")
    assert max(looks[:9]) == 1 and not any(looks[9:])
    page.locator("#heads button").first.click()
    assert page.locator("#heads button").first.get_attribute("aria-pressed") == "true"


def test_what_looks_like_html_is_shown_and_does_not_run(page):
    write(page, NASTY)
    assert page.inner_text("#text").replace("⏎\n", "").startswith(NASTY.partition(" ")[0])
    assert page.text_content("#text").startswith(NASTY)
    assert page.title() != "run" and page.locator("#text img, #text script, #story img").count() == 0
    page.select_option("#model", "labeller")
    page.fill("#prompt", NASTY)
    page.click("#write")
    page.wait_for_selector("#label .bar")
    assert page.title() != "run" and page.locator("main img, main script").count() == 0


def test_nothing_of_the_page_makes_html_of_a_text_and_the_policy_forbids_other_scripts(browser, site):
    from gpt.serving.page import PAGE

    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://", PAGE.read_text("utf-8")
    )
    context = browser.new_context()
    page = context.new_page()
    policy = page.goto(site.url).headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    page.evaluate(
        "{ const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s) }"
    )
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    context.close()


def test_the_language_changes_everywhere_and_the_text_stays(page):
    write(page, "Once upon a time")
    text = page.inner_text("#text .token >> nth=4")
    page.click("#language")
    assert page.inner_text("#write") == "续写" and page.title() == "可以读懂的 GPT"
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert "概率" in page.inner_text("#place") and page.inner_text("#text .token >> nth=4") == text
    assert page.evaluate("Object.keys(WORDS.en).sort().join() === Object.keys(WORDS.zh).sort().join()")


def test_the_judge_gives_its_reasons_in_the_language_of_the_page(page):
    write(page, STORY.replace(". ", ". Mia was happy. ", 1), tokens=1)
    assert "Mia" in page.inner_text("#verdict > p >> nth=0") and "米娅" not in page.inner_text("#verdict")
    page.click("#language")
    assert re.search("可是.*米娅.*。", page.inner_text("#verdict > p >> nth=0"))


def test_the_keyboard_moves_among_tokens_and_takes_one(page):
    write(page, "Once upon a time")
    page.locator("#text .token").nth(4).focus()
    page.keyboard.press("ArrowRight")
    wait(page, "selected === 5")
    assert page.evaluate("document.activeElement.dataset.place") == "5"
    page.keyboard.press("End")
    wait(page, "document.getElementById('place').textContent.startsWith('After the last')")
    assert page.locator("#text .token[tabindex='0']").count() == 1  # one stop for the Tab key
    page.locator("#choices button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#versions button >> nth=1")


def test_a_label_is_shown_with_the_tokens_that_moved_it(page):
    page.select_option("#model", "labeller")
    page.fill("#prompt", "the cat sat 猫")
    page.click("#write")
    page.wait_for_selector("#label .bar")
    assert page.locator("#label .bar").count() == 3 and "好" in page.inner_text("#label")
    assert not page.is_visible("#temperature") and page.locator("#label li").count() == min(
        8, page.locator("#text .token").count()
    )


@pytest.mark.parametrize("width", [390, 820, 1300])
def test_nothing_is_wider_than_the_screen(browser, site, width):
    settings = {"viewport": {"width": width, "height": 844}, "color_scheme": "dark"}
    with opened(browser, site.url, **settings) as page:
        page.wait_for_selector("#model option", state="attached")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        write(page, "Once upon a time " + "W" * 60)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_400_tokens_come_without_a_stutter(page):
    page.fill("#prompt", "")
    page.fill("#most", "400")
    page.fill("#seed", "1")
    page.evaluate("""() => { window.longest = 0; let last = performance.now();
        const tick = (now) => { longest = Math.max(longest, now - last); last = now; requestAnimationFrame(tick) };
        requestAnimationFrame(tick) }""")
    page.locator("#temperature").evaluate("slider => { slider.value = 2; slider.dispatchEvent(new Event('input')) }")
    page.click("#write")
    wait(page, "writing === null && shown?.tokens.length > 150")
    assert page.evaluate("longest") < 500  # ms between two frames, on a busy machine without a GPU
    spent = page.evaluate("() => { const start = performance.now(); drawAll(); return performance.now() - start }")
    assert spent < 500


def test_mistakes_are_told_on_the_page(page):
    page.fill("#prompt", "x" * 5000)
    page.click("#write")
    wait(page, "document.getElementById('message').textContent.includes('shorten it')")


def test_with_a_key_the_page_asks_for_it(browser, folders):
    with serving((folders[0],), key="0123456789abcdef") as server:
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        page.goto(server.url)
        for key in ("wrong-key-猫", "0123456789abcdef"):
            page.wait_for_selector("#key-dialog[open]")
            page.fill("#key", key)
            page.keyboard.press("Enter")
        page.wait_for_selector("#model option", state="attached")
        page.fill("#prompt", "the cat")
        page.fill("#most", "5")
        page.click("#write")
        page.wait_for_selector("#choices li")
        context.close()
