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
use datafusion_common::{DFSchema, DFSchemaRef, Result as DfResult, internal_err};
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Spanned, TableAlias, TableFactor,
    Value,
};

use super::bind::span_of;
use super::graph::{Body, BuildNode, Changes, Demand, Distribution, Input, Node, Properties};
use super::lower::normalize;
use super::provider::Planner;
use super::sink::originator;
use crate::catalog::table::nearest;
use crate::error::{Error, Result, Span};
use crate::flow::Kind;
use crate::operator::changelog::{
    FromChangelog, FromChangelogSpec, InvalidOp, ToChangelog, ToChangelogSpec, kind_name, kind_of_name,
};

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

fn is_function(name: &ObjectName) -> Option<&'static str> {
    let word = &name.0.last()?.as_ident()?.value;
    [TO, FROM].into_iter().find(|f| word.eq_ignore_ascii_case(f))
}

/// Whether a relation is the call of a changelog function.
pub(super) fn is_call(relation: &TableFactor) -> bool {
    match relation {
        TableFactor::Table { name, args: Some(_), .. } => is_function(name).is_some(),
        TableFactor::TableFunction { expr: ast::Expr::Function(f), .. } => is_function(&f.name).is_some(),
        _ => false,
    }
}

/// The plan of a call, and its alias.
pub(super) fn plan_call(
    relation: TableFactor,
    context: &mut dyn RelationPlannerContext,
) -> Result<(LogicalPlan, Option<TableAlias>)> {
    let span = span_of(relation.span());
    let (name, args, alias) = match relation {
        TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args, alias),
        TableFactor::TableFunction { expr: ast::Expr::Function(f), alias } => match f.args {
            FunctionArguments::List(list) => (f.name, list.args, alias),
            _ => (f.name, Vec::new(), alias),
        },
        other => return Err(Error::internal(format!("{other} is not the call of a table function"))),
    };
    let call = match is_function(&name) {
        Some(TO) => Call::read(TO, &["input", "op", "op_mapping", "produces_full_deletes"], args, span)?,
        _ => Call::read(FROM, &["input", "op", "op_mapping", "invalid_op_handling"], args, span)?,
    };
    let plan = if call.function == TO { call.to(context) } else { call.from(context) };
    Ok((plan.map_err(|e| e.at(span))?, alias))
}

/// A call with its arguments in the order of its parameters.
struct Call {
    function: &'static str,
    args: Vec<Option<ast::Expr>>,
    span: Span,
}

/// The table argument of a call.
struct TableArgument {
    plan: LogicalPlan,
    /// Columns of PARTITION BY.
    partition_by: Vec<usize>,
}

impl Call {
    fn read(function: &'static str, names: &[&str], args: Vec<FunctionArg>, span: Span) -> Result<Self> {
        let mut slots: Vec<Option<ast::Expr>> = vec![None; names.len()];
        let mut named = false;
        for (position, arg) in args.into_iter().enumerate() {
            let (slot, value) = match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if !named => (Some(position), value),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    named = true;
                    let slot = names.iter().position(|n| n.eq_ignore_ascii_case(&name.value));
                    if slot.is_none() {
                        let error = Error::plan(format!("{function} has no argument '{}'", name.value))
                            .at(span_of(name.span));
                        return Err(match nearest(&name.value, names.iter().copied()) {
                            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                            None => error.with_hint(format!("it has: {}", names.join(", "))),
                        });
                    }
                    (slot, value)
                }
                other => {
                    return Err(Error::plan(format!("'{other}' is not an argument of {function}"))
                        .with_hint(format!("in order, or as name => value: {}", names.join(", ")))
                        .at(span));
                }
            };
            match slot.and_then(|slot| slots.get_mut(slot)) {
                Some(slot @ None) => *slot = Some(value),
                Some(Some(_)) => {
                    return Err(Error::plan(format!("an argument of {function} is given twice"))
                        .at(span_of(value.span())));
                }
                None => {
                    return Err(Error::plan(format!("{function} takes at most {} arguments", names.len()))
                        .at(span_of(value.span())));
                }
            }
        }
        Ok(Self { function, args: slots, span })
    }

    fn wrong(&self, arg: &ast::Expr, message: impl fmt::Display) -> Error {
        Error::plan(format!("{}: {message}", self.function)).at(span_of(arg.span()))
    }

    /// `TABLE t PARTITION BY k`
    fn input(&self, context: &mut dyn RelationPlannerContext) -> Result<TableArgument> {
        let Some(ast::Expr::Subquery(query)) = &self.args[0] else {
            let error = Error::plan(format!("{} takes a table as its first argument", self.function));
            let hint = format!("write {}(input => TABLE t)", self.function);
            let span = self.args[0].as_ref().map_or(self.span, |arg| span_of(arg.span()));
            return Err(error.with_hint(hint).at(span));
        };
        let mut query = query.clone();
        if let Some(order_by) = query.order_by.take() {
            return Err(Error::unsupported(format!(
                "ORDER BY of the input of {} is not supported",
                self.function
            ))
            .with_hint("rows are taken in the order in which they arrive")
            .at(span_of(order_by.span())));
        }
        let keys = match query.body.as_mut() {
            ast::SetExpr::Select(select) => std::mem::take(&mut select.distribute_by),
            _ => Vec::new(),
        };
        let table = TableFactor::Derived { lateral: false, subquery: query, alias: None, sample: None };
        let plan = context.plan(table)?;
        let mut partition_by = Vec::new();
        for key in keys {
            let parts = match key {
                ast::Expr::Tuple(parts) => parts,
                ast::Expr::Nested(inner) => vec![*inner],
                other => vec![other],
            };
            for part in parts {
                let position = self.column(&part, &plan)?;
                if partition_by.contains(&position) {
                    return Err(self.wrong(&part, format!("'{part}' stands in PARTITION BY twice")));
                }
                partition_by.push(position);
            }
        }
        Ok(TableArgument { plan, partition_by })
    }

    /// The position of a column of the input.
    fn column(&self, expr: &ast::Expr, plan: &LogicalPlan) -> Result<usize> {
        let name = match expr {
            ast::Expr::Identifier(name) => &name.value,
            ast::Expr::CompoundIdentifier(parts) if !parts.is_empty() => &parts[parts.len() - 1].value,
            _ => return Err(self.wrong(expr, format!("'{expr}' is not the name of a column"))),
        };
        let names: Vec<&str> = plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
        names.iter().position(|known| known == name).ok_or_else(|| {
            let error = self.wrong(expr, format!("the input has no column '{name}'"));
            match nearest(name, names.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint(format!("it has: {}", names.join(", "))),
            }
        })
    }

    /// `op => DESCRIPTOR(name)`
    fn op(&self) -> Result<ast::Ident> {
        let Some(arg) = &self.args[1] else { return Ok(ast::Ident::new("op")) };
        let wrong = || {
            let hint = "write op => DESCRIPTOR(op)";
            self.wrong(arg, "argument 'op' is a DESCRIPTOR with the name of one column").with_hint(hint)
        };
        let ast::Expr::Function(f) = arg else { return Err(wrong()) };
        let FunctionArguments::List(list) = &f.args else { return Err(wrong()) };
        if !f.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") {
            return Err(wrong());
        }
        match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Identifier(name)))] => Ok(name.clone()),
            _ => Err(wrong()),
        }
    }

    /// `op_mapping => MAP['key, key', 'value', ...]`; the texts between the commas of a key, and its value.
    fn mapping(&self) -> Result<Option<Vec<(Vec<String>, String)>>> {
        let Some(arg) = &self.args[2] else { return Ok(None) };
        let wrong = || {
            self.wrong(arg, "argument 'op_mapping' is a MAP of texts")
                .with_hint("write op_mapping => MAP['INSERT', 'I', 'DELETE', 'D']")
        };
        let ast::Expr::Function(f) = arg else { return Err(wrong()) };
        let FunctionArguments::List(list) = &f.args else { return Err(wrong()) };
        if f.name.to_string() != "$map" && !f.name.to_string().eq_ignore_ascii_case("`$map`") {
            return Err(wrong());
        }
        let texts: Option<Vec<String>> = list.args.iter().map(text).collect();
        let texts = texts.filter(|texts| texts.len() % 2 == 0).ok_or_else(wrong)?;
        let pairs = texts.chunks_exact(2).map(|pair| {
            let keys = pair[0].split(',').map(|key| key.trim().to_string()).collect();
            (keys, pair[1].trim().to_string())
        });
        Ok(Some(pairs.collect()))
    }

    fn kind(&self, name: &str) -> Result<Kind> {
        let arg = self.args[2].as_ref();
        kind_of_name(name).ok_or_else(|| {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind_name(*kind)).collect();
            Error::plan(format!("{}: '{name}' is not a kind of change", self.function))
                .with_hint(format!("kinds are {}", known.join(", ")))
                .at(arg.map_or(self.span, |arg| span_of(arg.span())))
        })
    }

    fn twice(&self, what: &str) -> Error {
        let arg = self.args[2].as_ref();
        Error::plan(format!("{}: '{what}' stands in 'op_mapping' twice", self.function))
            .at(arg.map_or(self.span, |arg| span_of(arg.span())))
    }

    fn to(&self, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let TableArgument { plan, partition_by } = self.input(context)?;
        let op = self.op()?;
        let input = plan.schema();
        if input.fields().iter().any(|f| f.name() == &op.value) {
            return Err(Error::plan(format!("{TO}: the input has a column '{}' already", op.value))
                .with_hint("name the column of the code with op => DESCRIPTOR(another_name)")
                .at(span_of(op.span)));
        }
        let codes = match self.mapping()? {
            None => KINDS.map(|kind| Some(kind_name(kind).to_string())),
            Some(mapping) => {
                let mut codes = [const { None }; 4];
                for (names, code) in mapping {
                    for name in names {
                        let slot = &mut codes[self.kind(&name)? as usize];
                        if slot.is_some() {
                            return Err(self.twice(&name));
                        }
                        *slot = Some(code.clone());
                    }
                }
                codes
            }
        };
        let key_deletes = match &self.args[3] {
            None => false,
            Some(arg) => match arg {
                ast::Expr::Value(v) if matches!(v.value, Value::Boolean(_)) => {
                    v.value == Value::Boolean(false)
                }
                _ => return Err(self.wrong(arg, "argument 'produces_full_deletes' is TRUE or FALSE")),
            },
        };
        if key_deletes && partition_by.is_empty() {
            return Err(Error::plan(format!("{TO}: deletes of a key alone need PARTITION BY"))
                .with_hint("write input => TABLE t PARTITION BY key"));
        }
        let columns: Vec<Option<usize>> = partition_by
            .iter()
            .map(|&i| Some(i))
            .chain([None])
            .chain((0..input.fields().len()).filter(|i| !partition_by.contains(i)).map(Some))
            .collect();
        let field = |column: &Option<usize>| {
            let field = match column {
                Some(i) => input.field(*i).as_ref().clone().with_nullable(true),
                None => Field::new(&op.value, DataType::Utf8View, false),
            };
            (None, Arc::new(field.with_metadata(Default::default())))
        };
        let schema = DFSchema::new_with_metadata(columns.iter().map(field).collect(), Default::default())?;
        let schema = Arc::new(schema);
        let node = ToChangelogNode { input: plan, codes, partition_by, key_deletes, columns, schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn from(&self, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let TableArgument { plan, partition_by } = self.input(context)?;
        let name = self.op()?;
        let op = self.column(&ast::Expr::Identifier(name.clone()), &plan)?;
        let input = plan.schema();
        if !matches!(input.field(op).data_type(), DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8) {
            return Err(Error::plan(format!("{FROM}: column '{}' of the codes must be STRING", name.value))
                .at(span_of(name.span)));
        }
        let codes = match self.mapping()? {
            None => KINDS.iter().map(|kind| (kind_name(*kind).to_string(), *kind)).collect(),
            Some(mapping) => {
                let mut codes: Vec<(String, Kind)> = Vec::new();
                let mut kinds = Vec::new();
                for (names, value) in mapping {
                    let kind = self.kind(&value)?;
                    if kinds.contains(&kind) {
                        let hint = "several codes of a kind are written 'c, r'";
                        return Err(self.twice(&value).with_hint(hint));
                    }
                    kinds.push(kind);
                    for code in names {
                        if codes.iter().any(|(known, _)| *known == code) {
                            return Err(self.twice(&code));
                        }
                        codes.push((code, kind));
                    }
                }
                codes
            }
        };
        let invalid = match &self.args[3] {
            None => InvalidOp::Fail,
            Some(arg) => {
                let word = text_of(arg).unwrap_or_default();
                match word.to_ascii_uppercase().as_str() {
                    "FAIL" => InvalidOp::Fail,
                    "LOG" => InvalidOp::Log,
                    "SKIP" => InvalidOp::Skip,
                    _ => {
                        return Err(
                            self.wrong(arg, "argument 'invalid_op_handling' is 'FAIL', 'LOG' or 'SKIP'")
                        );
                    }
                }
            }
        };
        let rest = (0..input.fields().len()).filter(|i| *i != op && !partition_by.contains(i));
        let columns: Vec<usize> = partition_by.iter().copied().filter(|i| *i != op).chain(rest).collect();
        if columns.len() + 1 != input.fields().len() || partition_by.contains(&op) {
            return Err(Error::plan(format!("{FROM}: rows are not partitioned by their code")));
        }
        let field = |i: &usize| {
            let field = input.field(*i).as_ref().clone().with_nullable(true);
            (None, Arc::new(field.with_metadata(Default::default())))
        };
        let schema = DFSchema::new_with_metadata(columns.iter().map(field).collect(), Default::default())?;
        let schema = Arc::new(schema);
        let node = FromChangelogNode { input: plan, op, codes, invalid, partition_by, columns, schema };
        if node.is_upsert() && node.partition_by.is_empty() {
            return Err(Error::plan(format!(
                "{FROM}: updates without UPDATE_BEFORE are upserts, and their key is not known"
            ))
            .with_hint("write input => TABLE t PARTITION BY key, or map a code to UPDATE_BEFORE"));
        }
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

fn text_of(expr: &ast::Expr) -> Option<String> {
    match expr {
        ast::Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn text(arg: &FunctionArg) -> Option<String> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => text_of(expr),
        _ => None,
    }
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
        Ok(Node {
            name: "ToChangelog",
            detail: node.describe(),
            body: Body::Operator(build),
            properties: Properties { bounded: input.properties.bounded, ..Properties::default() },
            inputs: vec![Input {
                node: input,
                distribution: Distribution::Any,
                demand: if before { Demand::Before } else { Demand::After },
            }],
            schema: node.schema.clone(),
            arrow,
            originates: false,
            lookups: Vec::new(),
            warnings: Vec::new(),
        })
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
        let changes = Node {
            name: "FromChangelog",
            detail: node.describe(),
            body: Body::Operator(build),
            inputs: vec![Input { node: input, distribution, demand: Demand::Forward }],
            schema: node.schema.clone(),
            arrow,
            properties,
            originates: true,
            lookups: Vec::new(),
            warnings: Vec::new(),
        };
        if node.is_upsert() { normalize(changes) } else { Ok(changes) }
    }
}
