//! MATCH_RECOGNIZE: names and types.
//!
//! ```text
//!  DEFINE B AS B.price > LAST(A.price, 1) + AVG(B.tax)
//!
//!  values of the match:  B.price   LAST(A.price, 1)   AVG(B.tax)        each a column of its own
//!  expression over them:  B.price > LAST(A.price, 1) + AVG(B.tax)
//! ```
//! What an expression says of the match is taken out of it: columns of single rows (`LAST` and `FIRST` go down to the
//! columns of their argument), aggregates over the rows of a variable, the time of the match. What remains is an
//! expression over these, like any other. Below the node stands a projection to the columns that are used.

mod lower;

use std::cmp::Ordering;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::{DFSchema, DFSchemaRef, Result as DfResult, internal_err};
use datafusion_expr::planner::{ContextProvider, RelationPlannerContext};
use datafusion_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
};
use sqlparser::ast::{
    self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Spanned,
    TableFactor,
};

use super::bind::span_of;
use super::provider::Planner;
use super::resolve::coerce_expression;
use super::table_function::{constant, milliseconds};
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;
use crate::operator::match_recognize::Skip;
use crate::sql::match_pattern::{PatternElement, ROWS, WITHIN, carried};
use crate::sql::visit::visit_expressions_mut;

/// What an expression sees of a match, as a column of this name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    name: String,
    value: SeenValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SeenValue {
    Row { variable: Option<u8>, first: bool, offset: u32, column: usize },
    Aggregate { variable: Option<u8>, call: Box<Expr> },
    RowTime { zoned: bool },
    ProcessingTime,
}

/// MATCH_RECOGNIZE above the columns that it uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MatchRecognizeNode {
    pub(super) input: LogicalPlan,
    pub(super) partition: Vec<usize>,
    /// Column, descending, NULLs first.
    pub(super) order: Vec<(usize, bool, bool)>,
    pub(super) pattern: Vec<PatternElement>,
    pub(super) within: Option<i64>,
    pub(super) skip: Skip,
    /// A variable of the pattern, what its condition sees, the condition.
    pub(super) defines: Vec<(u8, Vec<Seen>, Expr)>,
    /// Variables that are defined and stand nowhere in the pattern.
    pub(super) unused: Vec<String>,
    /// Name and expression.
    pub(super) measures: Vec<(String, Expr)>,
    /// What all of these see.
    pub(super) measured: Vec<Seen>,
    pub(super) zone: String,
    schema: DFSchemaRef,
}

impl MatchRecognizeNode {
    /// The same over another input, or with its schema computed anew.
    fn over(self, input: LogicalPlan) -> Result<Self> {
        let seen = seen_schema(&self.measured, input.schema(), &self.zone)?;
        let mut fields = Vec::new();
        for &column in &self.partition {
            fields.push((None, input.schema().field(column).clone()));
        }
        for (name, expr) in &self.measures {
            let coerced = coerce_expression(expr.clone(), &seen, &self.zone)?;
            fields.push((None, Arc::new(Field::new(name, coerced.get_type(&seen)?, true))));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        Ok(Self { input, schema, ..self })
    }
}

/// The types of what expressions see.
pub(super) fn seen_schema(seen: &[Seen], input: &DFSchema, zone: &str) -> Result<DFSchema> {
    let mut fields = Vec::with_capacity(seen.len());
    for Seen { name, value } in seen {
        let data_type = match value {
            SeenValue::Row { column, .. } => input.field(*column).data_type().clone(),
            SeenValue::Aggregate { call, .. } => {
                coerce_expression(call.as_ref().clone(), input, zone)?.get_type(input)?
            }
            SeenValue::RowTime { zoned } => {
                DataType::Timestamp(TimeUnit::Millisecond, zoned.then(|| zone.to_string().into()))
            }
            SeenValue::ProcessingTime => {
                DataType::Timestamp(TimeUnit::Millisecond, Some(zone.to_string().into()))
            }
        };
        fields.push((None, Arc::new(Field::new(name, data_type, true))));
    }
    Ok(DFSchema::new_with_metadata(fields, Default::default())?)
}

impl PartialOrd for MatchRecognizeNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for MatchRecognizeNode {
    fn name(&self) -> &str {
        "MatchRecognize"
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
        write!(f, "MatchRecognize: {}", self.pattern_text())
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => Ok(self.clone().over(input)?),
            Err(_) => internal_err!("MATCH_RECOGNIZE has one input"),
        }
    }
}

impl MatchRecognizeNode {
    pub(super) fn pattern_text(&self) -> String {
        self.pattern.iter().map(PatternElement::text).collect::<Vec<_>>().join(" ")
    }

    /// The pattern with numbers for the names of variables.
    fn numbered_pattern(&self) -> String {
        let element = |(number, element): (usize, &PatternElement)| {
            PatternElement { variable: number.to_string(), ..element.clone() }.text()
        };
        self.pattern.iter().enumerate().map(element).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn skip_text(&self) -> String {
        let name = |v: u8| self.pattern.get(v as usize).map_or("?", |e| e.variable.as_str());
        match self.skip {
            Skip::ToNextRow => "SKIP TO NEXT ROW".into(),
            Skip::PastLastRow => "SKIP PAST LAST ROW".into(),
            Skip::ToFirst(v) => format!("SKIP TO FIRST {}", name(v)),
            Skip::ToLast(v) => format!("SKIP TO LAST {}", name(v)),
        }
    }
}

/// Reads what expressions say of the match.
struct Binder<'a> {
    input: LogicalPlan,
    pattern: &'a [PatternElement],
    /// Columns of the input that are used, with their names below the node.
    used: Vec<(Expr, String)>,
    planner: &'a Planner,
}

/// An expression that is read: what it sees so far.
#[derive(Default)]
struct Reading {
    seen: Vec<(String, Read)>,
}

/// What is seen, before its types are known.
#[derive(Debug, Clone, PartialEq)]
enum Read {
    Row { variable: Option<u8>, first: bool, offset: u32, column: usize, plain: bool },
    Aggregate { variable: Option<u8>, call: Box<Ast> },
    RowTime { column: Option<usize> },
    ProcessingTime,
}

impl Reading {
    /// The name of a column that is seen.
    fn name(&mut self, shown: String, read: Read) -> Ast {
        let name = match self.seen.iter().find(|(_, r)| *r == read) {
            Some((name, _)) => name.clone(),
            None => {
                let mut names = std::iter::once(shown.clone()).chain((2..).map(|n| format!("{shown} {n}")));
                let name = names.find(|n| self.seen.iter().all(|(s, _)| s != n)).unwrap_or(shown);
                self.seen.push((name.clone(), read));
                name
            }
        };
        Ast::Identifier(Ident::with_quote('`', name))
    }

    /// What a name stands for.
    fn get(&self, expr: &Ast) -> Option<&Read> {
        let Ast::Identifier(ident) = expr else { return None };
        self.seen.iter().find(|(name, _)| *name == ident.value).map(|(_, read)| read)
    }
}

fn arguments(function: &ast::Function) -> Option<Vec<&FunctionArgExpr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    list.args.iter().all(|arg| matches!(arg, FunctionArg::Unnamed(_))).then(|| {
        let args = list.args.iter();
        args.filter_map(|a| if let FunctionArg::Unnamed(e) = a { Some(e) } else { None }).collect()
    })
}

fn function_of(expr: &Ast) -> Option<(String, &ast::Function)> {
    let Ast::Function(function) = expr else { return None };
    let [part] = function.name.0.as_slice() else { return None };
    Some((part.as_ident()?.value.to_ascii_uppercase(), function))
}

impl Binder<'_> {
    fn variable(&self, name: &str) -> Option<u8> {
        self.pattern.iter().position(|e| e.variable == name).map(|v| v as u8)
    }

    fn shown(&self, variable: Option<u8>) -> String {
        let element = variable.and_then(|v| self.pattern.get(v as usize));
        element.map_or_else(String::new, |e| format!("{}.", e.variable))
    }

    /// The place of a column below the node.
    fn column(&mut self, column: Expr) -> usize {
        if let Some(at) = self.used.iter().position(|(used, _)| *used == column) {
            return at;
        }
        let name = match &column {
            Expr::Column(column) => column.name.clone(),
            other => other.human_display().to_string(),
        };
        let mut names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name} {n}")));
        let free = names.find(|n| self.used.iter().all(|(_, u)| u != n)).unwrap_or(name);
        self.used.push((column, free));
        self.used.len() - 1
    }

    fn plain_column(
        &mut self,
        expr: &Ast,
        clause: &str,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<usize> {
        let named = matches!(expr, Ast::Identifier(_) | Ast::CompoundIdentifier(_));
        let bound = if named { Some(context.sql_to_expr(expr.clone(), self.input.schema())?) } else { None };
        match bound {
            Some(column @ Expr::Column(_)) => Ok(self.column(column)),
            _ => Err(Error::unsupported(format!("{clause} of MATCH_RECOGNIZE takes columns"))
                .with_detail(format!("found {expr}"))
                .with_hint("compute it in a subquery or a view, and name it there")
                .at(span_of(expr.span()))),
        }
    }

    /// Takes out of an expression what it says of the match. `of`: MEASURES or DEFINE.
    fn read(
        &mut self,
        expr: &mut Ast,
        of: &str,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Reading> {
        let mut reading = Reading::default();
        // Identifiers first, then the calls around them.
        let outcome = visit_expressions_mut(expr, |e| match self.replace(e, &mut reading, of, context) {
            Ok(Some(new)) => {
                *e = new;
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        });
        match outcome {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(reading),
        }
    }

    fn replace(
        &mut self,
        expr: &Ast,
        reading: &mut Reading,
        of: &str,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Option<Ast>> {
        let span = span_of(expr.span());
        match expr {
            Ast::Identifier(_) => {
                let column = context.sql_to_expr(expr.clone(), self.input.schema())?;
                match column {
                    Expr::Column(_) => Ok(Some(self.single(reading, None, column))),
                    _ => Ok(None),
                }
            }
            Ast::CompoundIdentifier(parts) => self.compound(parts, reading, context).map(Some),
            Ast::Subquery(_) | Ast::Exists { .. } | Ast::InSubquery { .. } => {
                Err(Error::unsupported(format!("a subquery in {of} is not supported"))
                    .with_hint("join its rows before MATCH_RECOGNIZE")
                    .at(span))
            }
            Ast::Function(function) => {
                let Some((name, _)) = function_of(expr) else { return Ok(None) };
                match name.as_str() {
                    "FIRST" | "LAST" => self.navigated(function, name == "FIRST", reading, span).map(Some),
                    "PREV" | "NEXT" => Err(Error::unsupported(format!(
                        "{name} is not supported: it goes by places in the partition"
                    ))
                    .with_hint("write LAST(A.x, 1): the row before the last one that was taken as A")
                    .at(span)),
                    "CLASSIFIER" | "MATCH_NUMBER" => {
                        Err(Error::unsupported(format!("{name} is not supported")).at(span))
                    }
                    "MATCH_ROWTIME" => {
                        let args = arguments(function).unwrap_or_default();
                        let column = match args.as_slice() {
                            [] => None,
                            [FunctionArgExpr::Expr(argument)] => match reading.get(argument) {
                                Some(Read::Row { column, .. }) => Some(*column),
                                _ => {
                                    return Err(
                                        Error::plan("MATCH_ROWTIME takes a column, or nothing").at(span)
                                    );
                                }
                            },
                            _ => return Err(Error::plan("MATCH_ROWTIME takes a column, or nothing").at(span)),
                        };
                        Ok(Some(reading.name("MATCH_ROWTIME()".into(), Read::RowTime { column })))
                    }
                    "MATCH_PROCTIME" => {
                        Ok(Some(reading.name("MATCH_PROCTIME()".into(), Read::ProcessingTime)))
                    }
                    _ => {
                        let known = self.planner.provider().get_aggregate_meta(&name.to_ascii_lowercase());
                        match known.is_some() && function.over.is_none() {
                            true => self.aggregate(function, reading, span).map(Some),
                            false => Ok(None),
                        }
                    }
                }
            }
            _ => Ok(None),
        }
    }

    /// A column of the last row of a variable, or of the last row at all.
    fn single(&mut self, reading: &mut Reading, variable: Option<u8>, column: Expr) -> Ast {
        let column = self.column(column);
        let shown = format!("{}{}", self.shown(variable), self.used[column].1);
        reading.name(shown, Read::Row { variable, first: false, offset: 0, column, plain: true })
    }

    /// `A.price`, `A.place.x`, `place.x`
    fn compound(
        &mut self,
        parts: &[Ident],
        reading: &mut Reading,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Ast> {
        let column_of = |binder: &Self, parts: &[Ident], context: &mut dyn RelationPlannerContext| {
            let expr = match parts {
                [only] => Ast::Identifier(only.clone()),
                parts => Ast::CompoundIdentifier(parts.to_vec()),
            };
            context.sql_to_expr(expr, binder.input.schema())
        };
        let (variable, rest) = match parts {
            [first, rest @ ..] if self.variable(&first.value).is_some() => {
                (self.variable(&first.value), rest)
            }
            all => (None, all),
        };
        let span = parts.iter().map(|p| span_of(p.span)).reduce(Span::union).unwrap_or_default();
        let mut failure = None;
        for length in 1..=rest.len().min(if variable.is_some() { 1 } else { 2 }) {
            match column_of(self, &rest[..length], context) {
                Ok(column @ Expr::Column(_)) => {
                    let root = self.single(reading, variable, column);
                    let fields = &rest[length..];
                    if fields.is_empty() {
                        return Ok(root);
                    }
                    let field = |f: &Ident| {
                        ast::AccessExpr::Dot(Ast::value(ast::Value::SingleQuotedString(f.value.clone())))
                    };
                    let access_chain = fields.iter().map(field).collect();
                    return Ok(Ast::CompoundFieldAccess { root: Box::new(root), access_chain });
                }
                Ok(_) => {}
                Err(e) => failure = Some(e),
            }
        }
        if let (Some(_), Some(e)) = (variable, failure) {
            return Err(Error::from(e));
        }
        let first = parts.first().map_or("", |p| p.value.as_str());
        let error = Error::plan(format!("'{first}' is no variable of PATTERN and no column")).at(span);
        Err(match nearest(first, self.pattern.iter().map(|e| e.variable.as_str())) {
            Some(near) => error.with_hint(format!("did you mean {near}?")),
            None => error,
        })
    }

    /// `LAST(A.price * A.tax, 1)`
    fn navigated(
        &mut self,
        function: &ast::Function,
        first: bool,
        reading: &mut Reading,
        span: Span,
    ) -> Result<Ast> {
        let name = if first { "FIRST" } else { "LAST" };
        let usage =
            || Error::plan(format!("{name} takes a column and, perhaps, how many rows further")).at(span);
        let args = arguments(function).ok_or_else(usage)?;
        let (inner, offset) = match args.as_slice() {
            [FunctionArgExpr::Expr(inner)] => (inner, 0),
            [FunctionArgExpr::Expr(inner), FunctionArgExpr::Expr(Ast::Value(offset))] => {
                let number = match &offset.value {
                    ast::Value::Number(n, _) => n.to_string().parse::<u32>().ok(),
                    _ => None,
                };
                let number = number.ok_or_else(|| {
                    Error::plan(format!("the second argument of {name} is a whole number")).at(span)
                })?;
                (inner, number)
            }
            [_, _] => {
                return Err(Error::plan(format!(
                    "the second argument of {name} is a whole number that is not negative"
                ))
                .at(span));
            }
            _ => return Err(usage()),
        };
        let (mut inner, mut variables) = (inner.clone(), Vec::new());
        let mut nested = false;
        let before = std::mem::take(&mut reading.seen);
        let known = Reading { seen: before };
        let mut next = Reading { seen: known.seen.clone() };
        let _ = visit_expressions_mut(&mut inner, |e| {
            match known.get(e) {
                Some(Read::Row { variable, column, plain: true, .. }) => {
                    variables.push(*variable);
                    let shown = format!("{}{}", self.shown(*variable), self.used[*column].1);
                    let shown = match offset {
                        0 => format!("{name}({shown})"),
                        n => format!("{name}({shown}, {n})"),
                    };
                    let read =
                        Read::Row { variable: *variable, first, offset, column: *column, plain: false };
                    *e = next.name(shown, read);
                }
                Some(_) => nested = true,
                None => {}
            }
            ControlFlow::<()>::Continue(())
        });
        reading.seen = next.seen;
        if nested {
            return Err(Error::plan(format!(
                "{name} takes columns: it is not nested in FIRST, LAST or aggregates"
            ))
            .at(span));
        }
        one_variable(&variables, span)?;
        if variables.is_empty() {
            return Err(Error::plan(format!("{name} takes a column of a variable"))
                .with_hint(format!("write {name}(A.x)"))
                .at(span));
        }
        Ok(Ast::Nested(Box::new(inner)))
    }

    /// `SUM(A.price * A.tax)`
    fn aggregate(&mut self, function: &ast::Function, reading: &mut Reading, span: Span) -> Result<Ast> {
        if let FunctionArguments::List(list) = &function.args
            && list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct)
        {
            return Err(
                Error::unsupported("DISTINCT in aggregates of MATCH_RECOGNIZE is not supported").at(span)
            );
        }
        if function.filter.is_some() {
            return Err(Error::unsupported("FILTER in aggregates of MATCH_RECOGNIZE is not supported")
                .with_hint("aggregate a CASE: SUM(CASE WHEN A.x > 1 THEN A.y END)")
                .at(span));
        }
        let mut call = Ast::Function(function.clone());
        let (mut variables, mut nested, mut all) = (Vec::new(), false, Vec::new());
        // Of rows again: the names of their columns.
        let _ = visit_expressions_mut(&mut call, |e| {
            match reading.get(e) {
                Some(Read::Row { variable, column, plain: true, .. }) => {
                    variables.push(*variable);
                    *e = Ast::Identifier(Ident::with_quote('`', self.used[*column].1.clone()));
                }
                Some(_) => nested = true,
                None => {}
            }
            ControlFlow::<()>::Continue(())
        });
        if let Ast::Function(function) = &mut call
            && let FunctionArguments::List(list) = &mut function.args
        {
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(inner @ FunctionArgExpr::QualifiedWildcard(_)) = arg {
                    if let FunctionArgExpr::QualifiedWildcard(name) = inner {
                        all.push(self.star(name)?);
                    }
                    *inner = FunctionArgExpr::Wildcard;
                }
            }
        }
        if nested {
            return Err(Error::plan(
                "an aggregate in MATCH_RECOGNIZE takes columns: no FIRST, LAST or other aggregate",
            )
            .at(span));
        }
        variables.extend(all);
        let variable = one_variable(&variables, span)?;
        // The name says which variable: the same call over two of them is two values.
        let shown = match variable {
            Some(_) => format!("{call} OF {}", self.shown(variable).trim_end_matches('.')),
            None => call.to_string(),
        };
        Ok(reading.name(shown.replace('`', ""), Read::Aggregate { variable, call: Box::new(call) }))
    }

    /// `A.*`
    fn star(&self, name: &ObjectName) -> Result<Option<u8>> {
        let first = name.0.first().and_then(|p| p.as_ident()).map_or("", |i| i.value.as_str());
        match self.variable(first) {
            Some(variable) => Ok(Some(variable)),
            None => Err(Error::plan(format!("'{first}' is no variable of PATTERN")).at(span_of(name.span()))),
        }
    }
}

/// The variable that all of these are of.
fn one_variable(variables: &[Option<u8>], span: Span) -> Result<Option<u8>> {
    let first = variables.first().copied().flatten();
    match variables.iter().all(|v| *v == first) {
        true => Ok(first),
        false => Err(Error::plan("several variables of the pattern in one aggregate, FIRST or LAST")
            .with_hint("take one variable in each, and combine the results")
            .at(span)),
    }
}

/// The plan of MATCH_RECOGNIZE in FROM, and its alias.
pub(super) fn match_recognize(
    relation: TableFactor,
    context: &mut dyn RelationPlannerContext,
    planner: &Planner,
) -> Result<(LogicalPlan, Option<ast::TableAlias>)> {
    let TableFactor::MatchRecognize {
        table,
        partition_by,
        order_by,
        mut measures,
        rows_per_match,
        after_match_skip,
        pattern,
        mut symbols,
        alias,
    } = relation
    else {
        return Err(Error::internal("another relation was taken for MATCH_RECOGNIZE"));
    };
    if let Some(ast::RowsPerMatch::AllRows(_)) = rows_per_match {
        return Err(Error::unsupported("ALL ROWS PER MATCH is not supported")
            .with_hint("write ONE ROW PER MATCH, and aggregate the rows in MEASURES"));
    }
    let ast::MatchRecognizePattern::Symbol(ast::MatchRecognizeSymbol::Named(name)) = &pattern else {
        return Err(Error::internal("a pattern was not carried"));
    };
    let pattern_span = span_of(name.span);
    let pattern = carried(&name.value)?;
    let zone = planner.zone();
    let within = match symbols.first().is_some_and(|s| s.symbol.value == WITHIN) {
        true => {
            let definition = symbols.remove(0).definition;
            let span = span_of(definition.span());
            let interval = constant(&context.sql_to_expr(definition, &DFSchema::empty())?, zone)?;
            let millis = milliseconds(&interval, "WITHIN").map_err(|e| e.at(span))?;
            if millis <= 0 {
                return Err(Error::plan("WITHIN must be longer than 0").at(span));
            }
            Some(millis)
        }
        false => None,
    };
    let input = context.plan(uncarried(*table))?;
    let mut binder = Binder { input, pattern: &pattern, used: Vec::new(), planner };
    let mut partition = Vec::with_capacity(partition_by.len());
    for expr in &partition_by {
        partition.push(binder.plain_column(expr, "PARTITION BY", context)?);
    }
    let mut order = Vec::with_capacity(order_by.len());
    for by in &order_by {
        let descending = by.options.asc == Some(false);
        let nulls_first = by.options.nulls_first.unwrap_or(!descending);
        order.push((binder.plain_column(&by.expr, "ORDER BY", context)?, descending, nulls_first));
    }
    if order.is_empty() {
        return Err(Error::plan("MATCH_RECOGNIZE needs ORDER BY a time attribute")
            .with_hint("write ORDER BY and the column that WATERMARK is declared for, or one AS PROCTIME()")
            .at(pattern_span));
    }
    let skip = match &after_match_skip {
        None | Some(ast::AfterMatchSkip::ToNextRow) => Skip::ToNextRow,
        Some(ast::AfterMatchSkip::PastLastRow) => Skip::PastLastRow,
        Some(ast::AfterMatchSkip::ToFirst(name) | ast::AfterMatchSkip::ToLast(name)) => {
            let Some(variable) = binder.variable(&name.value) else {
                return Err(Error::plan(format!(
                    "AFTER MATCH SKIP goes to '{}', which is not in PATTERN",
                    name.value
                ))
                .at(span_of(name.span)));
            };
            match after_match_skip {
                Some(ast::AfterMatchSkip::ToFirst(_)) => Skip::ToFirst(variable),
                _ => Skip::ToLast(variable),
            }
        }
    };
    // All expressions are read before the columns below are known.
    let mut all = Reading::default();
    let mut names: Vec<String> = partition.iter().map(|&c| binder.used[c].1.clone()).collect();
    for measure in &mut measures {
        let name = &measure.alias.value;
        if names.contains(name) {
            return Err(Error::plan(format!("MATCH_RECOGNIZE returns two columns '{name}'"))
                .at(span_of(measure.alias.span)));
        }
        names.push(name.clone());
        let mut reading = binder.read(&mut measure.expr, "MEASURES", context)?;
        merge(&mut all, &mut reading, &mut measure.expr);
    }
    if names.is_empty() {
        return Err(Error::plan("MATCH_RECOGNIZE returns no column")
            .with_hint("add MEASURES, such as MEASURES A.x AS x")
            .at(pattern_span));
    }
    let (mut defines, mut unused): (Vec<(u8, Reading, Ast, Span)>, _) = (Vec::new(), Vec::new());
    for symbol in &mut symbols {
        let (name, span) = (symbol.symbol.value.clone(), span_of(symbol.symbol.span));
        let Some(variable) = binder.variable(&name) else {
            unused.push(name);
            continue;
        };
        if defines.iter().any(|(v, ..)| *v == variable) {
            return Err(Error::plan(format!("variable '{name}' is defined twice")).at(span));
        }
        let reading = binder.read(&mut symbol.definition, "DEFINE", context)?;
        defines.push((variable, reading, symbol.definition.clone(), span));
    }
    let projection: Vec<Expr> =
        binder.used.iter().map(|(column, name)| column.clone().alias(name.as_str())).collect();
    let below = LogicalPlanBuilder::from(binder.input).project(projection)?.build()?;
    let measured = seen(all, below.schema(), context)?;
    let schema = seen_schema(&measured, below.schema(), zone)?;
    let mut outputs = Vec::with_capacity(measures.len());
    for measure in measures {
        outputs.push((measure.alias.value, context.sql_to_expr(measure.expr, &schema)?));
    }
    let mut conditions = Vec::with_capacity(defines.len());
    for (variable, reading, definition, span) in defines {
        let seen = seen(reading, below.schema(), context)?;
        let schema = seen_schema(&seen, below.schema(), zone)?;
        let expr = context.sql_to_expr(definition, &schema)?;
        let coerced = coerce_expression(expr.clone(), &schema, zone).map_err(|e| e.at(span))?;
        match coerced.get_type(&schema)? {
            DataType::Boolean | DataType::Null => {}
            other => {
                let shown =
                    crate::sql::SqlType::from_arrow(&other).map_or(other.to_string(), |t| t.to_string());
                return Err(Error::plan(format!("DEFINE takes a condition, not {shown}")).at(span));
            }
        }
        conditions.push((variable, seen, expr));
    }
    let node = MatchRecognizeNode {
        input: below.clone(),
        partition,
        order,
        pattern: pattern.clone(),
        within,
        skip,
        defines: conditions,
        unused,
        measures: outputs,
        measured,
        zone: zone.to_string(),
        schema: Arc::new(DFSchema::empty()),
    };
    let node = node.over(below)?;
    Ok((LogicalPlan::Extension(Extension { node: Arc::new(node) }), alias))
}

/// A query that the parser took for a call.
fn uncarried(table: TableFactor) -> TableFactor {
    if let TableFactor::Table { name, args: Some(args), .. } = &table
        && name.0.last().and_then(|p| p.as_ident()).is_some_and(|i| i.value == ROWS)
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Subquery(query)))] = args.args.as_slice()
    {
        return TableFactor::Derived { lateral: false, subquery: query.clone(), alias: None, sample: None };
    }
    table
}

/// Gives what an expression sees the names that it has among all.
fn merge(all: &mut Reading, reading: &mut Reading, expr: &mut Ast) {
    let mut renamed: Vec<(String, Ast)> = Vec::new();
    for (name, read) in reading.seen.drain(..) {
        let new = all.name(name.clone(), read);
        renamed.push((name, new));
    }
    let _ = visit_expressions_mut(expr, |e| {
        if let Ast::Identifier(ident) = e
            && let Some((_, new)) = renamed.iter().find(|(name, _)| *name == ident.value)
        {
            *e = new.clone();
        }
        ControlFlow::<()>::Continue(())
    });
}

/// What is seen, over the columns below the node.
fn seen(reading: Reading, below: &DFSchema, context: &mut dyn RelationPlannerContext) -> Result<Vec<Seen>> {
    let mut all = Vec::with_capacity(reading.seen.len());
    for (name, read) in reading.seen {
        let value = match read {
            Read::Row { variable, first, offset, column, .. } => {
                SeenValue::Row { variable, first, offset, column }
            }
            Read::Aggregate { variable, call } => {
                // COUNT(*) comes with a name.
                let call = context.sql_to_expr(*call, below)?.unalias_nested().data;
                if !matches!(call, Expr::AggregateFunction(_)) {
                    return Err(Error::internal(format!("{call} is no aggregate function")));
                }
                SeenValue::Aggregate { variable, call: Box::new(call) }
            }
            Read::RowTime { column } => {
                let field = column.map(|c| below.field(c).data_type());
                SeenValue::RowTime { zoned: matches!(field, Some(DataType::Timestamp(_, Some(_)))) }
            }
            Read::ProcessingTime => SeenValue::ProcessingTime,
        };
        all.push(Seen { name, value });
    }
    Ok(all)
}
