#![no_main]

use libfuzzer_sys::fuzz_target;
use uwm_onnx::guard::quiet_guarded_panics;
use uwm_onnx_fuzz::patch;

// The fuzzer's hook ends the process; panics that are caught and become errors are none of its business.
fuzz_target!(init: quiet_guarded_panics(), |bytes: &[u8]| patch(bytes));
