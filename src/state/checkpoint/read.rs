//! Checkpoints as they are read: which are there, whether they are whole, and what is in one.

use super::*;

/// Why there is no manifest.
pub(super) enum Unusable {
    Flaw(Flaw),
    Error(Error),
}

pub(super) fn newer(store: &dyn Store, format: u32) -> Error {
    Error::unsupported(format!("the checkpoints in '{}' were written by a later version", store.describe()))
        .with_detail(format!("their format is {format}, this version knows up to {}", manifest::FORMAT))
        .with_hint("run the version that wrote them, or a later one")
}

pub(super) fn none(store: &dyn Store) -> Error {
    Error::option(format!("there is no checkpoint or savepoint in '{}'", store.describe()))
}

pub(super) fn all_damaged(store: &dyn Store, warnings: &[String]) -> Error {
    Error::decode(format!("no checkpoint in '{}' can be used", store.describe()))
        .with_detail(warnings.join("; "))
}

/// Numbers of the manifests that count, ascending.
pub(super) fn epochs(store: &dyn Store) -> Result<Vec<u64>> {
    Ok(cleaning::epochs(store)?.0)
}

/// A manifest; `None` if it is gone.
pub(super) fn load(store: &dyn Store, epoch: u64) -> Result<Option<Manifest>, Unusable> {
    match store.get(&manifest::path(epoch)).map_err(Unusable::Error)? {
        Some(bytes) => Manifest::decode(&bytes).map(Some).map_err(Unusable::Flaw),
        None => Ok(None),
    }
}

/// The newest whole checkpoint with a number below this one, what is to be said of newer ones, and their numbers.
pub(super) fn newest(
    store: &Arc<dyn Store>,
    below: u64,
) -> Result<(Option<Checkpoint>, Vec<String>, BTreeSet<u64>)> {
    let (mut warnings, mut passed) = (Vec::new(), BTreeSet::new());
    let mut sizes = None;
    for epoch in epochs(&**store)?.into_iter().rev().filter(|epoch| *epoch < below) {
        let flaw = match load(&**store, epoch) {
            // Deleted by the process that writes, in favour of a newer one.
            Ok(None) => continue,
            Ok(Some(manifest)) => {
                if sizes.is_none() {
                    sizes = Some(store.sizes("segments/")?);
                }
                match check(&**store, &manifest, sizes.as_ref().unwrap_or(&BTreeMap::new()))? {
                    None => {
                        let manifest = Arc::new(manifest);
                        return Ok((
                            Some(Checkpoint { manifest, store: store.clone(), assumed: false }),
                            warnings,
                            passed,
                        ));
                    }
                    Some(flaw) => flaw,
                }
            }
            Err(Unusable::Flaw(Flaw::Newer(format))) => return Err(newer(&**store, format)),
            Err(Unusable::Flaw(Flaw::Damaged(why))) => format!("its manifest {why}"),
            Err(Unusable::Error(e)) => return Err(e),
        };
        let place = store.describe();
        warnings.push(format!("checkpoint {epoch} in '{place}' is damaged and passed over: {flaw}"));
        passed.insert(epoch);
    }
    Ok((None, warnings, passed))
}

/// Whether all that a manifest refers to is there and as it was written; what is wrong if not.
///
/// Everything is read, at the speed of the disk, and is then in the system's memory when the tasks read it; stores
/// that guard what they hold are only asked for lengths.
pub(super) fn check(
    store: &dyn Store,
    manifest: &Manifest,
    sizes: &BTreeMap<String, u64>,
) -> Result<Option<String>> {
    for (name, bytes) in &manifest.segments {
        match sizes.get(&segment::path(name)) {
            None => return Ok(Some(format!("segment '{name}' is gone"))),
            Some(there) if there != bytes => {
                return Ok(Some(format!("segment '{name}' has {there} bytes instead of {bytes}")));
            }
            Some(_) => {}
        }
    }
    if store.guards_content() {
        return Ok(None);
    }
    let mut blocks: Vec<&BlockRef> = manifest::blocks(&manifest.state).collect();
    blocks.sort_unstable_by(|a, b| (&a.segment, a.offset).cmp(&(&b.segment, b.offset)));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).clamp(1, 8);
    let shares = blocks.chunks(blocks.len().div_ceil(threads).max(16));
    let verify =
        |share: &[&BlockRef]| read_blocks(store, None, share.iter().copied(), |b, bytes| verify(b, &bytes));
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let handles: Vec<_> = shares.map(|share| scope.spawn(move || verify(share))).collect();
        let joined = handles
            .into_iter()
            .map(|h| h.join().unwrap_or_else(|_| Err(Error::internal("a check of a checkpoint has failed"))));
        joined.collect()
    });
    match results.into_iter().find_map(Result::err) {
        None => Ok(None),
        Some(e) if e.kind() == ErrorKind::Decode => Ok(Some(e.message().to_string())),
        Some(e) => Err(e),
    }
}

/// A checkpoint or savepoint that was opened and found whole.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(super) manifest: Arc<Manifest>,
    pub(super) store: Arc<dyn Store>,
    assumed: bool,
}

/// How much state there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Rows, without those that were replaced or removed.
    pub rows: u64,
    /// Bytes in the store.
    pub bytes: u64,
    /// There are values which say more than how far time has come.
    pub values: bool,
}

impl Weight {
    /// Nothing is lost without it.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && !self.values
    }
}

/// Whether a value is more than a mark of time, and not nothing.
fn holds_something(name: &str, value: &Value) -> bool {
    fn is_something(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Bool(on) => *on,
            Value::Number(n) => n.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(all) => all.iter().any(is_something),
            Value::Object(all) => all.values().any(is_something),
        }
    }
    !TIME_VALUES.contains(&name) && is_something(value)
}

/// A table of an operator in one task, as a checkpoint has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTable {
    /// Id of the operator.
    pub operator: String,
    /// Number of the task, and of how many.
    pub task: usize,
    /// Tasks of the operator.
    pub tasks: usize,
    /// Name of the table; `None` stands for an operator that has values only.
    pub table: Option<String>,
    /// Bytes in the store, with rows that were replaced since.
    pub bytes: u64,
}

impl Checkpoint {
    /// Opens a savepoint, or the newest whole checkpoint of a job's folder.
    pub fn open(store: Arc<dyn Store>) -> Result<Self> {
        let (mut found, mut warnings, mut passed) = newest(&store, u64::MAX)?;
        // The job may run, and delete what it does not need any more: a newer one is there then.
        for _ in 0..8 {
            if passed.is_empty() || epochs(&*store)?.last() == passed.last() {
                break;
            }
            (found, warnings, passed) = newest(&store, u64::MAX)?;
        }
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        found.ok_or_else(|| match warnings.is_empty() {
            true => none(&*store),
            false => all_damaged(&*store, &warnings),
        })
    }

    /// The plan it was made with.
    pub fn plan(&self) -> &JobPlan {
        &self.manifest.plan
    }

    /// When it was written, in milliseconds since the epoch, if it says so.
    pub fn written_millis(&self) -> Option<i64> {
        Some(self.manifest.written_millis).filter(|millis| *millis != 0)
    }

    /// The same with the identities of now.
    pub fn adopted(self, aliases: &Aliases) -> Self {
        if self.manifest.plan.identities >= aliases.version {
            let taken: BTreeSet<&str> = self.manifest.plan.operators.iter().map(|o| o.id.as_str()).collect();
            let of = |(old, new): &(&String, &String)| {
                taken.contains(old.as_str()) && !taken.contains(new.as_str())
            };
            let earlier = aliases.earlier.iter().filter(of).map(|(old, new)| (old.clone(), new.clone()));
            let earlier: BTreeMap<String, String> = earlier.collect();
            return match earlier.is_empty() {
                true => self,
                false => self.called(|id| earlier.get(&id).cloned().unwrap_or(id)),
            };
        }
        let by_place = self.by_place(aliases);
        let assumed = !by_place.is_empty();
        let name = |id: String| match (aliases.renamed.get(&id), by_place.get(&id)) {
            (Some(new), _) | (None, Some(new)) => new.clone(),
            (None, None) => id,
        };
        Self { assumed, ..self.called(name) }
    }

    /// The same with other identities.
    fn called(self, name: impl Fn(String) -> String) -> Self {
        let mut manifest = Arc::unwrap_or_clone(self.manifest);
        manifest.state = manifest.state.into_iter().map(|((id, task), s)| ((name(id), task), s)).collect();
        manifest.sources = manifest.sources.into_iter().map(|(id, p)| (name(id), p)).collect();
        manifest.sinks = manifest.sinks.into_iter().map(|(id, p)| (name(id), p)).collect();
        manifest.plan.operators.iter_mut().for_each(|o| o.id = name(std::mem::take(&mut o.id)));
        Self { manifest: Arc::new(manifest), ..self }
    }

    /// New identities of operators whose old ones are not known, by their place in the plan.
    pub(super) fn by_place(&self, aliases: &Aliases) -> BTreeMap<String, String> {
        let with_state = self.stateful();
        let operators = self.manifest.plan.operators.iter().filter(|o| with_state.contains(&o.id));
        let old: Vec<&OperatorPlan> = operators.collect();
        let same = old.len() == aliases.stateful.len()
            && old.iter().zip(&aliases.stateful).all(|(o, (name, _))| o.name == *name);
        let unknown = old.iter().zip(&aliases.stateful).filter(|(o, _)| !aliases.renamed.contains_key(&o.id));
        let renamed = unknown.map(|(o, (_, id))| (o.id.clone(), id.clone()));
        if same { renamed.collect() } else { BTreeMap::new() }
    }

    /// It was written by an earlier version, and its operators were found by their place in the plan alone.
    pub fn is_assumed(&self) -> bool {
        self.assumed
    }

    /// How much state an operator has, over all tasks.
    pub fn weight(&self, id: &str) -> Result<Weight> {
        let mut weight = Weight::default();
        for (&task, state) in self.tasks_of(id) {
            weight.values |= state.values.iter().any(|(name, value)| holds_something(name, value));
            for (name, table) in &state.tables {
                weight.rows += self.rows_of(id, task, name)?;
                weight.bytes += table.chain.iter().map(merge::Run::bytes).sum::<u64>();
            }
        }
        Ok(weight)
    }

    /// Its number.
    pub fn epoch(&self) -> u64 {
        self.manifest.epoch
    }

    /// Nothing is left to do but to commit.
    pub fn ended(&self) -> bool {
        self.manifest.ended
    }

    /// Positions by source id.
    pub fn sources(&self) -> &BTreeMap<String, BTreeMap<String, Value>> {
        &self.manifest.sources
    }

    /// What the sinks told, by sink id.
    pub fn sinks(&self) -> &BTreeMap<String, Vec<Value>> {
        &self.manifest.sinks
    }

    /// Ids of operators that have state in it.
    pub fn stateful(&self) -> Vec<String> {
        let ids: BTreeSet<&String> = self.manifest.state.keys().map(|(id, _)| id).collect();
        ids.into_iter().cloned().collect()
    }

    /// Bytes of state in the store.
    pub fn bytes(&self) -> u64 {
        manifest::blocks(&self.manifest.state).map(|b| b.bytes).sum()
    }

    /// The state of an operator for one task of so many; nothing for an operator that is not in it. It is read from
    /// the store when the operator asks for it.
    pub fn operator(&self, id: &str, task: usize, tasks: usize) -> Result<Restored> {
        let mut formers = Vec::new();
        for (&number, state) in self.tasks_of(id) {
            let values = state.values.clone();
            let mut former = Former::with_values(number, state.tasks, state.finished, values);
            for (name, table) in &state.tables {
                let (same, mine) = (state.tasks == tasks, number == task);
                let wanted = match &table.scope {
                    _ if same => mine,
                    Scope::Keyed(columns) => !columns.is_empty() || task == 0,
                    Scope::Dealt => number % tasks.max(1) == task,
                    // It is refused when the operator asks for it.
                    Scope::Pinned => true,
                };
                if wanted {
                    let rows = ChainRows { table: table.clone(), store: self.store.clone() };
                    former.add_stored(name, table.scope.clone(), Arc::new(rows));
                }
            }
            formers.push(former);
        }
        Ok(Restored::new(task, tasks, formers))
    }

    /// What is in it, table by table.
    pub fn tables(&self) -> Vec<StateTable> {
        let mut tables = Vec::new();
        for ((operator, task), state) in &self.manifest.state {
            let entry = |table: Option<&String>, bytes| StateTable {
                operator: operator.clone(),
                task: *task,
                tasks: state.tasks,
                table: table.cloned(),
                bytes,
            };
            let bytes = |table: &TableState| table.chain.iter().map(merge::Run::bytes).sum();
            tables.extend(state.tables.iter().map(|(name, table)| entry(Some(name), bytes(table))));
            if state.tables.is_empty() {
                tables.push(entry(None, 0));
            }
        }
        tables
    }

    /// The rows of one table of an operator in one former task, with their ids; in no particular order.
    pub fn table(&self, id: &str, task: usize, table: &str) -> Result<Vec<(Vec<u64>, RecordBatch)>> {
        let state = self.tasks_of(id).find(|(number, _)| **number == task);
        let table = state.and_then(|(_, state)| state.tables.get(table));
        let mut rows = Vec::new();
        if let Some(table) = table {
            ChainRows { table: table.clone(), store: self.store.clone() }.each(&mut |ids, batch| {
                rows.push((ids, batch));
                Ok(())
            })?;
        }
        Ok(rows)
    }

    /// How many rows one table of an operator has in one former task.
    pub fn rows_of(&self, id: &str, task: usize, table: &str) -> Result<u64> {
        let state = self.tasks_of(id).find(|(number, _)| **number == task);
        match state.and_then(|(_, state)| state.tables.get(table)).map(|table| &table.chain[..]) {
            None => Ok(0),
            // Nothing was replaced: they need not be read.
            Some([run]) => Ok(run.rows()),
            Some(_) => Ok(self.table(id, task, table)?.iter().map(|(ids, _)| ids.len() as u64).sum()),
        }
    }

    /// The columns of a table of an operator, as any of its tasks wrote it.
    pub fn schema(&self, id: &str, table: &str) -> Result<Option<arrow::datatypes::SchemaRef>> {
        for (_, state) in self.tasks_of(id) {
            let Some(table) = state.tables.get(table) else { continue };
            let Some(block) = table.chain.first().and_then(|run| run.blocks.first()) else { continue };
            let mut schema = None;
            read_blocks(&*self.store, None, [block], |block, bytes| {
                schema = Some(segment::decode(block, &bytes)?.rows.schema());
                Ok(())
            })?;
            return Ok(schema);
        }
        Ok(None)
    }

    pub(super) fn tasks_of(&self, id: &str) -> impl Iterator<Item = (&usize, &TaskState)> {
        let all = self.manifest.state.range((id.to_string(), 0)..);
        all.take_while(move |((operator, _), _)| operator == id).map(|((_, task), state)| (task, state))
    }
}

/// The rows of a chain that count.
#[derive(Debug)]
struct ChainRows {
    table: TableState,
    store: Arc<dyn Store>,
}

impl StoredRows for ChainRows {
    fn bytes(&self) -> u64 {
        self.table.chain.iter().map(merge::Run::bytes).sum()
    }

    fn each(&self, with: &mut dyn FnMut(Vec<u64>, RecordBatch) -> Result<()>) -> Result<()> {
        let layers: Vec<Layer<'_>> = self.table.chain.iter().map(Layer::Stored).collect();
        let from = Blocks { store: &*self.store, recent: None };
        merge::merge(&layers, from, &mut |ids, rows| if ids.is_empty() { Ok(()) } else { with(ids, rows) })?;
        Ok(())
    }
}
