"""The page in a real browser."""

import shutil

import pytest

from mpcore.records import Accepted
from mpcore.report.html import page

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver on the path"),
]
NASTY = "<script>window.pwned = 1</script>"
PLOTS = ["speed-up", "memory", "history", "trainings", "errors", "kernels", "launches"]


@pytest.fixture(scope="module")
def chromium():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def awaited(browser, section, what):
    """Elements that are there in a moment."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda _: section.find_elements("css selector", what))


@pytest.fixture
def browser(chromium, run, full, tmp_path):
    """Shows two runs, of which one is accepted and one has a case with a name that would be a script."""
    nasty = full[6].model_copy(update={"record": full[6].record.model_copy(update={"remark": NASTY})})
    case = nasty.record.case.model_copy(update={"workload": NASTY})
    nasty = nasty.model_copy(update={"record": nasty.record.model_copy(update={"case": case})})
    accepted = run.model_copy(update={"results": tuple(full), "accepted": Accepted(reason="first", datetime="2026-01-03")})
    newer = run.model_copy(update={"results": (*full, nasty), "path": "0002_run.json", "datetime": "2026-02-01T00:00:00"})
    path = tmp_path / "report.html"
    path.write_text(page([accepted, newer]))
    chromium.set_window_size(1200, 900)
    chromium.get(path.as_uri())
    awaited(chromium, chromium, "#runs tbody tr")  # which is drawn last
    yield chromium
    assert chromium.get_log("browser") == []
    assert chromium.execute_script("return window.pwned") is None


def shown(browser, name):
    """Scrolls to a panel and waits until it is drawn."""
    section = browser.find_element("id", name)
    browser.execute_script("arguments[0].scrollIntoView()", section)
    awaited(browser, section, ".plot .main-svg, .matrix")
    return section


def column(browser, table, number):
    return [cell.text for cell in table.find_elements("css selector", f"tbody tr:not([hidden]) td:nth-child({number})")]


def test_a_table_is_sorted_by_a_press_of_its_heading(browser):
    table = browser.find_element("css selector", "#cases table")
    heads = table.find_elements("css selector", "thead th")
    number = [head.text.split()[0] for head in heads].index("step") + 1
    for direction, reverse in (("ascending", False), ("descending", True)):
        heads[number - 1].find_element("tag name", "button").send_keys("\n")  # by the keyboard
        assert heads[number - 1].get_attribute("aria-sort") == direction
        milliseconds = [float(text) for text in column(browser, table, number)]
        assert milliseconds == sorted(milliseconds, reverse=reverse)
        assert len(milliseconds) == 10


def test_a_table_is_filtered(browser):
    browser.find_element("css selector", "#cases input").send_keys("manual bert")
    table = browser.find_element("css selector", "#cases table")
    assert column(browser, table, 2) == ["fp16-manual", "bf16-manual"]
    assert browser.find_element("css selector", "#cases .choice span").text == "2 of 10 rows"


def test_a_name_is_text(browser):
    assert NASTY in column(browser, browser.find_element("css selector", "#cases table"), 1)
    shown(browser, "kernels")
    options = [option.get_attribute("textContent") for option in browser.find_elements("css selector", "#kernels option")]
    assert f"{NASTY} (full, graph) on some-gpu-x2" in options


@pytest.mark.parametrize("name", PLOTS)
def test_each_plot_is_drawn_and_has_its_numbers(browser, name):
    section = shown(browser, name)
    assert section.find_elements("css selector", ".plot .trace, .plot .points path, .plot .lines path")
    section.find_element("css selector", "summary").click()
    assert awaited(browser, section, "details td")


def test_a_plot_is_drawn_once_it_is_near(browser):
    assert browser.find_elements("css selector", "#launches .plot") == []
    shown(browser, "launches")
    assert len(browser.find_elements("css selector", "#launches .plot")) == 1


def test_another_view_is_chosen(browser):
    from selenium.webdriver.support.select import Select

    section = shown(browser, "confusions")
    choice = Select(section.find_element("tag name", "select"))
    choice.select_by_visible_text("fp16-amp: bert-imdb (full, graph) on some-gpu-x2")
    assert [cell.text for cell in section.find_elements("css selector", ".matrix td")] == ["40", "10", "5", "45"]


def test_the_theme_is_switched(browser):
    ground = "return getComputedStyle(document.body).backgroundColor"
    ink = "return getComputedStyle(document.querySelector('#speed-up .xtick text')).fill"
    shown(browser, "speed-up")
    before = [browser.execute_script(script) for script in (ground, ink)]
    browser.execute_script("window.scrollTo(0, 0)")
    browser.find_element("id", "theme").click()
    after = [browser.execute_script(script) for script in (ground, ink)]
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_it_can_be_read_on_a_phone(browser):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        for name in PLOTS:
            shown(browser, name)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_is_fetched(browser):
    for name in PLOTS:
        shown(browser, name)
    fetched = (
        "return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith('data:'))"
    )
    assert browser.execute_script(fetched) == []


def test_the_keyboard_reaches_what_can_be_pressed(browser):
    from selenium.webdriver.common.keys import Keys

    reached = set()
    for _ in range(20):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(browser.execute_script("return document.activeElement.tagName + ' ' + document.activeElement.textContent"))
    assert {"A Skip to the figures", "A Speed-up", "INPUT ", "BUTTON workload"} <= reached
    assert reached & {"BUTTON Dark", "BUTTON Light"}
