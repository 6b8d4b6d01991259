//! Jobs that INSERT started: a line that follows each, also when its cell has ended.

use std::sync::Arc;
use std::time::Duration;

use super::figures::{Figures, Phase, rows};
use super::html;
use super::output::{CellOutput, Picture};
use crate::console::diagnostic;
use crate::console::render::visible;
use crate::error::{Error, Result};
use crate::flow::{Job, JobState};
use crate::sql::variables::Script;

/// Least time between two looks at a job.
const FRAME: Duration = Duration::from_millis(500);

/// The line of one job.
#[derive(Debug)]
pub struct JobLine {
    job: Arc<Job>,
    script: Arc<Script>,
    figures: Figures,
    output: CellOutput,
    id: String,
    last: Option<Picture>,
}

impl JobLine {
    /// Shows a job for the first time.
    pub fn new(job: Arc<Job>, script: Arc<Script>, output: CellOutput, id: String) -> Self {
        let figures = Figures::new(job.clone());
        let mut this = Self { job, script, figures, output, id, last: None };
        this.paint(&this.job.state());
        this
    }

    /// Follows the job to its end; a failure is the error.
    pub fn follow(mut self) -> Result<JobState> {
        loop {
            let ended = self.job.wait_for(FRAME);
            match ended {
                None => self.paint(&JobState::Running),
                Some(state) => {
                    self.paint(&state);
                    return match state {
                        JobState::Failed(e) => Err(e),
                        state => Ok(state),
                    };
                }
            }
        }
    }

    /// Follows the job in its own thread; the line reports a failure.
    pub fn follow_in_background(self) -> Result<()> {
        let name = format!("affluent-watch-{}", self.job.id);
        // The error is part of the line.
        std::thread::Builder::new().name(name).spawn(move || drop(self.follow()))?;
        Ok(())
    }

    fn paint(&mut self, state: &JobState) {
        let mut name = String::new();
        visible::push_text(&self.job.name, &mut name);
        let written = self.job.metrics.rows_out.load(std::sync::atomic::Ordering::Relaxed);
        let written = format!("{} written", rows(written));
        let figures = self.figures.line(Phase::of(state), Some(&written));
        let mut text = format!("job {} ({name}) {figures}", self.job.id);
        if *state == JobState::Running {
            text.push_str(&format!(" · STOP JOB '{}'; stops it", self.job.id));
        }
        let mut markup = html::line(&text);
        if let JobState::Failed(e) = state {
            let message = failure(e, &self.script);
            markup.push_str(&html::message(&message));
            text = format!("{text}\n{message}");
        }
        let picture = Picture::html(text, markup);
        if self.last.as_ref() == Some(&picture) {
            return;
        }
        match (&self.last, *state == JobState::Running && self.output.is_congested()) {
            (None, _) => self.output.show_as(&self.id, picture.clone()),
            (Some(_), true) => return,
            (Some(_), false) => self.output.replace(&self.id, picture.clone()),
        }
        self.last = Some(picture);
    }
}

/// What a failed job or query says, with its place in the cell.
pub fn failure(error: &Error, script: &Script) -> String {
    diagnostic::text(error, script, false)
}
