#[test]
fn draft() {
    if let Ok(path) = std::env::var("UWM_DRAFT") {
        std::fs::write(path, crate::report::checked::sample::sample().to_html()).unwrap();
    }
}
