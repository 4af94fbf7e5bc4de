//! The page of a check in a real browser: it asks for nothing, works by hand and by keyboard, and fits on a phone. Needs
//! Chromium with its driver and Selenium, which `tools/check.sh` sets up; without them the test fails, unless
//! `UWM_TEST_WITHOUT_BROWSER=1`. `UWM_TEST_SCREENSHOTS` names a folder that keeps what was seen.

#[path = "../common/mod.rs"]
mod common;

mod page;

use std::path::PathBuf;

/// The first of these programs that is there.
fn program(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let mut all = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.find(|path| path.is_file())
}

/// Chromium and its driver, for the script.
fn browser() -> Option<[PathBuf; 2]> {
    let named = std::env::var_os("UWM_TEST_CHROMIUM").map(PathBuf::from);
    let chromium = named.or_else(|| program(&["chromium", "chromium-browser", "google-chrome"]));
    let driver = std::env::var_os("UWM_TEST_CHROMEDRIVER").map(PathBuf::from);
    let driver = driver.or_else(|| program(&["chromedriver"]));
    if let (Some(chromium), Some(driver)) = (chromium, driver) {
        return Some([chromium, driver]);
    }
    let without = std::env::var("UWM_TEST_WITHOUT_BROWSER").is_ok_and(|value| value == "1");
    assert!(
        without,
        "no Chromium with its driver: install Debian's `chromium` and `chromium-driver`, or name them in \
         UWM_TEST_CHROMIUM and UWM_TEST_CHROMEDRIVER; or set UWM_TEST_WITHOUT_BROWSER=1"
    );
    eprintln!("LEFT OUT: no Chromium with its driver");
    None
}

/// Opens a page and uses it.
fn used(page: &str, name: &str) {
    let Some([chromium, driver]) = browser() else { return };
    let Some(python) = common::python("selenium") else { return };
    let folder = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("UWM_TEST_SCREENSHOTS").map_or(folder.path().to_owned(), PathBuf::from).join(name);
    std::fs::create_dir_all(&kept).unwrap();
    let file = kept.join("check.html");
    std::fs::write(&file, page).unwrap();
    common::run_python(&python, "browser.py", &[file, kept, chromium, driver]);
}

#[test]
fn a_reader_can_use_the_page_of_a_check() {
    let page = page::checked().to_html();
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    used(&page, "made");
}

#[test]
fn a_reader_can_use_the_page_of_the_command() {
    let small = common::Small::new();
    let (page, config) = (small.path("page.html"), small.config());
    let args = ["check", common::MODEL, "--baseline", common::MODEL, "--config", &config, "--backend", "tract"];
    let (stdout, stderr, code) = common::output(&[&args[..], &["--report", &page]].concat());
    assert_eq!(code, 5, "{stdout} {stderr}");
    used(&std::fs::read_to_string(page).unwrap(), "command");
}
