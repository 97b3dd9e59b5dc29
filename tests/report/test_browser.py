"""The page in a real browser."""

import colorsys
import re
import shutil
from contextlib import contextmanager

import pytest

from mpcore.records import Accepted
from mpcore.report.document import Document
from mpcore.report.page import page
from mpcore.report.render import render

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


def opened(browser, folder, runs):
    path = folder / "report.html"
    path.write_text(page(runs))
    browser.get(path.as_uri())
    awaited(browser, browser, "#runs tbody tr")  # which is drawn last


@contextmanager
def emulated(browser, what, wanted, without):
    browser.execute_cdp_cmd(f"Emulation.{what}", wanted)
    try:
        yield
    finally:
        browser.execute_cdp_cmd(f"Emulation.{what}", without)


def wide(browser, width):
    """As on a screen of that width, a phone's where it is narrow."""
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    return emulated(
        browser, "setDeviceMetricsOverride", screen, {"width": 0, "height": 0, "deviceScaleFactor": 0, "mobile": False}
    )


def dark(browser):
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    return emulated(browser, "setEmulatedMedia", {"features": [feature]}, {"features": []})


def changed(result, training=None, **case):
    """The same with another case, or another training."""
    update = {"case": result.record.case.model_copy(update=case)}
    if training:
        update["trainings"] = tuple(one.model_copy(update=training) for one in result.record.trainings)
    return result.model_copy(update={"record": result.record.model_copy(update=update)})


@pytest.fixture
def browser(chromium, run, full, tmp_path):
    """Shows two runs, of which one is accepted and one has a case with a name that would be a script."""
    nasty = full[6].model_copy(update={"record": full[6].record.model_copy(update={"remark": NASTY})})
    case = nasty.record.case.model_copy(update={"workload": NASTY})
    nasty = nasty.model_copy(update={"record": nasty.record.model_copy(update={"case": case})})
    accepted = run.model_copy(
        update={"results": tuple(full), "accepted": Accepted(reason="first", datetime="2026-01-03T00:00:00+00:00")}
    )
    newer = run.model_copy(update={"results": (*full, nasty), "path": "0002_run.json", "datetime": "2026-02-01T00:00:00"})
    chromium.set_window_size(1200, 900)
    opened(chromium, tmp_path, [accepted, newer])
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
    assert f"{NASTY} (full, graph) on some-gpu" in options


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
    choice.select_by_visible_text("fp16-amp: bert-imdb (full, graph) on some-gpu")
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
    with wide(browser, 390):
        for name in PLOTS:
            shown(browser, name)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390


def test_a_long_name_stays_within_the_window_of_a_phone(chromium, run, full, tmp_path):
    named = run.model_copy(update={"path": f"{'run-of-a-night-' * 20}.json", "results": tuple(full)})
    with wide(chromium, 400):
        opened(chromium, tmp_path, [named])
        shown(chromium, "speed-up")
        assert chromium.execute_script("return document.documentElement.scrollWidth") == 400
        plot = chromium.find_element("css selector", "#speed-up .plot .main-svg")
        assert plot.rect["x"] + plot.rect["width"] <= 400


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


BOXES = """
const boxes = (what) => [...arguments[0].querySelectorAll(what)].map((node) => node.getBoundingClientRect().toJSON());
return [boxes(".legend button"), boxes(".plot .xtick text, .plot .ytick text"), boxes(".plot .nsewdrag")];
"""


def overlap(a, b):
    return a["left"] < b["right"] and b["left"] < a["right"] and a["top"] < b["bottom"] and b["top"] < a["bottom"]


@pytest.mark.parametrize("width", [390, 1200])
def test_no_legend_lies_on_a_plot(chromium, run, full, tmp_path, width):
    names = ["bert-imdb", *(f"workload-{i} with a name that is {'very ' * 12}long" for i in range(15))]
    results = [changed(result, workload=name) for name in names for result in full]
    with wide(chromium, width):
        opened(chromium, tmp_path, [run.model_copy(update={"results": tuple(results)})])
        for name in PLOTS:
            legends, ticks, [plot] = chromium.execute_script(BOXES, shown(chromium, name))
            assert ticks
            assert bool(legends) == (name != "history"), name
            assert not any(overlap(legend, box) for legend in legends for box in [*ticks, plot]), name
            assert plot["height"] >= 150, name
            assert plot["width"] >= width / 2, name


@pytest.mark.parametrize("width", [390, 1200])
def test_each_bar_of_many_is_thick_enough_to_be_seen(chromium, run, full, tmp_path, width):
    results = [changed(result, workload=f"workload-{i}") for i in range(15) for result in full]
    with wide(chromium, width):
        opened(chromium, tmp_path, [run.model_copy(update={"results": tuple(results)})])
        bars = shown(chromium, "speed-up").find_elements("css selector", ".plot .bars .point path")
        assert len(bars) == 15 * 8
        assert min(min(bar.rect["width"], bar.rect["height"]) for bar in bars) >= 5


@pytest.mark.parametrize("width", [390, 1200])
def test_a_long_name_is_cut_on_the_axis_and_whole_under_the_pointer(chromium, run, full, tmp_path, width):
    from selenium.webdriver.common.action_chains import ActionChains

    long = f"<b>workload</b> with a name that is {'very ' * 12}long"
    with wide(chromium, width):
        results = tuple(changed(result, workload=long) for result in full)
        opened(chromium, tmp_path, [run.model_copy(update={"results": results})])
        section = shown(chromium, "speed-up")
        tick = section.find_element("css selector", ".plot .xtick text").text
        assert "…" in tick
        assert len(tick) <= 32
        bar = section.find_element("css selector", ".plot .bars .point path")
        chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", bar)
        ActionChains(chromium).move_to_element(bar).perform()
        [hover] = awaited(chromium, section, ".hovertext .nums")
        assert long.replace(" ", "") in hover.get_attribute("textContent").replace(" ", "").replace("\xa0", "")


def colours(browser, name):
    """Of a panel's legend, by name."""
    keys = shown(browser, name).find_elements("css selector", ".legend button")
    return {key.text: key.find_element("tag name", "i").value_of_css_property("background-color") for key in keys}


def test_a_mode_of_a_users_own_has_a_colour_of_its_own(chromium, run, full, tmp_path):
    own = [changed(result, precision=name) for result in full[:3] for name in ("zero-bits", "my-mode")]
    opened(chromium, tmp_path, [run.model_copy(update={"results": (*full, *own)})])
    found = colours(chromium, "memory")
    assert {"fp32", "my-mode", "zero-bits"} <= found.keys()
    assert len(set(found.values())) == len(found)


def hue(colour):
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    return colorsys.rgb_to_hls(red, green, blue)[0]


def test_a_family_of_kernels_keeps_its_colour(chromium, run, full, tmp_path):
    speed = full[6].record
    product, elementwise, *others = speed.profile.families
    wider = product.model_copy(update={"bits": 32})
    unknown = elementwise.model_copy(update={"name": "folding"})
    profile = speed.profile.model_copy(update={"families": (*reversed(others), wider, unknown, product)})
    found = []
    for record in (speed, speed.model_copy(update={"profile": profile})):
        opened(chromium, tmp_path, [run.model_copy(update={"results": (full[6].model_copy(update={"record": record}),)})])
        found.append(colours(chromium, "kernels"))
    first, second = found
    both = first.keys() & second.keys()
    assert len(both) == 3
    assert all(first[name] == second[name] for name in both)
    assert hue(second["matrix product, 32 bits"]) == pytest.approx(hue(second["matrix product, 16 bits"]), abs=0.02)
    assert len(set(second.values())) == len(second) == 5


def test_a_trace_is_hidden_by_a_press_of_its_name(browser):
    section = shown(browser, "launches")
    bars = ".plot .bars .point path"
    before = len(section.find_elements("css selector", bars))
    key = section.find_element("css selector", ".legend button")
    key.click()
    for _ in range(2):
        key = section.find_element("css selector", ".legend button")
        assert key.get_attribute("aria-pressed") == "false"
        assert len(section.find_elements("css selector", bars)) == before / 2
        browser.find_element("id", "theme").click()  # which draws it again


def test_a_training_without_a_finite_loss_is_said_and_not_drawn(chromium, run, full, tmp_path):
    lost = [changed(result, {"losses": (float("nan"),)}) if result is full[4] else result for result in full]
    opened(chromium, tmp_path, [run.model_copy(update={"results": tuple(lost)})])
    assert lost[4].record.case.precision not in colours(chromium, "trainings")
    assert f"{lost[4].record.case.precision}: no finite loss" in shown(chromium, "trainings").text


def test_all_panels_open_with_the_machine_of_the_newest_run(chromium, run, full, tmp_path):
    runs = []
    for day, name in ((1, "B GPU"), (3, "C GPU"), (2, "A GPU")):
        machine = run.machine.model_copy(update={"hardware": run.machine.hardware.model_copy(update={"name": name})})
        runs.append(run.model_copy(update={"machine": machine, "results": tuple(full), "datetime": f"2026-01-0{day}T00:00:00"}))
    opened(chromium, tmp_path, runs)
    for name in PLOTS:
        chosen = shown(chromium, name).find_element("css selector", "option:checked")
        assert chosen.get_attribute("textContent").endswith("on c-gpu")


def test_the_history_of_one_run_has_one_date(chromium, run, full, tmp_path):
    opened(chromium, tmp_path, [run.model_copy(update={"results": tuple(full)})])
    assert len(shown(chromium, "history").find_elements("css selector", ".plot .xtick text")) == 1


GROUND = "return getComputedStyle(document.body).backgroundColor"


def test_a_comparison_is_as_dark_as_the_system(chromium, tmp_path):
    path = tmp_path / "comparison.html"
    path.write_text(render(Document("Two runs", []), "html"))
    chromium.get(path.as_uri())
    light = chromium.execute_script(GROUND)
    with dark(chromium):
        assert chromium.execute_script(GROUND) != light


def test_the_switch_wins_over_the_system(browser):
    light = browser.execute_script(GROUND)
    with dark(browser):
        browser.refresh()
        assert browser.execute_script(GROUND) != light
        browser.find_element("id", "theme").click()
        assert browser.execute_script(GROUND) == light
        assert browser.execute_script("return getComputedStyle(document.documentElement).colorScheme") == "light"
