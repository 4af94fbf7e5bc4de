//! Makes ONNX vision-language encoders safer without training.
pub mod cli;
pub mod config;
pub mod dataset;
pub mod onnx;
pub mod pass;
pub mod report;
pub mod runtime;
pub mod safeground;
pub mod taps;
pub mod uwm;
