//! Where ONNX Runtime's shared library may be.
//!
//! It is not linked: whoever has the Python package `onnxruntime` has it already, for the processor and the devices
//! that are there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a library came to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// `--ort-library`
    Option,
    /// `ORT_DYLIB_PATH`
    Variable,
    /// The active virtual or conda environment.
    Environment,
    /// The `onnxruntime` that `python3` would import.
    Python,
    /// A folder where the system looks for libraries.
    System,
}

impl FoundBy {
    /// Whether the user named the file; then no other may be taken in its place.
    pub fn is_named(self) -> bool {
        matches!(self, Self::Option | Self::Variable)
    }
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Option => "--ort-library",
            Self::Variable => "ORT_DYLIB_PATH",
            Self::Environment => "the active Python environment",
            Self::Python => "python3's onnxruntime",
            Self::System => "the system's library folders",
        })
    }
}

/// A file that may be ONNX Runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The shared library.
    pub path: PathBuf,
    /// Where it was found.
    pub by: FoundBy,
}

impl Candidate {
    /// The version in the file's name, links resolved.
    pub fn version(&self) -> Option<String> {
        let path = self.path.canonicalize().ok()?;
        let version = version_of(path.file_name()?.to_str()?).filter(|version| !version.is_empty())?;
        Some(version.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
    }
}

/// Folders to look in.
type Folders = fn() -> Vec<PathBuf>;

/// The libraries to try, the first one first. A library that was named is the only one; without one, nothing here is
/// more than a guess, and the first that loads is taken.
pub fn candidates(option: Option<&Path>) -> impl Iterator<Item = Candidate> {
    let variable = || std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = match option {
        Some(path) => Some(Candidate { path: path.to_owned(), by: FoundBy::Option }),
        None => variable().map(|path| Candidate { path, by: FoundBy::Variable }),
    };
    let found: [(FoundBy, Folders); 3] =
        [(FoundBy::Environment, environments), (FoundBy::Python, python), (FoundBy::System, system)];
    let search = named.is_none();
    // Lazily: asking python3 takes longer than all the rest.
    let searched = found.into_iter().filter(move |_| search).flat_map(|(by, folders)| {
        folders().into_iter().flat_map(move |folder| libraries(&folder)).map(move |path| Candidate { path, by })
    });
    named.into_iter().chain(searched)
}

/// The libraries in a folder, the newest version first.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut found: Vec<(Vec<u64>, String)> =
        names.filter_map(|name| name.into_string().ok()).filter_map(|name| Some((version_of(&name)?, name))).collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, name)| folder.join(name)).collect()
}

/// The version in the name of an ONNX Runtime library (empty where it has none); `None` for other files.
fn version_of(name: &str) -> Option<Vec<u64>> {
    let name = name.strip_prefix(std::env::consts::DLL_PREFIX)?.strip_prefix("onnxruntime")?;
    // libonnxruntime.so.1.32.0, libonnxruntime.1.32.0.dylib, onnxruntime.dll
    let suffix = std::env::consts::DLL_SUFFIX;
    let version = match name.split_once(suffix)? {
        ("", version) => version,
        (version, "") => version,
        _ => return None,
    };
    let Some(version) = version.strip_prefix('.') else { return version.is_empty().then(Vec::new) };
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// `onnxruntime/capi` in the environments that are active.
fn environments() -> Vec<PathBuf> {
    let variables = ["VIRTUAL_ENV", "CONDA_PREFIX"];
    let roots = variables.iter().filter_map(std::env::var_os).filter(|root| !root.is_empty()).map(PathBuf::from);
    roots.flat_map(|root| site_packages(&root)).map(|folder| folder.join("onnxruntime/capi")).collect()
}

/// `site-packages` of a Python environment.
fn site_packages(root: &Path) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(root.join("lib")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = versions
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("python")))
        .map(|path| path.join("site-packages"))
        .collect();
    folders.sort();
    folders.push(root.join("Lib/site-packages"));
    folders
}

/// `onnxruntime/capi` of the package that `python3` would import. It is looked up, not imported, and not in the
/// working directory, which may be anybody's.
fn python() -> Vec<PathBuf> {
    const FIND: &str = "import os, sys; sys.path[:] = filter(os.path.isabs, sys.path); import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0] if s else '')";
    let asked = Command::new("python3").args(["-c", FIND]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let Ok(answer) = asked.map(|output| output.stdout) else { return vec![] };
    let folder = String::from_utf8_lossy(&answer);
    let folder = folder.trim_end_matches(['\r', '\n']);
    if folder.is_empty() { vec![] } else { vec![Path::new(folder).join("capi")] }
}

fn system() -> Vec<PathBuf> {
    let variable = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
    let listed = std::env::var_os(variable).unwrap_or_default();
    let usual = [
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/opt/homebrew/lib",
    ];
    let listed = std::env::split_paths(&listed).filter(|path| path.is_absolute()).collect::<Vec<_>>();
    listed.into_iter().chain(usual.map(PathBuf::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_library_of_a_folder_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.32.0",
            "libonnxruntime_providers_shared.so",
            "libonnxruntime.so.1.32.0.bak",
            "onnxruntime.so",
            "libonnxruntime.so",
        ];
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        let found: Vec<String> = libraries(folder.path())
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, ["libonnxruntime.so.1.32.0", "libonnxruntime.so.1.9.0", "libonnxruntime.so"]);
    }

    #[test]
    fn a_named_library_is_the_only_candidate() {
        let named = Path::new("somewhere/libonnxruntime.so");
        let found: Vec<Candidate> = candidates(Some(named)).collect();
        assert_eq!(found, [Candidate { path: named.to_owned(), by: FoundBy::Option }]);
    }
}
