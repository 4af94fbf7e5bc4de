//! The command line: arguments in, calls, exit code out. No logic of its own.

mod apply;
mod compare;
mod data;
mod data_sets;
mod doctor;
mod evaluate;
mod inspect;
mod model;
mod progress;
mod recipe;
mod rewrite;
mod runtime;
mod score;
mod sweep;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use miette::Diagnostic;

use crate::few::harmless;
use crate::pass::Error;

/// Makes ONNX vision-language encoders safer without training: finds the weights that carry unsafe content more than
/// safe content, and negates them in the file.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(Box<inspect::Args>),
    Rewrite(Box<rewrite::Args>),
    Score(Box<score::Score>),
    Merge(Box<score::Merge>),
    Sweep(Box<sweep::Args>),
    Evaluate(Box<evaluate::Args>),
    Apply(apply::Apply),
    Revert(apply::Revert),
    Verify(compare::Verify),
    Diff(compare::Diff),
    #[command(subcommand)]
    Data(data_sets::Data),
    Doctor(doctor::Args),
}

/// How a result is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for a terminal.
    Human,
    /// One JSON value.
    Json,
}

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All done.
    Ok = 0,
    /// `verify`, `diff`, `sweep --pick`: the answer is no; `evaluate`: a model does not work at all.
    Differs = 1,
    /// Wrong options or configuration, or an output that may not or cannot be written.
    Usage = 2,
    /// A model or data file that cannot be used; `data check`: there are errors.
    Input = 3,
    /// The runtime failed.
    Runtime = 4,
    /// Stopped by a signal.
    Interrupted = 130,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    crate::guard::quiet_guarded_panics();
    let result = match Cli::parse().command {
        Command::Inspect(args) => args.run().map(|text| (text, Exit::Ok)),
        Command::Rewrite(args) => args.run().map(|text| (text, Exit::Ok)),
        Command::Score(args) => args.run().map(|text| (text, Exit::Ok)),
        Command::Merge(args) => args.run().map(|text| (text, Exit::Ok)),
        Command::Sweep(args) => args.run(),
        Command::Evaluate(args) => args.run(),
        Command::Apply(args) => args.run().map(|text| (text, Exit::Ok)),
        Command::Revert(args) => args.run().map(|text| (text, Exit::Ok)),
        Command::Verify(args) => args.run(),
        Command::Diff(args) => args.run(),
        Command::Data(args) => args.run(),
        Command::Doctor(args) => args.run(),
    };
    let exit = match result {
        Ok((text, exit)) => print(&text, exit),
        Err(error) => {
            eprintln!("{}", paragraph(&error));
            exit_of(&error)
        }
    };
    ExitCode::from(exit as u8)
}

/// Prints the result and gives the exit code. A reader that closes the pipe has seen enough; any other failure loses the
/// result and is one.
fn print(text: &str, exit: Exit) -> Exit {
    let mut out = std::io::stdout().lock();
    // Names come from files, and a terminal would obey control characters in them.
    let text: Vec<String> = text.split('\n').map(harmless).collect();
    match out.write_all(text.join("\n").as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error[output-unwritable]: the work was done, its result cannot be printed: {error}");
            Exit::Usage
        }
        _ => exit,
    }
}

fn exit_of(error: &Error) -> Exit {
    use crate::onnx::Error as Onnx;
    match error {
        Error::Config(_)
        | Error::Checkpoint { .. }
        | Error::Missing { .. }
        | Error::Conflict { .. }
        | Error::Onnx(Onnx::Output { .. } | Onnx::Write { .. } | Onnx::Edited { .. }) => Exit::Usage,
        Error::Shape { .. }
        | Error::Scores { .. }
        | Error::Embeddings { .. }
        | Error::Report { .. }
        | Error::Onnx(_)
        | Error::Dataset(_)
        | Error::Taps(_)
        | Error::SafeGround { .. }
        | Error::Score { .. } => Exit::Input,
        Error::Runtime { .. } | Error::NoRuntime(_) => Exit::Runtime,
        Error::Interrupted => Exit::Interrupted,
    }
}

/// What happened and what to do, as one paragraph. Control characters, which a file's names may hold, are escaped.
fn paragraph(error: &Error) -> String {
    let code = error.code().map_or(String::new(), |code| format!("[{code}]"));
    let help = error.help().map_or(String::new(), |help| format!("; {help}"));
    harmless(&format!("error{code}: {error}{help}"))
}
