//! Random cuts, failures, losses of power and restarts against a model.

use super::*;

const OPERATORS: [(&str, &str); 3] = [("agg", "keys"), ("agg", "panes"), ("wait", "rows")];

/// The rows of all tables by operator, task and table; with values and whether a task has finished.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    tasks: usize,
    tables: BTreeMap<(usize, usize), BTreeMap<u64, (i64, String)>>,
    values: BTreeMap<usize, u64>,
    finished: BTreeMap<usize, bool>,
}

#[derive(Debug, Clone)]
enum Event {
    /// Changes by table and task; whether each task is cut twice for it; a task that finishes.
    Cut { changes: Vec<(usize, usize, u8, Change)>, twice: bool, finish: Option<usize> },
    /// A later step of the disk fails.
    Fault(usize, Fault),
    /// The process starts again, behind a kill or a loss of power, with so many tasks.
    Restart { power: Option<u64>, tasks: usize },
    /// Tasks start again in the same process.
    Again,
}

fn scope(table: usize) -> Scope {
    match table {
        0 => Scope::Keyed(vec![0]),
        1 => Scope::Keyed(vec![]),
        _ => Scope::Dealt,
    }
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![0..24_u64, (0..3_u64, 0..8_u64).prop_map(|(pane, slot)| pane << 32 | slot)]
}

fn some_change() -> impl Strategy<Value = Change> {
    let rows = proptest::collection::btree_map(id(), (0..50_i64, "[a-z]{0,20}"), 0..12);
    let range = (id(), prop_oneof![1..4_u64, Just(1 << 33)]).prop_map(|(start, n)| start..start + n);
    (rows, proptest::collection::vec(range, 0..3)).prop_map(|(rows, removed)| Change { rows, removed })
}

fn event() -> impl Strategy<Value = Event> {
    let changes = proptest::collection::vec((0..3_usize, 0..3_usize, 0..8_u8, some_change()), 0..8);
    let finish = proptest::option::weighted(0.1, 0..3_usize);
    let fault =
        prop_oneof![Just(Fault::Crash), Just(Fault::Full), Just(Fault::Fails), Just(Fault::FailsLate)];
    prop_oneof![
        8 => (changes, any::<bool>(), finish)
            .prop_map(|(changes, twice, finish)| Event::Cut { changes, twice, finish }),
        2 => (0..24_usize, fault).prop_map(|(step, fault)| Event::Fault(step, fault)),
        1 => (proptest::option::of(any::<u64>()), 1..4_usize)
            .prop_map(|(power, tasks)| Event::Restart { power, tasks }),
        1 => Just(Event::Again),
    ]
}

impl Model {
    fn rows(&mut self, table: usize, task: usize) -> &mut BTreeMap<u64, (i64, String)> {
        self.tables.entry((table, task)).or_default()
    }

    /// What a checkpoint holds.
    fn of(checkpoint: &Checkpoint) -> Self {
        let mut model = Self::default();
        for found in checkpoint.tables() {
            model.tasks = found.tasks;
            let name = found.table.as_deref().unwrap();
            let number = OPERATORS.iter().position(|o| *o == (&found.operator, name)).unwrap();
            let rows = checkpoint.table(&found.operator, found.task, name).unwrap();
            let into = model.rows(number, found.task);
            for (ids, batch) in rows {
                for (id, row) in ids.into_iter().zip(rows_of(&batch)) {
                    assert!(into.insert(id, row).is_none(), "id {id} twice");
                }
            }
        }
        for ((operator, task), state) in &checkpoint.manifest.state {
            if operator == "agg" {
                model.values.insert(*task, serde_json::from_value(state.values["value"].clone()).unwrap());
                model.finished.insert(*task, state.finished);
            }
        }
        model
    }

    /// A full cut of one task.
    fn full(&self, task: usize) -> TaskCut {
        let (mut agg, mut wait) = (Snapshot::new(true), Snapshot::new(true));
        for (number, (operator, name)) in OPERATORS.iter().enumerate() {
            let rows = self.tables.get(&(number, task)).cloned().unwrap_or_default();
            let snapshot = if *operator == "agg" { &mut agg } else { &mut wait };
            table(snapshot, name, scope(number), &Change { rows, removed: vec![] });
        }
        agg.value("value", self.values.get(&task).copied().unwrap_or(0)).unwrap();
        let operators = vec![("agg".to_string(), agg), ("wait".to_string(), wait)];
        let finished = self.finished.get(&task).copied().unwrap_or(false);
        TaskCut { task, tasks: self.tasks, finished, operators }
    }

    /// Goes on with other tasks, as the job does: rows come from the store and are given new ids, and tasks that had
    /// finished run once more.
    fn rescaled(&self, checkpoint: &Checkpoint, tasks: usize) -> Self {
        let mut model = Self { tasks, ..Self::default() };
        // The ledger is what operators are tested with: both give the same.
        let mut ledgers = [Ledger::default(), Ledger::default()];
        for task in 0..self.tasks {
            for ((_, snapshot), ledger) in self.full(task).operators.into_iter().zip(&mut ledgers) {
                ledger.add(task, snapshot);
            }
        }
        for task in 0..tasks {
            for (number, (operator, name)) in OPERATORS.iter().enumerate() {
                let ledger = &ledgers[usize::from(*operator != "agg")];
                let restored =
                    [checkpoint.operator(operator, task, tasks).unwrap(), ledger.restore(task, tasks)];
                let rows = restored.map(|mut restored| {
                    assert_eq!(restored.is_rescaled(), tasks != self.tasks);
                    let mut rows = BTreeMap::new();
                    for piece in restored.table(name).unwrap() {
                        let ids = piece.ids.iter().map(|id| (piece.origin, *id));
                        rows.extend(ids.zip(rows_of(&piece.rows)));
                    }
                    rows
                });
                assert_eq!(rows[0], rows[1]);
                let [rows, _] = rows;
                let rows = rows.into_values().enumerate().map(|(i, row)| (i as u64, row)).collect();
                model.tables.insert((number, task), rows);
            }
            let values: Vec<u64> = checkpoint.operator("agg", task, tasks).unwrap().values("value").unwrap();
            model.values.insert(task, values.into_iter().max().unwrap_or(0));
        }
        model
    }
}

struct Job {
    disk: FaultyDisk,
    checkpoints: Option<Checkpoints>,
    model: Model,
    epoch: u64,
    /// The next cut is full.
    full: bool,
    /// The last write was good.
    good: bool,
    /// What may be found: the last that was written well, and those that were tried since.
    durable: Vec<(u64, Model)>,
}

impl Job {
    fn new(tasks: usize) -> Self {
        let disk = FaultyDisk::default();
        let mut checkpoints = Checkpoints::open(disk.store("/jobs/one"), 2).unwrap();
        checkpoints.begin();
        let model = Model { tasks, ..Model::default() };
        let checkpoints = Some(checkpoints);
        Self { disk, checkpoints, model, epoch: 0, full: true, good: false, durable: Vec::new() }
    }

    /// Changes the model, and tells the cut.
    fn change(&mut self, changes: &[(usize, usize, u8, Change)], finish: Option<usize>, cut: &mut Cut) {
        let tasks = self.model.tasks;
        for task in 0..tasks {
            if self.model.finished.get(&task) == Some(&true) {
                continue;
            }
            let (mut agg, mut wait) = (Snapshot::new(self.full), Snapshot::new(self.full));
            for (number, (operator, name)) in OPERATORS.iter().enumerate() {
                let found = changes.iter().find(|c| c.0 == number && c.1 % tasks == task);
                let (how, change) = found.map_or((1, Change::default()), |c| (c.2, c.3.clone()));
                let snapshot = if *operator == "agg" { &mut agg } else { &mut wait };
                let rows = self.model.rows(number, task);
                if how == 0 {
                    // The table as a whole.
                    *rows = change.rows.into_values().enumerate().map(|(i, r)| (i as u64, r)).collect();
                    let all: Vec<_> = rows.values().cloned().collect();
                    snapshot.whole(name, scope(number), batch(&all)).unwrap();
                    continue;
                }
                rows.retain(|id, _| !change.removed.iter().any(|r| r.contains(id)));
                rows.extend(change.rows.clone());
                let change = match self.full {
                    true => Change { rows: rows.clone(), removed: vec![] },
                    false => change,
                };
                table(snapshot, name, scope(number), &change);
            }
            let value = self.model.values.entry(task).or_default();
            *value += 1;
            agg.value("value", *value).unwrap();
            let finished = finish == Some(task);
            self.model.finished.insert(task, finished);
            let operators = vec![("agg".to_string(), agg), ("wait".to_string(), wait)];
            cut.tasks.push(TaskCut { task, tasks, finished, operators });
        }
        self.full = false;
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Cut { changes, twice, finish } => {
                self.epoch += 1;
                let mut cut = Cut { epoch: self.epoch, ..Cut::default() };
                let half = if *twice { changes.len() / 2 } else { 0 };
                if *twice {
                    self.change(&changes[..half], None, &mut cut);
                }
                self.change(&changes[half..], *finish, &mut cut);
                self.write(cut);
            }
            Event::Fault(step, fault) => self.disk.fault(*step, *fault),
            Event::Restart { power, tasks } => self.restart(*power, *tasks),
            Event::Again => {
                self.disk.heal();
                self.recover(self.model.tasks);
            }
        }
    }

    fn write(&mut self, cut: Cut) {
        let position = BTreeMap::from([("split".to_string(), Value::from(self.epoch))]);
        let cut = Cut { sources: BTreeMap::from([("source".to_string(), position)]), ..cut };
        let written = self.checkpoints.as_mut().unwrap().write(&JobPlan::default(), cut);
        let now = (self.epoch, self.model.clone());
        match written {
            Ok(_) => self.durable = vec![now],
            Err(_) => self.durable.push(now),
        }
        self.good |= written.is_ok();
        if !self.disk.is_down() {
            self.check();
        }
    }

    /// What is found now is one of those that may be.
    fn check(&self) -> Option<(Checkpoint, Model)> {
        let (found, warnings, _) = newest(&self.disk.store("/jobs/one"), u64::MAX).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        let Some(found) = found else {
            assert!(!self.good, "a checkpoint that was written well is gone");
            return None;
        };
        let (_, model) = self.durable.iter().find(|(epoch, _)| *epoch == found.epoch()).unwrap();
        let same = Model::of(&found);
        let count = |model: &Model| model.tables.values().flatten().count();
        assert_eq!(count(&same), count(model));
        for (key, rows) in &same.tables {
            assert_eq!(Some(rows), model.tables.get(key), "{key:?}");
        }
        assert_eq!((&same.values, &same.finished), (&model.values, &model.finished));
        assert_eq!(found.sources()["source"]["split"], Value::from(found.epoch()));
        let model = model.clone();
        Some((found, model))
    }

    fn restart(&mut self, power: Option<u64>, tasks: usize) {
        self.checkpoints = None;
        match power {
            Some(seed) => self.disk.restart(seed),
            None if self.disk.is_down() => self.disk.restart(7),
            None => self.disk.kill(),
        }
        self.checkpoints = Some(Checkpoints::open(self.disk.store("/jobs/one"), 2).unwrap());
        self.recover(tasks);
    }

    fn recover(&mut self, tasks: usize) {
        let found = latest_epoch(self.checkpoints.as_ref().unwrap());
        assert_eq!(found, self.check().map(|(found, _)| found.epoch()));
        match self.check() {
            Some((found, model)) => {
                self.model = model.rescaled(&found, tasks);
                self.durable = vec![(found.epoch(), model)];
                self.good = true;
            }
            None => {
                self.model = Model { tasks, ..Model::default() };
                self.durable.clear();
            }
        }
        let checkpoints = self.checkpoints.as_mut().unwrap();
        checkpoints.begin();
        self.epoch = checkpoints.newest_epoch();
        self.full = true;
    }
}

fn latest_epoch(checkpoints: &Checkpoints) -> Option<u64> {
    checkpoints.latest().unwrap().0.map(|found| found.epoch())
}

proptest! {
    // PROPTEST_CASES makes it thousands.
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(64)
    ))]
    #[test]
    fn any_schedule_of_cuts_and_failures(
        tasks in 1..4_usize,
        events in proptest::collection::vec(event(), 1..40),
    ) {
        let mut job = Job::new(tasks);
        for event in &events {
            if job.disk.is_down() {
                job.restart(Some(events.len() as u64), tasks);
            }
            job.event(event);
        }
        // In the end everything works again, and what was held back is written.
        job.disk.heal();
        if job.disk.is_down() {
            job.restart(Some(3), tasks);
        }
        let nothing = Event::Cut { changes: vec![], twice: false, finish: None };
        job.event(&nothing);
        prop_assert_eq!(job.durable.len(), 1);
        let expected = job.model.clone();
        job.restart(Some(11), job.model.tasks);
        prop_assert_eq!(&job.durable[0].1, &expected);
        // Nothing is left that no checkpoint refers to, once one more is written.
        job.event(&nothing);
        let checkpoints = job.checkpoints.as_ref().unwrap();
        let used: BTreeSet<String> =
            checkpoints.manifests.values().flatten().flatten().map(|name| segment::path(name)).collect();
        let there = job.disk.store("/jobs/one").list("segments/").unwrap();
        prop_assert_eq!(there.into_iter().collect::<BTreeSet<_>>(), used);
    }
}

/// Whoever looks while a slow disk is written to sees the former checkpoint or the new one.
#[test]
fn a_reader_sees_whole_checkpoints_at_any_moment() {
    let disk = FaultyDisk::default();
    let mut checkpoints = Checkpoints::open(disk.store("/job"), 1).unwrap();
    checkpoints.begin();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (watched, reader) = (seen.clone(), disk.clone());
    disk.watch(Some(Box::new(move || {
        let epoch = Checkpoint::open(reader.store("/job")).ok().map_or(0, |found| {
            let epoch = found.epoch();
            assert_eq!(texts(&found), expected(&[(1, &format!("text {epoch}")), (2, "stays")]));
            epoch
        });
        watched.lock().push(epoch);
    })));
    for epoch in 1..30 {
        let text = format!("text {epoch}");
        let rows = [(1, &*text), (2, "stays")];
        let changed = if epoch == 1 { &rows[..] } else { &rows[..1] };
        checkpoints.write(&JobPlan::default(), cut(epoch, epoch == 1, &change(changed, &[]))).unwrap();
    }
    disk.watch(None);
    let mut seen = seen.lock().clone();
    assert!(seen.is_sorted() && seen.len() > 200);
    seen.dedup();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
}
