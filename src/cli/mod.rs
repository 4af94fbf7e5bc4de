//! The command line: arguments in, calls, exit code out. No logic of its own.

mod apply;
mod check;
mod compare;
mod data;
mod data_sets;
mod doctor;
mod evaluate;
mod evaluation;
mod inspect;
mod model;
mod progress;
mod recipe;
mod rewrite;
mod runtime;
mod score;
mod sweep;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use miette::Diagnostic;

use crate::exit::Exit;
use crate::few::cut_to;
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
    Check(Box<check::Args>),
    Apply(apply::Apply),
    Revert(apply::Revert),
    Verify(compare::Verify),
    Diff(compare::Diff),
    #[command(subcommand)]
    Data(data_sets::Data),
    Doctor(doctor::Args),
}

/// Characters of an error that are printed.
const LONGEST: usize = 4000;

/// How a result is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for a terminal.
    Human,
    /// One JSON value.
    Json,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    crate::guard::quiet_guarded_panics();
    let exit = match Cli::parse().command.run() {
        Ok((text, exit)) => print(&text, exit),
        Err(error) => {
            terminal::complain(&paragraph(&error));
            error.exit()
        }
    };
    ExitCode::from(exit as u8)
}

impl Command {
    /// Does the job and returns what goes to stdout, and the exit code.
    fn run(self) -> Result<(String, Exit), Error> {
        let done = match self {
            // It has colours of its own, and escapes what lies between them.
            Self::Check(args) => return args.run(),
            Self::Inspect(args) => args.run().map(|text| (text, Exit::Ok)),
            Self::Rewrite(args) => args.run().map(|text| (text, Exit::Ok)),
            Self::Score(args) => args.run().map(|text| (text, Exit::Ok)),
            Self::Merge(args) => args.run().map(|text| (text, Exit::Ok)),
            Self::Sweep(args) => args.run(),
            Self::Evaluate(args) => args.run(),
            Self::Apply(args) => args.run().map(|text| (text, Exit::Ok)),
            Self::Revert(args) => args.run().map(|text| (text, Exit::Ok)),
            Self::Verify(args) => args.run(),
            Self::Diff(args) => args.run(),
            Self::Data(args) => args.run(),
            Self::Doctor(args) => args.run(),
        };
        // Names come from files, and a terminal would obey control characters in them.
        done.map(|(text, exit)| (terminal::shown(&text), exit))
    }
}

/// Prints the result, which is harmless, and gives the exit code. A reader that closes the pipe has seen enough; any other failure loses the
/// result and is one.
fn print(text: &str, exit: Exit) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            terminal::complain(&format!(
                "error[output-unwritable]: the work was done, its result cannot be printed: {error}"
            ));
            Exit::Usage
        }
        _ => exit,
    }
}

/// What happened and what to do, as one paragraph.
fn paragraph(error: &Error) -> String {
    let code = error.code().map_or(String::new(), |code| format!("[{code}]"));
    let help = error.help().map_or(String::new(), |help| format!("; {help}"));
    // What happened may quote a name from a file, of any length.
    format!("error{code}: {}{help}", cut_to(&error.to_string(), LONGEST))
}
