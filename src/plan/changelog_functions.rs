//! `TO_CHANGELOG` and `FROM_CHANGELOG`: changes as values, and back.
//!
//! ```sql
//! SELECT * FROM TO_CHANGELOG(input => TABLE t [PARTITION BY k] [, op => DESCRIPTOR(op)]
//!                            [, op_mapping => MAP['INSERT, UPDATE_AFTER', 'U', 'DELETE', 'D']]
//!                            [, produces_full_deletes => FALSE])
//! SELECT * FROM FROM_CHANGELOG(input => TABLE t [PARTITION BY k] [, op => DESCRIPTOR(op)]
//!                            [, op_mapping => MAP['c, r', 'INSERT', 'd', 'DELETE']]
//!                            [, invalid_op_handling => 'SKIP'])
//! ```
//! What comes out of `TO_CHANGELOG` are the keys of PARTITION BY, the code and the other columns. A
//! `FROM_CHANGELOG` whose mapping has UPDATE_AFTER but no UPDATE_BEFORE reads upserts, and needs PARTITION BY
//! to know by which key. Neither forwards time attributes.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, DFSchemaRef, Result as DfResult, ScalarValue, internal_err};
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use sqlparser::ast::{FunctionArg, ObjectName};

use super::graph::{BuildNode, Changes, Demand, Distribution, Input, Node, Properties};
use super::lower::{forwarded, normalize};
use super::meaning::{Meaning, Parts};
use super::provider::Planner;
use super::sink::originator;
use super::table_function::{Arguments, Parameter, constant, table_arguments};
use crate::error::{Error, Result, Span};
use crate::flow::Kind;
use crate::operator::changelog::{
    FromChangelog, FromChangelogSpec, InvalidOp, ToChangelog, ToChangelogSpec, kind_name, kind_of_name,
};
use crate::sql::Name;

const KINDS: [Kind; 4] = [Kind::Insert, Kind::UpdateBefore, Kind::UpdateAfter, Kind::Delete];
const TO: &str = "TO_CHANGELOG";
const FROM: &str = "FROM_CHANGELOG";

/// `TO_CHANGELOG`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToChangelogNode {
    input: LogicalPlan,
    /// By kind.
    codes: [Option<String>; 4],
    /// Columns of PARTITION BY, in the input.
    partition_by: Vec<usize>,
    /// Deleted rows keep the columns of PARTITION BY alone.
    key_deletes: bool,
    /// Columns of the input; `None` for the code.
    columns: Vec<Option<usize>>,
    schema: DFSchemaRef,
}

/// `FROM_CHANGELOG`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FromChangelogNode {
    input: LogicalPlan,
    /// The column with the code, in the input.
    op: usize,
    codes: Vec<(String, Kind)>,
    invalid: InvalidOp,
    partition_by: Vec<usize>,
    columns: Vec<usize>,
    schema: DFSchemaRef,
}

impl PartialOrd for ToChangelogNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl PartialOrd for FromChangelogNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

/// The only input of a node, after a rewrite.
fn only(inputs: Vec<LogicalPlan>) -> DfResult<LogicalPlan> {
    match <[LogicalPlan; 1]>::try_from(inputs) {
        Ok([input]) => Ok(input),
        Err(_) => internal_err!("a changelog function has one input"),
    }
}

impl UserDefinedLogicalNodeCore for ToChangelogNode {
    fn name(&self) -> &str {
        "ToChangelog"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToChangelog: {}", self.describe())
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        Ok(Self { input: only(inputs)?, ..self.clone() })
    }
}

impl UserDefinedLogicalNodeCore for FromChangelogNode {
    fn name(&self) -> &str {
        "FromChangelog"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FromChangelog: {}", self.describe())
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        Ok(Self { input: only(inputs)?, ..self.clone() })
    }
}

impl ToChangelogNode {
    fn describe(&self) -> String {
        let op = self.columns.iter().position(Option::is_none).unwrap_or_default();
        let codes = KINDS.iter().filter_map(|kind| {
            self.codes[*kind as usize].as_ref().map(|code| format!("{}: '{code}'", kind_name(*kind)))
        });
        format!("op={}, codes=[{}]", self.schema.field(op).name(), codes.collect::<Vec<_>>().join(", "))
    }
}

impl FromChangelogNode {
    fn describe(&self) -> String {
        let codes: Vec<String> =
            self.codes.iter().map(|(code, kind)| format!("'{code}': {}", kind_name(*kind))).collect();
        format!("op={}, codes=[{}]", self.input.schema().field(self.op).name(), codes.join(", "))
    }

    fn has(&self, kind: Kind) -> bool {
        self.codes.iter().any(|(_, known)| *known == kind)
    }

    /// Updates come as new rows alone.
    fn is_upsert(&self) -> bool {
        self.has(Kind::UpdateAfter) && !self.has(Kind::UpdateBefore)
    }
}

/// The functions, in upper case.
pub(super) const FUNCTIONS: [&str; 2] = [TO, FROM];

const TO_PARAMETERS: &[Parameter] = &[
    Parameter::required("INPUT"),
    Parameter::optional("OP"),
    Parameter::optional("OP_MAPPING"),
    Parameter::optional("PRODUCES_FULL_DELETES"),
];

const FROM_PARAMETERS: &[Parameter] = &[
    Parameter::required("INPUT"),
    Parameter::optional("OP"),
    Parameter::optional("OP_MAPPING"),
    Parameter::optional("INVALID_OP_HANDLING"),
];

/// The plan of a call of one of [`FUNCTIONS`].
pub(super) fn changelog_table(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
    zone: &str,
) -> Result<LogicalPlan> {
    let call = table_arguments(name, args, context)?;
    let span = call.span;
    let node = match call.name == TO {
        true => to_changelog(call.assign(TO_PARAMETERS)?, zone)
            .map(|n| Arc::new(n) as Arc<dyn UserDefinedLogicalNode>),
        false => from_changelog(call.assign(FROM_PARAMETERS)?, zone)
            .map(|n| Arc::new(n) as Arc<dyn UserDefinedLogicalNode>),
    };
    Ok(LogicalPlan::Extension(Extension { node: node.map_err(|e| e.at(span))? }))
}

/// The input, and the positions of the columns of its PARTITION BY.
fn input(arguments: &mut Arguments) -> Result<(LogicalPlan, Vec<usize>)> {
    let Some((table, span)) = arguments.table("INPUT")? else {
        return Err(Error::internal("a call without its table"));
    };
    if !table.order_by.is_empty() {
        return Err(Error::unsupported(format!(
            "ORDER BY of the input of {} is not supported",
            arguments.function
        ))
        .with_hint("rows are taken in the order in which they arrive")
        .at(span));
    }
    let mut partition_by = Vec::new();
    for position in forwarded(&table.partition_by, table.plan.schema()) {
        match position {
            Some(position) if !partition_by.contains(&position) => partition_by.push(position),
            Some(_) => return Err(Error::plan("a column appears in PARTITION BY twice").at(span)),
            None => return Err(Error::plan("PARTITION BY of a table argument takes columns").at(span)),
        }
    }
    Ok((table.plan, partition_by))
}

/// The text of a constant.
fn text(expr: &Expr, zone: &str) -> Option<String> {
    match constant(expr, zone).ok()? {
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => text,
        _ => None,
    }
}

/// The texts of each key, and its value.
type Mapping = Vec<(Vec<String>, String)>;

/// `op_mapping => MAP['key, key', 'value', ...]`: the texts between the commas of a key, and its value.
fn mapping(arguments: &mut Arguments, zone: &str) -> Result<Option<(Mapping, Span)>> {
    let Some((entries, span)) = arguments.map("OP_MAPPING")? else { return Ok(None) };
    let pairs = entries.iter().map(|(key, value)| {
        let keys = text(key, zone)?.split(',').map(|key| key.trim().to_string()).collect();
        Some((keys, text(value, zone)?.trim().to_string()))
    });
    match pairs.collect() {
        Some(pairs) => Ok(Some((pairs, span))),
        None => {
            Err(Error::plan(format!("the argument OP_MAPPING of {} is a MAP of texts", arguments.function))
                .with_hint("write op_mapping => MAP['INSERT', 'I', 'DELETE', 'D']")
                .at(span))
        }
    }
}

fn kind(name: &str) -> Result<Kind> {
    kind_of_name(name).ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind_name(*kind)).collect();
        Error::plan(format!("'{name}' is not a kind of change"))
            .with_hint(format!("kinds are {}", known.join(", ")))
    })
}

fn twice(what: &str) -> Error {
    Error::plan(format!("'{what}' appears in OP_MAPPING twice"))
}

fn fields(columns: impl Iterator<Item = Field>) -> Result<DFSchemaRef> {
    let fields = columns.map(|f| (None, Arc::new(f.with_metadata(Default::default())))).collect();
    Ok(Arc::new(DFSchema::new_with_metadata(fields, Default::default())?))
}

fn to_changelog(mut arguments: Arguments, zone: &str) -> Result<ToChangelogNode> {
    let (plan, partition_by) = input(&mut arguments)?;
    let op = match arguments.descriptor("OP")? {
        None => Name { value: "op".into(), span: arguments.span },
        Some((names, span)) => match <[Name; 1]>::try_from(names) {
            Ok([name]) => name,
            Err(_) => return Err(Error::plan(format!("the DESCRIPTOR of {TO} names one column")).at(span)),
        },
    };
    let input = plan.schema();
    if input.fields().iter().any(|f| *f.name() == op.value) {
        return Err(Error::plan(format!("{TO}: the input has a column '{}' already", op.value))
            .with_hint("name the column of the code with op => DESCRIPTOR(another_name)")
            .at(op.span));
    }
    let mut codes = KINDS.map(|kind| Some(kind_name(kind).to_string()));
    if let Some((mapping, span)) = mapping(&mut arguments, zone)? {
        codes = [const { None }; 4];
        for (names, code) in mapping {
            for name in names {
                let slot = &mut codes[kind(&name).map_err(|e| e.at(span))? as usize];
                if slot.replace(code.clone()).is_some() {
                    return Err(twice(&name).at(span));
                }
            }
        }
    }
    let key_deletes = match arguments.constant("PRODUCES_FULL_DELETES", zone)? {
        None => false,
        Some((ScalarValue::Boolean(Some(full)), _)) => !full,
        Some((_, span)) => {
            return Err(Error::plan("the argument PRODUCES_FULL_DELETES is TRUE or FALSE").at(span));
        }
    };
    if key_deletes && partition_by.is_empty() {
        return Err(Error::plan(format!("{TO}: deletes of a key alone need PARTITION BY"))
            .with_hint("write input => TABLE t PARTITION BY key"));
    }
    let rest = (0..input.fields().len()).filter(|i| !partition_by.contains(i));
    let columns: Vec<Option<usize>> =
        partition_by.iter().map(|&i| Some(i)).chain([None]).chain(rest.map(Some)).collect();
    let schema = fields(columns.iter().map(|column| match column {
        Some(i) => input.field(*i).as_ref().clone().with_nullable(true),
        None => Field::new(&op.value, DataType::Utf8View, false),
    }))?;
    Ok(ToChangelogNode { input: plan, codes, partition_by, key_deletes, columns, schema })
}

fn from_changelog(mut arguments: Arguments, zone: &str) -> Result<FromChangelogNode> {
    let (plan, partition_by) = input(&mut arguments)?;
    let input = plan.schema();
    let op = match arguments.column("OP", &plan)? {
        Some((column, _)) => forwarded(std::slice::from_ref(&column), input).into_iter().flatten().next(),
        None => input.index_of_column_by_name(None, "op"),
    };
    let Some(op) = op else {
        return Err(Error::plan(format!("{FROM}: the input has no column 'op'"))
            .with_hint("name the column of the codes with op => DESCRIPTOR(column)"));
    };
    let name = input.field(op).name();
    if !matches!(input.field(op).data_type(), DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8) {
        return Err(Error::plan(format!("{FROM}: column '{name}' of the codes must be STRING")));
    }
    if partition_by.contains(&op) {
        return Err(Error::plan(format!("{FROM}: rows are not partitioned by their code")));
    }
    let mut codes: Vec<(String, Kind)> =
        KINDS.iter().map(|kind| (kind_name(*kind).to_string(), *kind)).collect();
    if let Some((mapping, span)) = mapping(&mut arguments, zone)? {
        codes.clear();
        for (names, value) in mapping {
            let kind = kind(&value).map_err(|e| e.at(span))?;
            if codes.iter().any(|(_, known)| *known == kind) {
                return Err(twice(&value).with_hint("several codes of a kind are written 'c, r'").at(span));
            }
            for code in names {
                if codes.iter().any(|(known, _)| *known == code) {
                    return Err(twice(&code).at(span));
                }
                codes.push((code, kind));
            }
        }
    }
    let invalid = match arguments.scalar("INVALID_OP_HANDLING")? {
        None => InvalidOp::Fail,
        Some((word, span)) => match text(&word, zone).unwrap_or_default().to_ascii_uppercase().as_str() {
            "FAIL" => InvalidOp::Fail,
            "LOG" => InvalidOp::Log,
            "SKIP" => InvalidOp::Skip,
            _ => {
                let message = "the argument INVALID_OP_HANDLING is 'FAIL', 'LOG' or 'SKIP'";
                return Err(Error::plan(message).at(span));
            }
        },
    };
    let rest = (0..input.fields().len()).filter(|i| *i != op && !partition_by.contains(i));
    let columns: Vec<usize> = partition_by.iter().copied().chain(rest).collect();
    let schema = fields(columns.iter().map(|i| input.field(*i).as_ref().clone().with_nullable(true)))?;
    let node = FromChangelogNode { input: plan, op, codes, invalid, partition_by, columns, schema };
    if node.is_upsert() && node.partition_by.is_empty() {
        return Err(Error::plan(format!(
            "{FROM}: updates without UPDATE_BEFORE are upserts, and their key is not known"
        ))
        .with_hint("write input => TABLE t PARTITION BY key, or map a code to UPDATE_BEFORE"));
    }
    Ok(node)
}

/// The names of a logical schema over the types of batches.
fn batch_schema(schema: &DFSchema, types: impl Iterator<Item = DataType>) -> SchemaRef {
    let fields = schema.fields().iter().zip(types).map(|(f, t)| Field::new(f.name(), t, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Planner {
    /// Changes as rows.
    pub(super) fn lower_to_changelog(&self, node: &ToChangelogNode) -> Result<Node> {
        let input = self.lower(&node.input)?;
        let types = node.columns.iter().map(|column| match column {
            Some(i) => input.arrow.field(*i).data_type().clone(),
            None => DataType::Utf8View,
        });
        let arrow = batch_schema(&node.schema, types);
        let spec = ToChangelogSpec {
            codes: node.codes.clone(),
            columns: node.columns.clone(),
            deleted_columns: node.key_deletes.then(|| node.partition_by.clone()),
            schema: arrow.clone(),
        };
        let build: BuildNode = Arc::new(move |_| {
            let spec = spec.clone();
            Ok(Arc::new(move || Ok(Box::new(ToChangelog::new(spec.clone())))))
        });
        let before = node.codes[Kind::UpdateBefore as usize].is_some();
        let codes = node.codes.each_ref().map(|code| code.as_deref().unwrap_or("-"));
        let what = Parts::new("ToChangelog", 1)
            .with("codes", codes.join(", "))
            .flag("key deletes", node.key_deletes)
            .columns("keys", &input, &node.partition_by);
        let text = |column: &Option<usize>| match column {
            Some(i) => input.meaning.columns.get(*i).cloned().unwrap_or_else(|| "?".into()),
            None => "kind of change".into(),
        };
        let meaning = Meaning::passed(what, &input, node.columns.iter().map(text).collect());
        let properties = Properties { bounded: input.properties.bounded, ..Properties::default() };
        let demand = if before { Demand::Before } else { Demand::After };
        let inputs = vec![Input { node: input, distribution: Distribution::Any, demand }];
        let columns = (node.schema.clone(), arrow);
        let known = (properties, meaning);
        Ok(Node::operator("ToChangelog", node.describe(), build, inputs, columns, known))
    }

    /// Rows as changes.
    pub(super) fn lower_from_changelog(&self, node: &FromChangelogNode) -> Result<Node> {
        let input = self.lower(&node.input)?;
        if !input.properties.changes.is_append() {
            let origin = originator(&input);
            return Err(Error::plan(format!("{FROM} takes inserts only, and its input changes rows"))
                .with_detail(format!("{}({}) updates its results", origin.name, origin.detail)));
        }
        let types = node.columns.iter().map(|i| input.arrow.field(*i).data_type().clone());
        let arrow = batch_schema(&node.schema, types);
        let spec = FromChangelogSpec {
            op: node.op,
            codes: node.codes.clone(),
            invalid: node.invalid,
            columns: node.columns.clone(),
            emit_before: true,
            schema: arrow.clone(),
        };
        let build: BuildNode = Arc::new(move |wiring| {
            let spec = FromChangelogSpec { emit_before: wiring.emit_before, ..spec.clone() };
            Ok(Arc::new(move || Ok(Box::new(FromChangelog::new(spec.clone())))))
        });
        let key: Vec<usize> = (0..node.partition_by.len()).collect();
        let distribution = match key.is_empty() {
            // The changes of a row must stay in their order, and nobody knows which rows are the same.
            true => Distribution::Single,
            false => Distribution::Keys(node.partition_by.clone()),
        };
        let changes = match node.is_upsert() {
            true => Changes::ALL,
            false => Changes {
                update: node.has(Kind::UpdateAfter) || node.has(Kind::UpdateBefore),
                delete: node.has(Kind::Delete),
            },
        };
        let properties = Properties {
            changes,
            keys: if node.is_upsert() { vec![key] } else { Vec::new() },
            bounded: input.properties.bounded,
            ..Properties::default()
        };
        let codes: Vec<String> =
            node.codes.iter().map(|(code, kind)| format!("{code} {}", kind_name(*kind))).collect();
        let what = Parts::new("FromChangelog", 1)
            .with("codes", codes.join(", "))
            .columns("code", &input, &[node.op])
            .columns("keys", &input, &node.partition_by);
        let texts = node.columns.iter().filter_map(|&i| input.meaning.columns.get(i).cloned());
        let meaning = Meaning::passed(what, &input, texts.collect());
        let inputs = vec![Input { node: input, distribution, demand: Demand::Forward }];
        let columns = (node.schema.clone(), arrow);
        let known = (properties, meaning);
        let changes =
            Node::operator("FromChangelog", node.describe(), build, inputs, columns, known).originating(true);
        if node.is_upsert() { normalize(changes, self.state.config.state_ttl()) } else { Ok(changes) }
    }
}
