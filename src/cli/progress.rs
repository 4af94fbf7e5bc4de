//! Progress bars on stderr, and the wish to stop. Silent when stderr is not a terminal, or one that cannot move its cursor
//! (`TERM=dumb`).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::terminal;
use crate::pass::Observer;

/// Set by a signal, read between batches.
static CANCELLED: AtomicBool = AtomicBool::new(false);

/// One bar a stage.
pub struct Bars {
    current: Mutex<ProgressBar>,
}

impl Bars {
    /// Installs the signal handler: the first signal asks to stop between batches, so that temporary
    /// files are removed; the second stops at once.
    pub fn new() -> Self {
        // Fails only if a handler is installed already; then that one decides.
        let _ = ctrlc::set_handler(|| {
            if CANCELLED.swap(true, Ordering::Relaxed) {
                std::process::exit(super::Exit::Interrupted as i32);
            }
        });
        Self { current: Mutex::new(ProgressBar::hidden()) }
    }

    fn with(&self, act: impl FnOnce(&mut ProgressBar)) {
        if let Ok(mut bar) = self.current.lock() {
            act(&mut bar);
        }
    }
}

impl Observer for Bars {
    fn begin(&self, stage: &str, total: usize) {
        // The bar takes what the rest of the line leaves; on a narrow terminal the stage is cut.
        let template = match Term::stderr().size().1 {
            80.. => "{msg:28} {wide_bar} {pos}/{len}  {per_sec:1}  {eta} left",
            _ => "{msg:14!} {wide_bar} {pos}/{len} {per_sec:1} {eta}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.with(|bar| *bar = ProgressBar::new(total as u64).with_style(style).with_message(stage.to_owned()));
    }

    fn advance(&self, samples: usize) {
        self.with(|bar| bar.inc(samples as u64));
    }

    fn end(&self) {
        self.with(|bar| bar.finish_and_clear());
    }

    fn warn(&self, text: &str) {
        self.with(|bar| bar.suspend(|| terminal::complain(&format!("warning: {text}"))));
    }

    fn cancelled(&self) -> bool {
        CANCELLED.load(Ordering::Relaxed)
    }
}
