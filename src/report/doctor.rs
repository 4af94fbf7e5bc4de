//! What `doctor` found, as text.

use std::fmt::Write;

use crate::runtime::{Place, Survey};

/// A line for each thing that was looked for, and what to do where something is missing.
pub fn survey_text(survey: &Survey) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "tract         {}, built in", survey.tract);
    if survey.libraries.is_empty() {
        let _ = writeln!(out, "ONNX Runtime  not found");
    }
    for (k, library) in survey.libraries.iter().enumerate() {
        let title = if k == 0 { "ONNX Runtime" } else { "" };
        let _ = writeln!(out, "{title:<13} {}, {} ({})", library.version, library.path.display(), library.found_by);
        if let Some(problem) = &library.problem {
            let _ = writeln!(out, "{:<13} cannot be used: {problem}", "");
        }
    }
    if survey.has_onnx_runtime() {
        let _ = writeln!(out, "providers     {}", survey.providers.join(", "));
    }
    let features = if survey.cpu_features.is_empty() { "unknown".to_owned() } else { survey.cpu_features.join(" ") };
    let _ = writeln!(out, "threads       {}", survey.threads);
    let _ = writeln!(out, "processor     {}: {features}", survey.architecture);
    if let Some(place) = &survey.would_run_on {
        let _ = writeln!(out, "\nwould run on  {}", place_text(place));
    }
    if let Some(refusal) = &survey.refused {
        let _ = writeln!(out, "\nwould run on  nothing: {}; {}", refusal.error, refusal.help);
    }
    if !survey.has_onnx_runtime() {
        out.push_str(
            "\nONNX Runtime is faster than tract and knows more operators. To have it: `pip install onnxruntime` in the\n\
             active Python environment, or name its library with --ort-library or ORT_DYLIB_PATH.\n",
        );
    }
    out
}

/// A runtime, where it runs, and why it was taken.
pub(super) fn place_text(place: &Place) -> String {
    let threads = if place.threads == 1 { "thread" } else { "threads" };
    let provider = if place.provider == place.backend { String::new() } else { format!(" ({})", place.provider) };
    let Place { backend, version, device, reason, .. } = place;
    format!("{backend} {version}{provider} on {device}, {} {threads}; {reason}", place.threads)
}
