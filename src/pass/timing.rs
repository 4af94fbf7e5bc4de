//! How long the parts of the pass take.

use std::time::Instant;

/// Seconds spent, by part.
pub struct Timing {
    begun: Instant,
    last: Instant,
    laps: Vec<(&'static str, f64)>,
}

impl Timing {
    /// Begins with what was done since `begun`.
    pub fn start(begun: Instant) -> Self {
        let mut timing = Self { begun, last: begun, laps: vec![] };
        timing.lap("load");
        timing
    }

    /// Adds the time since the last lap to a part.
    pub fn lap(&mut self, part: &'static str) {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        match self.laps.iter_mut().find(|(name, _)| *name == part) {
            Some((_, total)) => *total += seconds,
            None => self.laps.push((part, seconds)),
        }
    }

    /// The parts, and the total.
    pub fn finish(mut self) -> Vec<(&'static str, f64)> {
        self.laps.push(("total", self.begun.elapsed().as_secs_f64()));
        self.laps
    }
}
