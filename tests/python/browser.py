"""The page of a check in Chromium: browser.py PAGE SCREENSHOTS CHROMIUM CHROMEDRIVER"""

import base64
import json
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

SECTIONS = ["verdict", "headline", "rules", "figures", "scatter", "concepts", "edit", "scores", "controls", "frontier",
            "examples", "reproduce", "theme"]
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars", "about:blank"]
BLUR = "return getComputedStyle(arguments[0]).filter"
PAPER = "return getComputedStyle(document.body).backgroundColor"


def start(chromium, driver, profile):
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS + [f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(executable_path=driver))


def window(browser, width, height, phone=False):
    """The size of what is seen; a window of a headless browser cannot be as narrow as a phone."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def photograph(browser, path):
    """All of the page, which must not be blank."""
    height = browser.execute_script("return document.documentElement.scrollHeight")
    width = browser.execute_script("return document.documentElement.clientWidth")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))
    # A blank page of that size is a few kilobytes.
    assert path.stat().st_size > 50_000, f"{path} is blank"


def theme(browser, name):
    features = [{"name": "prefers-color-scheme", "value": name}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def asked_for(browser, page):
    """Addresses of all requests of the page; a browser has tabs of its own."""
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent" and message["params"]["documentURL"].startswith(page):
            yield message["params"]["request"]["url"]


def fill_of_a_plot(browser):
    """The colour of a mark, which comes from a variable of the theme."""
    mark = browser.find_element(By.CSS_SELECTOR, '.plot [fill="var(--after)"]')
    return browser.execute_script("return getComputedStyle(arguments[0]).fill", mark)


def themes(browser):
    theme(browser, "light")
    light = browser.execute_script(PAPER), fill_of_a_plot(browser)
    theme(browser, "dark")
    dark = browser.execute_script(PAPER), fill_of_a_plot(browser)
    assert light[0] != dark[0] and light[1] != dark[1], (light, dark)
    browser.find_element(By.ID, "theme").click()
    assert (browser.execute_script(PAPER), fill_of_a_plot(browser)) == light
    assert browser.find_element(By.TAG_NAME, "html").get_attribute("data-theme") == "light"
    browser.find_element(By.ID, "theme").click()
    assert browser.execute_script(PAPER) == dark[0]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script(PAPER) == "rgb(255, 255, 255)", "dark paper"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def covers(browser):
    """What is hidden is shown by a click and by the keyboard, and can be hidden again."""
    buttons = browser.find_elements(By.CSS_SELECTOR, "#examples button.reveal")
    for button, press in zip(buttons, [lambda b: b.click(), lambda b: b.send_keys(Keys.ENTER)]):
        content = button.find_element(By.XPATH, "..").find_element(By.CLASS_NAME, "content")
        assert "blur" in browser.execute_script(BLUR, content)
        press(button)
        assert browser.execute_script(BLUR, content) == "none"
        assert button.get_attribute("aria-expanded") == "true"
        press(button)
        assert "blur" in browser.execute_script(BLUR, content)
        press(button)
    for image in browser.find_elements(By.CSS_SELECTOR, "#examples img"):
        assert browser.execute_script("return arguments[0].naturalWidth", image) > 0, "an image does not load"
    if buttons:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert "blur" in browser.execute_script(BLUR, browser.find_element(By.CSS_SELECTOR, ".covered .content"))
        assert not buttons[0].is_displayed()
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def phone(browser):
    window(browser, 390, 844, phone=True)
    widths = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1] == 390, widths
    # Unfolded tables scroll in boxes of their own.
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    widths = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1] == 390, widths
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('.plot text')].map(text =>"
        " parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a || Infinity))")
    assert smallest >= 10, f"text of {smallest} pixels"
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = false)")


def main(page, screenshots, chromium, driver):
    page, screenshots = Path(page).resolve().as_uri(), Path(screenshots)
    screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = start(chromium, driver, profile)
        try:
            window(browser, 1280, 900)
            browser.get(page)
            for name in SECTIONS:
                assert browser.find_element(By.ID, name).is_displayed(), f"no #{name}"
            assert browser.title.split(":")[0] in browser.find_element(By.ID, "verdict").text
            unnamed = browser.find_elements(By.CSS_SELECTOR, "figure svg.plot:not([role=img][aria-label])")
            assert not unnamed, "a plot without words"
            themes(browser)
            for name in ["light", "dark"]:
                browser.execute_script("document.documentElement.dataset.theme = arguments[0]", name)
                photograph(browser, screenshots / f"{name}.png")
            covers(browser)
            phone(browser)
            browser.execute_script("document.documentElement.dataset.theme = 'light'")
            photograph(browser, screenshots / "phone.png")
            printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
            (screenshots / "print.pdf").write_bytes(base64.b64decode(printed["data"]))
            asked = set(asked_for(browser, page))
            assert page in asked, asked
            elsewhere = [url for url in asked if not url.startswith((page, "data:"))]
            assert not elsewhere, elsewhere
            errors = browser.get_log("browser")
            assert not errors, errors
        finally:
            browser.quit()


main(*sys.argv[1:])
