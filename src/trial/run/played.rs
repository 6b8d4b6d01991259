//! A recording is played: the clock moves to the time of each piece of rows, and what the pipeline makes of it happens.

use super::*;
use crate::trial::replay::Replay;
use crate::trial::stage::Feed;

/// How far the clock is moved at a time while answers are on their way.
const STEP: Duration = Duration::from_secs(1);

/// What happens at a moment of a recording.
enum Next {
    Rows(Arc<Feed>),
    End(Arc<Feed>),
}

impl Run<'_> {
    /// The recording that a test names, or that is replayed.
    pub(super) fn replay(setup: &Setup<'_>, options: &Options) -> Result<Option<Replay>> {
        if let Some(replay) = setup.replay {
            return Ok(Some(replay.clone()));
        }
        let Some(folder) = options.text("recording") else { return Ok(None) };
        let missing = match options.text("recording-missing").map(str::to_ascii_lowercase).as_deref() {
            Some("miss") => crate::trial::replay::Missing::Miss,
            _ => crate::trial::replay::Missing::Fail,
        };
        let folder = setup.path.with_file_name("").join(folder);
        Replay::open(&folder, missing, false).map(Some).map_err(|e| e.at(options.span("recording")))
    }

    /// Makes tables of a recording known, whose rows the test does not give itself.
    pub(super) fn feeds_of_recording(&mut self) {
        let Some(replay) = self.stage.replay() else { return };
        for (name, scan) in &replay.recording.scans {
            if self.stage.feed(name).is_some() {
                continue;
            }
            let changes = scan.events.iter().any(|event| event.kinds != Kinds::Append);
            let feed = Arc::new(Feed::recorded(changes, name, scan.schema.clone()));
            for event in &scan.events {
                feed.stage(event.batch.clone(), event.kinds.clone());
            }
            self.stage.put_feed(name, feed);
        }
    }

    /// Plays it.
    pub(super) fn play_recording(&mut self) -> Result<(), Problem> {
        let Some(replay) = self.stage.replay() else { return Ok(()) };
        let recording = &replay.recording;
        let mut all: Vec<(i64, u64, Next)> = Vec::new();
        for (name, scan) in &recording.scans {
            let Some(feed) = self.stage.feed(name).filter(|feed| feed.is_recorded()) else { continue };
            all.extend(scan.events.iter().map(|e| (e.at, e.piece, Next::Rows(feed.clone()))));
            all.extend(scan.ended.map(|at| (at, u64::MAX, Next::End(feed))));
        }
        all.sort_by_key(|(at, piece, _)| (*at, *piece));
        let ends = all.iter().filter(|(_, _, next)| matches!(next, Next::End(_))).count();
        let ends = ends == recording.scans.len();
        for (at, _, next) in all {
            self.pass_to(at)?;
            match next {
                Next::Rows(feed) => feed.push(),
                Next::End(feed) => feed.end(),
            }
            self.settle()?;
        }
        if ends && replay.alone {
            return self.end(self.setup.test.name.span);
        }
        self.pass_to(recording.end())?;
        let mut left = LAST_WAIT;
        while self.stage.on_their_way.load(std::sync::atomic::Ordering::SeqCst) > 0 && left > Duration::ZERO {
            self.advance(STEP)?;
            left = left.saturating_sub(STEP);
        }
        Ok(())
    }

    fn pass_to(&mut self, at: i64) -> Result<(), Problem> {
        match u64::try_from(at - self.now()) {
            Ok(by) if by > 0 => self.advance(Duration::from_millis(by)),
            _ => Ok(()),
        }
    }

    /// What was written, and what queries gave: names, rows with all changes applied, and their keys.
    pub(super) fn results(&self) -> Result<Vec<Replayed>> {
        let mut all = Vec::new();
        for name in self.stage.captured_names() {
            let Some(captured) = self.stage.captured(&name) else { continue };
            let key = captured.key.iter().map(|i| captured.schema.field(*i).name().clone()).collect();
            let name = match name.strip_prefix(RESULT) {
                Some("1") => "result".to_string(),
                Some(nth) => format!("result {nth}"),
                None => name,
            };
            all.push(Replayed { name, rows: rows::table(&captured)?, key });
        }
        Ok(all)
    }
}

/// Rows of a table or query after a replay.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) name: String,
    pub(crate) rows: RecordBatch,
    /// Columns of the PRIMARY KEY.
    pub(crate) key: Vec<String>,
}

/// Runs files on a recording: what came out, and what is wrong.
pub(crate) fn replay(
    replay: &Replay,
    files: &[PathBuf],
    set: &[(String, String)],
    var: &[(String, String)],
) -> (Vec<Replayed>, Vec<Problem>, u64) {
    let text = SourceText::new("<replay>", "");
    let span = Span::new((1, 1), (1, 1));
    let test = Test {
        name: crate::sql::Name { value: "replay".to_string(), span },
        options: Vec::new(),
        statements: Vec::new(),
    };
    let setup = Setup {
        file: &text,
        path: Path::new("."),
        common: &[],
        test: &test,
        set,
        var,
        update: false,
        coverage: false,
        replay: Some(replay),
        files,
    };
    let play = || -> Result<_, Problem> {
        let mut run = Run::new(&setup)?;
        run.keep = true;
        let stage = run.stage.clone();
        let outcome = run.play();
        Ok((outcome, stage.missed.load(std::sync::atomic::Ordering::SeqCst)))
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(play)) {
        Ok(Ok((outcome, missed))) => (outcome.results, outcome.problems, missed),
        Ok(Err(problem)) => (Vec::new(), vec![problem], 0),
        Err(_) => {
            let title = "the replay panicked: a fault of this program".to_string();
            (Vec::new(), vec![Problem { line: 1, title, lines: Vec::new() }], 0)
        }
    }
}
