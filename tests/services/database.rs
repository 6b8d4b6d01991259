//! What the tests of databases share: jobs that are killed, and the truth that their target must equal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng;

use crate::harness::{Running, affluent, until, write};

/// A folder that other users may look into.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// Whether we are root, whom servers refuse to run as.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// A job that copies 20,000 numbers in a few seconds, with checkpoints.
pub fn numbers(table: &str, insert: &str) -> String {
    format!(
        "SET 'execution.checkpointing.interval' = '150 ms';
         SET 'pipeline.name' = 'numbers';
         SET 'parallelism.default' = '2';
         SET 'restart-strategy.type' = 'none';
         CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '6000',
            'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '20000');
         {table};
         {insert};"
    )
}

/// Kills a job again and again, and lets it come to its end at last. How often it was killed.
pub fn killed(folder: &Path, script: &str) -> usize {
    let path = write(folder, script);
    let mut rng = rand::rng();
    let mut kills = 0;
    let mut had_checkpoint = false;
    loop {
        let errors = folder.join("errors.txt");
        let mut running =
            Running::start_quietly(affluent(folder, &["run", path.to_str().unwrap(), "-q"]), &errors);
        let pause = if kills < 8 { rng.random_range(300..900) } else { 180_000 };
        let deadline = std::time::Instant::now() + Duration::from_millis(pause);
        let status = loop {
            if let Some(status) = running.has_ended() {
                break Some(status);
            }
            if std::time::Instant::now() > deadline {
                break None;
            }
            had_checkpoint |= has_checkpoint(&folder.join("state"));
            std::thread::sleep(Duration::from_millis(10));
        };
        match status {
            Some(status) => {
                let said = std::fs::read_to_string(&errors).unwrap_or_default();
                assert!(status.success(), "{said}");
                return kills;
            }
            None => {
                assert!(
                    kills < 9,
                    "it did not end: {}",
                    std::fs::read_to_string(&errors).unwrap_or_default()
                );
                running.kill();
                kills += 1;
                // It had finished, and did not come to say so: a run that comes to its end deletes its checkpoints,
                // and the next one would do everything again.
                if had_checkpoint && !has_checkpoint(&folder.join("state")) {
                    return kills;
                }
            }
        }
    }
}

/// Whether a folder has a checkpoint in any of its folders.
fn has_checkpoint(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => has_checkpoint(&path),
            false => path.parent().is_some_and(|parent| parent.ends_with("manifests")),
        }
    })
}

/// A job that goes on until it is stopped.
pub struct Job {
    folder: tempfile::TempDir,
    script: PathBuf,
    running: Running,
}

const SETTINGS: &str = "SET 'execution.checkpointing.interval' = '200 ms'; SET 'pipeline.name' = 'copy'; SET 'restart-strategy.type' = 'fixed-delay'; SET 'restart-strategy.fixed-delay.attempts' = '20'; SET 'restart-strategy.fixed-delay.delay' = '500 ms';";

impl Job {
    pub fn start(script: &str) -> Self {
        let folder = folder();
        let script = write(folder.path(), &format!("{SETTINGS}\n{script}"));
        let running = Self::run(folder.path(), &script);
        Self { folder, script, running }
    }

    fn run(folder: &Path, script: &Path) -> Running {
        let arguments = ["run", script.to_str().unwrap(), "-q"];
        Running::start_quietly(affluent(folder, &arguments), &folder.join("errors.txt"))
    }

    pub fn again(&mut self) {
        self.running.kill();
        self.running = Self::run(self.folder.path(), &self.script);
    }

    /// As a crash would end it.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("errors.txt")).unwrap_or_default()
    }

    /// Waits until something holds, as long as the job runs.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        until(&format!("{what}\n{}", self.errors()), || {
            if let Some(status) = self.running.has_ended() {
                panic!("{what}: the job ended, {status}\n{}", self.errors());
            }
            holds()
        });
    }

    /// Waits for its end, which must be a failure; what it said.
    pub fn fails(&mut self) -> String {
        until("the end of the job", || self.running.has_ended().is_some());
        let status = self.running.has_ended();
        assert!(status.is_none_or(|status| !status.success()), "{}", self.errors());
        self.errors()
    }
}
