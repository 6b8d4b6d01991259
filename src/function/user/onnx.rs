//! `'provider' = 'onnx'`: a model in a file, computed in this process by rten.
//!
//! ```text
//!  INPUT (a, b, c)      one tensor [rows, 3], where the model has one input; else a tensor [rows] or [rows, 1] for each,
//!                       found by its name. An ARRAY is a tensor [rows, length].
//!  OUTPUT (p, q)        tensors by name, or in their order; one tensor [rows, 2] is two columns, and for an ARRAY the row
//! ```
//! Numbers travel as `float` or `int32`, as the model declares them. A row with NULL in it is not computed: its outputs are
//! NULL.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Int32Array, ListArray, RecordBatch, StructArray,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type};
use rten::{DataType as Kind, Dimension, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueType};
use rten_tensor::Layout as _;

use super::caller::{CallContext, Callable, Caller, Results};
use super::{Parameter, Returns, UserFunction};
use crate::catalog::options::Options;
use crate::error::{Error, Result, Span};
use crate::lookup::{BoxFuture, Failure, FailureKind};
use crate::sql::SqlType;

/// The option that names the file.
pub(super) const FILE: &str = "file";

/// Rows that are computed together, where the statement does not say.
const ROWS: usize = 1024;

/// How the inputs of a row become tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// All numbers of a row side by side in one tensor.
    Matrix,
    /// A tensor for each.
    Columns,
}

struct Tensor {
    id: NodeId,
    name: String,
    kind: Kind,
    shape: Vec<Dimension>,
}

struct Loaded {
    model: rten::Model,
    inputs: Vec<Tensor>,
    outputs: Vec<(NodeId, String)>,
    form: Form,
    /// It takes one row at a time.
    single: bool,
}

/// A model that was loaded.
pub(super) struct OnnxModel {
    loaded: Arc<Loaded>,
    outputs: Vec<(String, SqlType)>,
    rows: usize,
    file: PathBuf,
    digest: String,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the model in {}", self.file.display())
    }
}

fn shown(shape: &[Dimension]) -> String {
    let dimensions = shape.iter().map(|d| match d {
        Dimension::Fixed(n) => n.to_string(),
        Dimension::Symbolic(name) => name.clone(),
    });
    format!("[{}]", dimensions.collect::<Vec<_>>().join(", "))
}

fn is_number(sql: &SqlType) -> bool {
    let arrow = sql.to_arrow("UTC");
    arrow.is_numeric() || arrow == DataType::Boolean
}

fn is_vector(sql: &SqlType) -> bool {
    matches!(sql, SqlType::Array(item) if is_number(item))
}

impl OnnxModel {
    /// From the options of its statement.
    pub fn new(
        name: &str,
        options: &Options,
        parameters: &[Parameter],
        returns: &Returns,
        folder: &Path,
        span: Span,
    ) -> Result<Self> {
        let in_model = |what: String| Error::option(format!("model '{name}': {what}"));
        let file = options.text(FILE).ok_or_else(|| {
            in_model(format!("option '{FILE}' is required"))
                .with_hint("'file' = 'model.onnx', relative to the file that holds the statement")
                .at(span)
        })?;
        let at = options.span(FILE);
        let file = folder.join(file);
        let bytes = std::fs::read(&file).map_err(|e| {
            in_model(format!("cannot read '{}'", file.display())).with_detail(e.to_string()).at(at)
        })?;
        let digest = crate::digest::digest_bytes(&bytes);
        let model = rten::Model::load(bytes).map_err(|e| {
            in_model(format!("'{}' does not load", file.display()))
                .with_detail(e.to_string())
                .with_hint(
                    "the operators of ai.onnx are there; trees and the like of ai.onnx.ml are not: CREATE FUNCTION ... LANGUAGE PYTHON runs those",
                )
                .at(at)
        })?;
        let Returns::Value(SqlType::Row(outputs)) = returns else {
            return Err(Error::internal("a model without outputs"));
        };
        let wrong = |what: String| Error::plan(format!("model '{name}': {what}")).at(span);
        if let Some(other) = parameters.iter().find(|p| !is_number(&p.data_type) && !is_vector(&p.data_type))
        {
            return Err(wrong(format!("INPUT '{}' is {}", other.name, other.data_type))
                .with_hint("a model in ONNX takes numbers and arrays of numbers"));
        }
        if let Some((output, sql)) = outputs.iter().find(|(_, t)| !is_number(t) && !is_vector(t)) {
            return Err(wrong(format!("OUTPUT '{output}' is {sql}"))
                .with_hint("a model in ONNX gives numbers and arrays of numbers"));
        }
        let loaded = Loaded::new(model, parameters, outputs, &wrong)?;
        let rows = match options.integer("batch")? {
            _ if loaded.single => 1,
            Some(n) => usize::try_from(n).unwrap_or(ROWS).max(1),
            None => ROWS,
        };
        let loaded = Arc::new(loaded);
        Ok(Self { loaded, outputs: outputs.clone(), rows, file, digest })
    }
}

impl Loaded {
    fn new(
        model: rten::Model,
        parameters: &[Parameter],
        outputs: &[(String, SqlType)],
        wrong: &dyn Fn(String) -> Error,
    ) -> Result<Self> {
        let mut inputs = Vec::new();
        for &id in model.input_ids() {
            let info = model.node_info(id);
            let name = info.as_ref().and_then(|i| i.name()).unwrap_or_default().to_string();
            let kind = match info.as_ref().and_then(|i| i.dtype()) {
                Some(ValueType::Tensor(kind @ (Kind::Float | Kind::Int32))) => kind,
                None => Kind::Float,
                Some(_) => {
                    return Err(wrong(format!(
                        "its input '{name}' takes neither numbers of 32 bits nor of 64"
                    )));
                }
            };
            let shape = info.and_then(|i| i.shape()).unwrap_or_default();
            inputs.push(Tensor { id, name, kind, shape });
        }
        let declared = || {
            let all = inputs.iter().map(|t| format!("{} {}", t.name, shown(&t.shape)));
            format!("its inputs are {}", all.collect::<Vec<_>>().join(", "))
        };
        let by_name: Option<Vec<usize>> = parameters
            .iter()
            .map(|p| inputs.iter().position(|t| t.name.eq_ignore_ascii_case(&p.name)))
            .collect();
        let form = match (by_name, inputs.as_slice()) {
            (Some(places), _) if places.len() == inputs.len() => {
                let mut known: Vec<Option<Tensor>> = inputs.into_iter().map(Some).collect();
                inputs = places.into_iter().filter_map(|place| known.get_mut(place)?.take()).collect();
                if inputs.len() != parameters.len() {
                    return Err(wrong("an input of the model is given twice".to_string()));
                }
                Form::Columns
            }
            (_, [only]) => {
                let vectors = parameters.iter().any(|p| is_vector(&p.data_type));
                let width = match only.shape.as_slice() {
                    [_, Dimension::Fixed(width)] => Some(*width),
                    [_, Dimension::Symbolic(_)] | [] => None,
                    _ => {
                        return Err(
                            wrong(declared()).with_hint("one input of shape [rows, numbers] is wanted")
                        );
                    }
                };
                if vectors && parameters.len() > 1 {
                    return Err(wrong(declared()).with_hint("INPUT is one ARRAY, or numbers"));
                }
                if let (Some(width), false) = (width, vectors || width == Some(parameters.len())) {
                    return Err(wrong(format!(
                        "{}: {width} numbers are wanted, INPUT has {}",
                        declared(),
                        parameters.len()
                    )));
                }
                Form::Matrix
            }
            _ => {
                return Err(wrong(declared()).with_hint(
                    "INPUT names each of them, or the model has one input of shape [rows, numbers]",
                ));
            }
        };
        let single = inputs.iter().any(|t| matches!(t.shape.first(), Some(Dimension::Fixed(1))));
        if let Some(fixed) =
            inputs.iter().find(|t| matches!(t.shape.first(), Some(Dimension::Fixed(n)) if *n != 1))
        {
            return Err(wrong(format!("its input '{}' has the shape {}", fixed.name, shown(&fixed.shape)))
                .with_hint("export it with a first dimension of any size, or of 1"));
        }
        let all: Vec<(NodeId, String)> = model
            .output_ids()
            .iter()
            .map(|&id| {
                (id, model.node_info(id).and_then(|i| i.name().map(str::to_string)).unwrap_or_default())
            })
            .collect();
        let named: Option<Vec<_>> = outputs
            .iter()
            .map(|(name, _)| all.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).cloned())
            .collect();
        let chosen = match named {
            Some(named) => named,
            None if all.len() == outputs.len() || all.len() == 1 => all,
            None => {
                let names = all.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(
                    wrong(format!("its outputs are {names}")).with_hint("OUTPUT picks some by their names")
                );
            }
        };
        Ok(Self { model, inputs, outputs: chosen, form, single })
    }

    /// Computes rows without NULLs.
    fn compute(&self, rows: &RecordBatch, outputs: &[(String, SqlType)], pool: &Arc<ThreadPool>) -> Computed {
        let count = rows.num_rows();
        let tensors = match self.form {
            Form::Columns => {
                let columns = rows.columns().iter().zip(&self.inputs);
                columns
                    .map(|(c, t)| t.of(std::slice::from_ref(c), count))
                    .collect::<std::result::Result<Vec<_>, _>>()?
            }
            Form::Matrix => self
                .inputs
                .iter()
                .map(|t| t.of(rows.columns(), count))
                .collect::<std::result::Result<_, _>>()?,
        };
        let inputs =
            self.inputs.iter().map(|t| t.id).zip(tensors.into_iter().map(ValueOrView::from)).collect();
        let ids: Vec<NodeId> = self.outputs.iter().map(|(id, _)| *id).collect();
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let values = self.model.run(inputs, &ids, Some(options)).map_err(|e| e.to_string())?;
        let mut columns = Vec::new();
        if let ([value], true) = (values.as_slice(), outputs.len() > 1) {
            // One tensor of several numbers a row.
            let (width, numbers) = numbers(value.clone(), count)?;
            if width != outputs.len() {
                return Err(format!("it gave {width} numbers a row, OUTPUT has {}", outputs.len()));
            }
            for place in 0..width {
                let places: UInt64Array = (0..count).map(|row| Some((row * width + place) as u64)).collect();
                columns.push(take(&numbers, &places, None).map_err(|e| e.to_string())?);
            }
        } else {
            for ((value, (_, name)), (_, sql)) in values.into_iter().zip(&self.outputs).zip(outputs) {
                let (width, numbers) = numbers(value, count)?;
                columns.push(match (sql, width) {
                    (SqlType::Array(_), _) => {
                        let field = Arc::new(Field::new_list_field(numbers.data_type().clone(), true));
                        let lengths = OffsetBuffer::from_repeated_length(width, count);
                        Arc::new(ListArray::new(field, lengths, numbers, None))
                    }
                    (_, 1) => numbers,
                    _ => {
                        return Err(format!(
                            "its output '{name}' has {width} numbers a row: declare an ARRAY"
                        ));
                    }
                });
            }
        }
        Ok(columns)
    }
}

type Computed = std::result::Result<Vec<ArrayRef>, String>;

/// The numbers of a tensor, and how many a row has.
fn numbers(value: Value, rows: usize) -> std::result::Result<(usize, ArrayRef), String> {
    let shape = value.shape().to_vec();
    let count: usize = shape.iter().product();
    let fits = shape.first() == Some(&rows) || rows == 1;
    if !fits || count.checked_rem(rows) != Some(0) {
        return Err(format!("it gave a tensor of the shape {shape:?} for {rows} rows"));
    }
    let array: ArrayRef = match value {
        Value::FloatTensor(tensor) => Arc::new(Float32Array::from(tensor.into_data())),
        Value::Int32Tensor(tensor) => Arc::new(Int32Array::from(tensor.into_data())),
        Value::Int8Tensor(tensor) => Arc::new(arrow::array::Int8Array::from(tensor.into_data())),
        Value::UInt8Tensor(tensor) => Arc::new(arrow::array::UInt8Array::from(tensor.into_data())),
        other => return Err(format!("it gave {}, not numbers", other.dtype())),
    };
    Ok((count / rows, array))
}

impl Tensor {
    /// The tensor of some columns side by side, or of an ARRAY.
    fn of(&self, columns: &[ArrayRef], rows: usize) -> std::result::Result<Value, String> {
        if let [only] = columns
            && let Some(lists) = only.as_list_opt::<i32>()
        {
            let offsets = lists.value_offsets();
            let length = offsets.get(1).zip(offsets.first()).map_or(0, |(b, a)| (b - a) as usize);
            if offsets.windows(2).any(|w| (w[1] - w[0]) as usize != length) {
                return Err("arrays of one call have different lengths".to_string());
            }
            let (from, to) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
            let values = lists.values().slice(from as usize, (to - from) as usize);
            return self.filled(&[values], vec![rows, length]);
        }
        let shape = match (columns.len(), self.shape.len()) {
            (1, 1) => vec![rows],
            (width, _) => vec![rows, width],
        };
        self.filled(columns, shape)
    }

    fn filled(&self, columns: &[ArrayRef], shape: Vec<usize>) -> std::result::Result<Value, String> {
        let to = if self.kind == Kind::Float { DataType::Float32 } else { DataType::Int32 };
        let safe = CastOptions { safe: false, ..CastOptions::default() };
        let columns = columns.iter().map(|c| cast_with_options(c, &to, &safe).map_err(|e| e.to_string()));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        if columns.iter().any(|c| c.null_count() > 0) {
            return Err("an array holds NULL".to_string());
        }
        macro_rules! rows {
            ($kind:ty) => {{
                let columns: Vec<_> = columns.iter().map(|c| c.as_primitive::<$kind>().values()).collect();
                let length = columns.first().map_or(0, |c| c.len());
                let mut data = Vec::with_capacity(length * columns.len());
                for row in 0..length {
                    data.extend(columns.iter().map(|column| column[row]));
                }
                Value::from_shape(shape, data).map_err(|e| e.to_string())
            }};
        }
        match self.kind {
            Kind::Float => rows!(Float32Type),
            _ => rows!(Int32Type),
        }
    }
}

impl Callable for OnnxModel {
    fn caller(&self, function: &Arc<UserFunction>, context: &CallContext) -> Result<Arc<dyn Caller>> {
        Ok(Arc::new(OnnxCaller {
            asked: Arc::new(Asked {
                loaded: self.loaded.clone(),
                outputs: self.outputs.clone(),
                result: function.returns.computed().to_arrow(&context.zone),
                // What is computed at a time is as many calls as there are tasks: none needs threads of its own.
                pool: Arc::new(ThreadPool::with_num_threads(1)),
            }),
            runtime: context.runtime.clone(),
            rows: self.rows,
            calls: context.parallelism.max(1),
            file: self.file.display().to_string(),
        }))
    }

    fn is_deterministic(&self) -> bool {
        true
    }

    fn digest(&self) -> String {
        self.digest.clone()
    }

    fn language(&self) -> &'static str {
        "MODEL"
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Asked {
    loaded: Arc<Loaded>,
    outputs: Vec<(String, SqlType)>,
    result: DataType,
    pool: Arc<ThreadPool>,
}

impl Asked {
    /// The outputs of rows; those of a row with NULL in it are NULL.
    fn answer(&self, arguments: &RecordBatch) -> std::result::Result<ArrayRef, String> {
        let told = |e: arrow::error::ArrowError| e.to_string();
        let DataType::Struct(fields) = &self.result else {
            return Err("a model without outputs".to_string());
        };
        let rows = arguments.num_rows();
        let whole: BooleanArray =
            (0..rows).map(|row| Some(arguments.columns().iter().all(|c| c.is_valid(row)))).collect();
        let some = filter_record_batch(arguments, &whole).map_err(told)?;
        if some.num_rows() == 0 {
            return Ok(arrow::array::new_null_array(&self.result, rows));
        }
        let columns = self.loaded.compute(&some, &self.outputs, &self.pool)?;
        let safe = CastOptions { safe: false, ..CastOptions::default() };
        let columns = columns.iter().zip(fields).map(|(c, f)| cast_with_options(c, f.data_type(), &safe));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(told)?;
        let row: ArrayRef = Arc::new(StructArray::try_new(fields.clone(), columns, None).map_err(told)?);
        if some.num_rows() == rows {
            return Ok(row);
        }
        let mut next = 0;
        let place = |whole: bool| {
            next += u64::from(whole);
            whole.then(|| next - 1)
        };
        let places: UInt64Array = whole.values().iter().map(place).collect();
        take(&row, &places, None).map_err(told)
    }
}

struct OnnxCaller {
    asked: Arc<Asked>,
    runtime: tokio::runtime::Handle,
    rows: usize,
    calls: usize,
    file: String,
}

impl Caller for OnnxCaller {
    fn call(&self, arguments: RecordBatch) -> BoxFuture<std::result::Result<Results, Failure>> {
        let asked = self.asked.clone();
        let answer = self.runtime.spawn_blocking(move || asked.answer(&arguments));
        Box::pin(async move {
            let failed = |what: String| Failure::new(FailureKind::Decode, what);
            match answer.await {
                Ok(answer) => answer.map(Results::new).map_err(failed),
                Err(_) => Err(failed("the model's computation broke off".to_string())),
            }
        })
    }

    fn max_rows(&self) -> usize {
        self.rows
    }

    fn computes(&self) -> bool {
        true
    }

    fn max_calls(&self) -> Option<usize> {
        Some(self.calls)
    }

    fn describe(&self) -> String {
        format!("model {}, up to {} rows together", self.file, self.rows)
    }
}
