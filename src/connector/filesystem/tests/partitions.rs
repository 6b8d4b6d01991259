//! Partitions that are complete when the watermark passes them.

use super::*;
use crate::connector::Writer;

const HOUR: i64 = 3_600_000;
/// 2024-01-01 10:00.
const TEN: i64 = 1_704_103_200_000;

struct Job {
    dir: TempDir,
    sink: Arc<dyn Sink>,
    writers: Vec<Box<dyn Writer>>,
    pending: Vec<serde_json::Value>,
}

impl Job {
    fn new(more: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let mut options = vec![
            ("sink.partition-commit.policy.kind", "success-file"),
            ("sink.partition-commit.trigger", "partition-time"),
        ];
        options.extend(more);
        let table = pair(&dir.path().join("out"), &["k"], &options);
        let sink = sink_of(&table, |r| (r.bounded, r.checkpoints) = (false, true)).unwrap();
        sink.recover(&[]).unwrap();
        let writers = (0..2).map(|task| sink.writer(writer_context(task, 2)).unwrap()).collect();
        Self { dir, sink, writers, pending: Vec::new() }
    }

    fn checkpoint(&mut self, epoch: u64) {
        let told = self.writers.iter_mut().flat_map(|w| settled(|| w.pre_commit(epoch, false).unwrap()));
        self.pending = told.collect();
        self.sink.commit_epoch(epoch, &self.pending).unwrap();
    }

    /// The partitions that say they are complete.
    fn complete(&self) -> Vec<String> {
        let names = files(self.dir.path()).into_keys().filter(|name| name.ends_with("/_SUCCESS"));
        names.map(|name| name.split('/').nth(1).unwrap().to_string()).collect()
    }
}

#[test]
fn a_partition_is_complete_when_all_that_are_not_idle_have_passed_it() {
    let mut job = Job::new(&[
        ("sink.partition-commit.delay", "1 h"),
        ("partition.time-extractor.timestamp-pattern", "$k:00:00"),
    ]);
    let ten = "k=2024-01-01 10";
    job.writers[0].write(&chunk(&[(Some("2024-01-01 10"), 1), (Some("2024-01-01 11"), 2)])).unwrap();
    job.writers[1].write(&chunk(&[(Some("2024-01-01 10"), 3)])).unwrap();
    job.writers[0].watermark(TEN + HOUR + 1).unwrap();
    job.checkpoint(1);
    assert!(job.complete().is_empty(), "the second task has no time");
    job.writers[1].idle(true);
    job.checkpoint(2);
    // One file of each writer, and none that is hidden.
    assert_eq!(job.complete(), [ten]);
    let visible = files(job.dir.path()).into_keys().filter(|n| n.contains(ten) && !n.contains("/."));
    assert_eq!(visible.count(), 3);
    // Not idle any more, and behind.
    job.writers[1].idle(false);
    job.writers[1].watermark(TEN).unwrap();
    job.writers[0].watermark(TEN + 3 * HOUR).unwrap();
    job.checkpoint(3);
    assert_eq!(job.complete(), [ten]);
    // Comes back, with what it watches.
    job.sink.recover(&job.pending).unwrap();
    job.writers = (0..2).map(|task| job.sink.writer(writer_context(task, 2)).unwrap()).collect();
    job.writers.iter_mut().for_each(|w| w.watermark(TEN + 3 * HOUR).unwrap());
    job.checkpoint(4);
    assert_eq!(job.complete(), [ten, "k=2024-01-01 11"]);
}

#[test]
fn a_name_without_a_time_is_told() {
    let mut job = Job::new(&[]);
    let e = job.writers[0].write(&chunk(&[(Some("soon"), 1)])).unwrap_err();
    assert!(e.message().contains("partition 'k=soon' has no time: 'soon' is not of the form"), "{e}");
    assert!(e.hint().is_some_and(|h| h.contains("partition.time-extractor.timestamp-pattern")), "{e}");
    let dir = TempDir::new().unwrap();
    let options = [
        ("sink.partition-commit.policy.kind", "success-file"),
        ("sink.partition-commit.trigger", "partition-time"),
    ];
    let table = pair(&dir.path().join("out"), &["k"], &options);
    let e = sink_of(&table, |r| r.bounded = false).map(drop).unwrap_err();
    assert!(e.message().contains("with checkpoints only"), "{e}");
}
