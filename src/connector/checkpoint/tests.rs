#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array, UInt64Array};
use arrow::datatypes::{Decimal128Type, Field, Int32Type, Int64Type, Schema};

use super::*;
use crate::catalog::Column as TableColumn;
use crate::connector::replay::context;
use crate::flow::Mailbox;
use crate::state::checkpoint::{Checkpoints, Cut, JobPlan, OperatorPlan, TaskCut};
use crate::state::store::local::LocalStore;
use crate::state::{Scope, Snapshot};

/// A checkpoint with two operators: `Count` with one table in two tasks, `Join` with two.
fn written(folder: &std::path::Path) {
    let mut checkpoints = Checkpoints::open(Arc::new(LocalStore::new(folder)), 1).unwrap();
    checkpoints.begin();
    let fields = ["task", "n", "n", ""].map(|name| Field::new(name, DataType::Int64, true));
    let mut fields = fields.to_vec();
    fields.push(Field::new("hash", DataType::UInt64, true));
    let schema = Arc::new(Schema::new(fields));
    for (epoch, many) in [(1, 10_000), (2, 3)] {
        let tasks = (0..2_i64).map(|task| {
            let numbers: ArrayRef =
                Arc::new(Int64Array::from_iter_values((0..many).map(|n| n + task * 100_000)));
            let hashes: ArrayRef = Arc::new(UInt64Array::from_value(u64::MAX, many as usize));
            let columns = vec![numbers.clone(), numbers.clone(), numbers.clone(), numbers, hashes];
            let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
            let mut count = Snapshot::new(epoch == 1);
            count.table("keys", Scope::Dealt, (0..many as u64).collect(), rows.clone(), vec![]).unwrap();
            let mut join = Snapshot::new(epoch == 1);
            join.table("left", Scope::Dealt, vec![0], rows.slice(0, 1), vec![]).unwrap();
            join.table("right", Scope::Dealt, vec![], rows.slice(0, 0), vec![]).unwrap();
            let mut marks = Snapshot::new(epoch == 1);
            marks.value("mark", 1).unwrap();
            let operators = vec![
                ("count-1".to_string(), count),
                ("join-1".to_string(), join),
                ("mark-1".to_string(), marks),
            ];
            TaskCut { task: task as usize, tasks: 2, finished: false, operators }
        });
        let cut = Cut { epoch, tasks: tasks.collect(), ..Cut::default() };
        let operator = |id: &str, name: &str| OperatorPlan {
            id: id.to_string(),
            name: name.to_string(),
            detail: String::new(),
            ..OperatorPlan::default()
        };
        let operators =
            vec![operator("count-1", "Count"), operator("join-1", "Join"), operator("mark-1", "Mark")];
        checkpoints.write(&JobPlan { operators, ..JobPlan::default() }, cut).unwrap();
    }
}

fn options(path: &std::path::Path, pairs: &[(&str, &str)]) -> Options {
    let mut options = Options::default();
    let path = path.display().to_string();
    for (key, value) in [("connector", "checkpoint"), ("path", &path)].iter().chain(pairs) {
        options.set(key, value, Default::default());
    }
    options
}

fn read(options: Options) -> Result<Vec<RecordBatch>> {
    let inferred = CheckpointTables.infer(&options)?.unwrap();
    let column = |(name, data_type): (String, SqlType)| TableColumn {
        name,
        source: ColumnSource::Physical { data_type, nullable: true },
        comment: None,
    };
    let table = Table {
        name: "state".into(),
        home: Default::default(),
        columns: inferred.columns.into_iter().map(column).collect(),
        watermark: None,
        primary_key: vec![],
        partitioned_by: vec![],
        comment: None,
        options,
        temporary: false,
        own: None,
    };
    super::super::registry::validate(&table)?;
    let field = |c: &TableColumn| Field::new(&c.name, c.declared().unwrap().0.to_arrow("UTC"), true);
    let schema = Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()));
    let projection = (0..table.columns.len()).collect();
    let request =
        ScanRequest { table: Arc::new(table), projection, schema, batch_rows: 4096, zone: "UTC".into() };
    let source = CheckpointTables.source(&request)?;
    assert!(source.bounded());
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut batches = Vec::new();
    for task in 0..source.max_parallelism() {
        let context = context(task, 2, Mailbox::default().waker(0), runtime.handle().clone());
        let mut reader = source.reader(context)?;
        while let Read::Batch(batch) = reader.read()? {
            assert!((1..=4096).contains(&batch.num_rows()));
            batches.push(batch);
        }
    }
    Ok(batches)
}

#[test]
fn rows_of_an_operator_have_their_task() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let batches = read(options(folder.path(), &[("operator", "count")])).unwrap();
    let schema = batches[0].schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["task_", "task", "n", "n_2", "column", "hash"]);
    let mut rows: BTreeMap<i32, usize> = BTreeMap::new();
    for batch in &batches {
        let tasks = batch.column(0).as_primitive::<Int32Type>().values();
        for (task, n) in tasks.iter().zip(batch.column(3).as_primitive::<Int64Type>().values()) {
            assert_eq!(i64::from(*task), n / 100_000);
            *rows.entry(*task).or_default() += 1;
        }
        let hashes = batch.column(5).as_primitive::<Decimal128Type>();
        assert!(hashes.values().iter().all(|&h| h == i128::from(u64::MAX)));
    }
    assert_eq!(rows, BTreeMap::from([(0, 10_000), (1, 10_000)]));
    assert_eq!(read(options(folder.path(), &[("operator", "join-1"), ("table", "right")])).unwrap().len(), 0);
}

#[test]
fn without_an_operator_all_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let batches = read(options(folder.path(), &[])).unwrap();
    let text = |column: usize, row: usize| array_value_to_string(batches[0].column(column), row).unwrap();
    let row = |row: usize| [0, 1, 3, 4, 5].map(|column| text(column, row)).join(" ");
    let rows: Vec<String> = (0..batches[0].num_rows()).map(row).collect();
    assert_eq!(
        rows,
        [
            "count-1 Count 0 keys 10000",
            "count-1 Count 1 keys 10000",
            "join-1 Join 0 left 1",
            "join-1 Join 0 right 0",
            "join-1 Join 1 left 1",
            "join-1 Join 1 right 0",
            "mark-1 Mark 0  0",
            "mark-1 Mark 1  0",
        ]
    );
    assert!(text(6, 0).parse::<u64>().unwrap() > 10_000);
}

#[test]
fn unknown_states_are_refused_with_those_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    written(&folder.path().join("job"));
    let job = folder.path().join("job");
    let wrong = |path: &std::path::Path, pairs: &[(&str, &str)]| read(options(path, pairs)).unwrap_err();
    let e = wrong(&job, &[("operator", "Cuont")]);
    assert_eq!(e.hint(), Some("did you mean 'Count'?"));
    let e = wrong(&job, &[("operator", "Join")]);
    assert_eq!(e.hint(), Some("add 'table' = '...', one of: left, right"));
    let e = wrong(&job, &[("operator", "Join"), ("table", "middle")]);
    assert_eq!(e.hint(), Some("it has: left, right"));
    let e = wrong(&job, &[("operator", "Mark")]);
    assert_eq!(e.message(), "operator 'mark-1' has no state tables");
    let e = wrong(folder.path(), &[]);
    assert_eq!(e.hint(), Some("there are some below it: job"));
    let e = wrong(&folder.path().join("nowhere"), &[]);
    assert!(e.message().starts_with("there is no checkpoint or savepoint in"), "{e}");
    let e = wrong(&job, &[("table", "left")]);
    assert_eq!(e.message(), "table 'state': option 'table' needs option 'operator'");
}
