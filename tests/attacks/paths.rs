//! Attacks by the form of a location: what another system, or a library in between, would read as another path.

use crate::common::external::External;
use crate::why_not;

/// Attack 40: Forms that go up, or elsewhere, on some system. On this one they are names, and either refused as such or
/// looked for in the model's folder, where nothing has them.
#[test]
fn every_other_form() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let refused = [
        ("C:\\x", "backslash"),
        ("c:x", "drive letter"),
        ("\\\\server\\share\\x", "backslash"),
        ("\\\\?\\C:\\x", "backslash"),
        ("\\\\.\\pipe\\x", "backslash"),
        ("\\x", "backslash"),
        (".\\..\\x", "backslash"),
        ("a\\..\\..\\secret", "backslash"),
        ("secret\0", "NUL"),
        ("a/\0/../../secret", "NUL"),
        ("/dev/zero", "is absolute"),
        ("//server/share/x", "is absolute"),
        ("/proc/self/environ", "is absolute"),
        ("..", "goes up"),
        ("../", "goes up"),
        ("./.././secret", "goes up"),
        ("a/b/c/../../../../secret", "goes up"),
        (".", "names no file"),
        ("./", "names no file"),
        ("a/", "names no file"),
        // Names here: nothing is decoded, expanded or fetched.
        ("file:///etc/passwd", "is missing"),
        ("file:secret", "is missing"),
        ("http://127.0.0.1/x", "is missing"),
        ("secret.", "is missing"),
        ("secret ", "is missing"),
        ("secret::$DATA", "is missing"),
        ("..%2fsecret", "is missing"),
        ("%2e%2e/secret", "is missing"),
        ("...", "is missing"),
        (".. /secret", "is missing"),
        ("~/secret", "is missing"),
        ("$HOME/secret", "is missing"),
        ("\u{2025}/secret", "is missing"),
        ("\u{ff0e}\u{ff0e}/secret", "is missing"),
        ("..\u{2215}secret", "is missing"),
        ("CON", "is missing"),
        ("secret\n", "is missing"),
    ];
    for (location, why) in refused {
        let model = External::at(location);
        std::fs::write(folder.path().join("secret"), &model.data).unwrap();
        std::fs::write(inner.join("secret"), &model.data).unwrap();
        let said = why_not(&model.write_model(&inner));
        assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{location:?}, {why}: {said:?}");
    }
    let long = External::at(Box::leak("a/".repeat(100_000).into_boxed_str()));
    assert!(why_not(&long.write_model(&inner)).is_some());
    let long = External::at(Box::leak(format!("{}b", "a/".repeat(100_000)).into_boxed_str()));
    assert!(why_not(&long.write_model(&inner)).is_some());
}
