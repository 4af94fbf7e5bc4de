//! Compiles `proto/onnx.proto` to Rust types, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/onnx.proto");
    let descriptors = protox::compile(["proto/onnx.proto"], ["proto"])?;
    prost_build::Config::new()
        // `bytes` fields borrow from the mapped file instead of copying it.
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
