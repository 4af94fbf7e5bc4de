//! Zero-shot sets in every layout.

use uwm_onnx::dataset::{Picture, ZeroShot};

use crate::common::root;
use crate::{Folder, described, png, tar};

#[test]
fn a_file() {
    let set = ZeroShot::read(&root("calibration/emoji/zeroshot.json")).unwrap();
    assert!(set.labels.len() > 10 && set.notes.is_empty());
}

#[test]
fn class_folders() {
    let folder = Folder::new();
    for (name, color) in [("set/n01/a.png", 1), ("set/n01/b.png", 2), ("set/n02/a.png", 3)] {
        folder.image(name, color);
    }
    folder.write("set/n02/readme.txt", "x");
    folder.write("set/templates.json", r#"{"set": ["a photo of a {c}", "{c}"], "other": ["{c}!"]}"#);
    folder.write("set/classnames.json", r#"["tench", "goldfish"]"#);
    let set = ZeroShot::read(&folder.path("set")).unwrap();
    assert_eq!(set.prompts(), ["a photo of a tench", "tench", "a photo of a goldfish", "goldfish"]);
    assert_eq!(set.images.iter().map(|image| image.label).collect::<Vec<_>>(), [0, 0, 1]);
    assert!(set.notes[0].contains("1 entries of class folders are no images"), "{:?}", set.notes);
    // By name, whatever the order.
    folder.write("set/classnames.json", r#"{"any": ["n02", "n01"]}"#);
    let set = ZeroShot::read(&folder.path("set")).unwrap();
    assert_eq!(set.images.iter().map(|image| image.label).collect::<Vec<_>>(), [1, 1, 0]);

    let refused = |expected: &str| {
        let said = described(ZeroShot::read(&folder.path("set")));
        assert!(said.contains(expected), "{said}");
    };
    folder.write("set/classnames.json", r#"["one"]"#);
    refused("it has 2 class folders and 1 class names");
    folder.write("set/classnames.json", r#"{"x": ["a", "b"], "y": ["a", "b"]}"#);
    refused("it is of several sets (x, y)");
    folder.write("set/classnames.json", r#"["a", "b"]"#);
    folder.write("set/templates.json", r#"["a photo"]"#);
    refused("the template 'a photo' has no {}");
    folder.write("set/templates.json", r#"{"set": {"a": ["x {c}"]}}"#);
    refused("'set' is no list of texts");
    std::fs::create_dir(folder.path("set/n03")).unwrap();
    folder.write("set/classnames.json", r#"["a", "b", "c"]"#);
    folder.write("set/templates.json", r#"["{}"]"#);
    refused("n03 has no images");
    std::fs::remove_file(folder.path("set/templates.json")).unwrap();
    refused("it has no templates.json");
}

#[test]
fn archives() {
    let folder = Folder::new();
    folder.write("set/classnames.txt", "tench\n\ngoldfish\n");
    folder.write("set/zeroshot_classification_templates.txt", "a photo of a {c}\n");
    folder.write("set/test/nshards.txt", "2\n");
    let members = |label: &str| [("s0.webp", png(1)), ("s0.cls", label.as_bytes().to_vec())];
    folder.write("set/test/0.tar", tar(&members("1")));
    folder.write("set/test/1.tar", tar(&members("0\n")));
    std::fs::create_dir(folder.path("set/train")).unwrap();
    let set = ZeroShot::read(&folder.path("set")).unwrap();
    assert_eq!(set.prompts(), ["a photo of a tench", "a photo of a goldfish"]);
    assert_eq!(set.images.iter().map(|image| image.label).collect::<Vec<_>>(), [1, 0]);
    assert!(matches!(&set.images[0].image, Picture::Member { .. }));
    assert_eq!(set.images[0].image.read().unwrap(), png(1));
    assert!(set.notes[0].contains("only test is read, not train"), "{:?}", set.notes);
    for (label, expected) in [("2", "its class is '2' of 2"), ("x", "its class is 'x' of 2")] {
        folder.write("set/test/1.tar", tar(&members(label)));
        assert!(described(ZeroShot::read(&folder.path("set"))).contains(expected));
    }
    folder.write("set/test/1.tar", tar(&members("0")[..1]));
    assert!(described(ZeroShot::read(&folder.path("set"))).contains("it has not both an image and a .cls"));
}
