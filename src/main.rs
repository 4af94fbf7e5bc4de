//! The `uwm-onnx` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    uwm_onnx::cli::main()
}
