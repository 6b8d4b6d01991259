//! MATCH_RECOGNIZE → its operator.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, ExprSchemable, Operator};
use datafusion_physical_expr::expressions::Column as PhysicalColumn;

use super::{MatchRecognizeNode, Seen, SeenValue, seen_schema};
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::function::arithmetic::shown_expr;
use crate::function::tree::Tree;
use crate::operator::aggregate::AggregateCall;
use crate::operator::match_recognize::{
    Comparison, MatchCondition, MatchExpression, MatchRecognize, MatchSpec, MatchValue, QuickCondition,
    QuickNumber, Skip, is_number,
};
use crate::operator::sort::SortKey;
use crate::operator::top_n::SortColumn;
use crate::plan::graph::{Changes, Demand, Input, Node, Properties};
use crate::plan::lower::physical;
use crate::plan::meaning::{self, Meaning, Parts, Text};
use crate::plan::over::{TimeOrder, by_keys, names, order_names, time_order};
use crate::plan::provider::Planner;
use crate::plan::resolve::coerce_expression;

/// The column of the input that a condition looks at in the row at hand, if it is one.
fn current(value: &SeenValue, variable: u8) -> Option<usize> {
    match value {
        SeenValue::Row { variable: of, first: false, offset: 0, column }
            if of.is_none_or(|v| v == variable) =>
        {
            Some(*column)
        }
        _ => None,
    }
}

/// Expressions over what is seen, of which only that is kept which they use.
fn expression(
    exprs: &[Expr],
    seen: &[Seen],
    schema: &DFSchema,
    input: &Node,
    zone: &str,
) -> Result<MatchExpression> {
    let uses = |name: &str| exprs.iter().any(|e| e.column_refs().iter().any(|c| c.name == name));
    let kept: Vec<usize> = (0..seen.len()).filter(|&i| uses(&seen[i].name)).collect();
    let mut values = Vec::with_capacity(kept.len());
    for &i in &kept {
        let data_type = schema.field(i).data_type().clone();
        values.push(match &seen[i].value {
            SeenValue::Row { variable, first, offset, column } => {
                MatchValue::Row { variable: *variable, first: *first, offset: *offset, column: *column }
            }
            SeenValue::Aggregate { variable, call } => {
                let call = coerce_expression(call.as_ref().clone(), &input.schema, zone)?;
                let call = AggregateCall::from_expr(&call, &input.schema)?;
                MatchValue::Aggregate { variable: *variable, call }
            }
            SeenValue::RowTime { .. } => MatchValue::RowTime(data_type),
            SeenValue::ProcessingTime => MatchValue::ProcessingTime(data_type),
        });
    }
    // What a batch has decides about its types.
    let field = |(&i, value): (&usize, &MatchValue)| {
        let data_type = match value {
            MatchValue::Row { column, .. } => input.arrow.field(*column).data_type().clone(),
            _ => schema.field(i).data_type().clone(),
        };
        Field::new(&seen[i].name, data_type, true)
    };
    let fields: Vec<Field> = kept.iter().zip(&values).map(field).collect();
    let own = Arc::new(Schema::new(fields));
    let names = DFSchema::try_from(own.clone())?;
    let expressions = exprs.iter().map(|e| physical(e, &names)).collect::<Result<_>>()?;
    Ok(MatchExpression { values, schema: own, expressions })
}

/// An expression over what is seen, as part of what a state means.
fn text_of(expr: &Expr, seen: &[Seen], input: &Node) -> Text {
    meaning::expression(expr, &|column: &Column| {
        let seen = seen.iter().find(|s| s.name == column.name)?;
        let of = |variable: &Option<u8>| variable.map_or("*".into(), |v| v.to_string());
        Some(
            match &seen.value {
                SeenValue::Row { variable, first, offset, column } => {
                    let way = if *first { "first" } else { "last" };
                    format!("{way}({}, {offset}, {})", of(variable), input.typed(*column))
                }
                SeenValue::Aggregate { variable, call } => {
                    format!("over({}, {})", of(variable), input.text_of(call))
                }
                SeenValue::RowTime { .. } => "match row time".to_string(),
                SeenValue::ProcessingTime => "match processing time".to_string(),
            }
            .into(),
        )
    })
}

impl Planner {
    pub(in crate::plan) fn lower_match_recognize(&self, node: &MatchRecognizeNode) -> Result<Node> {
        let input = self.lower(&node.input)?;
        let zone = node.zone.as_str();
        if !input.properties.changes.is_append() {
            return Err(Error::unsupported("MATCH_RECOGNIZE takes rows that do not change")
                .with_detail("its input updates or deletes rows")
                .with_hint("put it before the aggregation, or turn the changes into rows: TO_CHANGELOG(input => TABLE t)"));
        }
        let order: Vec<SortColumn> = node
            .order
            .iter()
            .map(|&(column, descending, nulls_first)| SortColumn { column, descending, nulls_first })
            .collect();
        let time = match time_order(order.get(..1).unwrap_or_default(), &input.properties) {
            TimeOrder::Event(column) => Some(column),
            TimeOrder::Processing => None,
            TimeOrder::None => {
                let first = order.first().map_or("", |c| input.schema.field(c.column).name().as_str());
                return Err(Error::plan("MATCH_RECOGNIZE is ordered by a time attribute first")
                    .with_detail(format!("'{first}' is a plain column"))
                    .with_hint("declare WATERMARK FOR it in its table, or order by a column AS PROCTIME()"));
            }
        };
        if order.first().is_some_and(|first| first.descending) {
            return Err(Error::unsupported("MATCH_RECOGNIZE is ordered by time ascending"));
        }
        let key = |column: &SortColumn| {
            let name = input.arrow.field(column.column).name();
            SortKey {
                expression: Arc::new(PhysicalColumn::new(name, column.column)),
                descending: column.descending,
                nulls_first: column.nulls_first,
            }
        };
        let keys: Vec<SortKey> = order.iter().skip(1).map(key).collect();
        let mut conditions: Vec<Option<MatchCondition>> = vec![None; node.pattern.len()];
        let mut texts = Vec::with_capacity(node.defines.len());
        let mut numbered = Vec::with_capacity(node.defines.len());
        let mut shown_defines = Vec::with_capacity(node.defines.len());
        for (variable, seen, expr) in &node.defines {
            let schema = seen_schema(seen, &input.schema, zone)?;
            let coerced = coerce_expression(expr.clone(), &schema, zone)?;
            let name = &node.pattern[*variable as usize].variable;
            let text = text_of(&coerced, seen, &input);
            numbered.push((*variable, format!("{variable} as {text}")));
            texts.push(format!("{name} as {text}"));
            shown_defines.push(format!("{name} AS {}", shown_expr(&coerced)));
            if let Some(slot) = conditions.get_mut(*variable as usize) {
                *slot = Some(condition(*variable, coerced, seen, &schema, &input, zone)?);
            }
        }
        let schema = seen_schema(&node.measured, &input.schema, zone)?;
        let (mut measures, mut shown_measures, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for (name, expr) in &node.measures {
            let coerced = coerce_expression(expr.clone(), &schema, zone)?;
            shown_measures.push(format!("{} AS {name}", shown_expr(&coerced)));
            columns.push(text_of(&coerced, &node.measured, &input));
            measures.push(coerced);
        }
        let measured = expression(&measures, &node.measured, &schema, &input, zone)?;
        let arrow = output(node, &input, &measured)?;
        let spec = MatchSpec {
            partition: node.partition.clone(),
            time,
            keys,
            pattern: node.pattern.clone(),
            conditions,
            within: node.within,
            skip: node.skip,
            measures: measured,
            input: input.arrow.clone(),
            schema: arrow.clone(),
        };
        // What the operator refuses is refused now.
        MatchRecognize::new(spec.clone())?;
        let mut detail = Vec::new();
        if !node.partition.is_empty() {
            detail.push(format!("partitionBy=[{}]", names(&input.schema, &node.partition)));
        }
        detail.push(format!("orderBy=[{}]", order_names(&input.schema, &order)));
        detail.push(format!("measures=[{}]", shown_measures.join(", ")));
        detail.push(format!("after=[{}]", node.skip_text()));
        detail.push(format!("pattern=[{}]", node.pattern_text()));
        if let Some(within) = node.within {
            detail.push(format!("within=[{within} ms]"));
        }
        if !shown_defines.is_empty() {
            detail.push(format!("define=[{}]", shown_defines.join(", ")));
        }
        let skip = match node.skip {
            Skip::ToNextRow => "next row".to_string(),
            Skip::PastLastRow => "past last row".to_string(),
            Skip::ToFirst(v) => format!("first {v}"),
            Skip::ToLast(v) => format!("last {v}"),
        };
        texts.sort_unstable();
        numbered.sort_unstable();
        let state = |version: u32, pattern: String, define: String| {
            Parts::new("MatchRecognize", version)
                .rows("rows", &input)
                .columns("partition", &input, &node.partition)
                .order("order", &input, &order)
                .with("time", if time.is_some() { "event" } else { "processing" })
                .with("pattern", pattern)
                .with("within", node.within.map_or_else(String::new, |within| within.to_string()))
                .with("skip", skip.clone())
                .with("define", define)
                .kept("columns", &input)
        };
        // State knows variables by their numbers. The rows that come out are known by the names as ever.
        let named = state(1, node.pattern_text(), texts.join(", "));
        let numbered: Vec<_> = numbered.into_iter().map(|(_, text)| text).collect();
        let numbered = state(2, node.numbered_pattern(), numbered.join(", "));
        let keys = node.partition.iter().filter_map(|&c| input.meaning.columns.get(c).cloned());
        let meaning = Meaning::made(named, keys.chain(columns).collect()).known_by(numbered);
        let first_measure = node.partition.len();
        let is = |wanted: fn(&SeenValue) -> bool| -> Vec<usize> {
            let plain = node.measures.iter().enumerate().filter(|(_, (_, expr))| {
                matches!(expr, Expr::Column(c)
                    if node.measured.iter().any(|s| s.name == c.name && wanted(&s.value)))
            });
            plain.map(|(i, _)| first_measure + i).collect()
        };
        let properties = Properties {
            changes: Changes::APPEND,
            rowtimes: match time {
                Some(_) => is(|value| matches!(value, SeenValue::RowTime { .. })),
                None => Vec::new(),
            },
            proctimes: is(|value| matches!(value, SeenValue::ProcessingTime)),
            bounded: input.properties.bounded,
            ..Properties::default()
        };
        let mut warnings: Vec<String> = node
            .unused
            .iter()
            .map(|name| format!("DEFINE {name} has no effect: PATTERN has no variable {name}"))
            .collect();
        if !input.properties.bounded && node.within.is_none() {
            warnings.push(
                "MatchRecognize keeps partial matches forever: add WITHIN INTERVAL ... after PATTERN".into(),
            );
        }
        let build: BuildOperator = Arc::new(move || Ok(Box::new(MatchRecognize::new(spec.clone())?)));
        let columns = (node.schema.clone(), arrow);
        let known = (properties, meaning);
        let distribution = by_keys(&node.partition);
        let inputs = vec![Input { node: input, distribution, demand: Demand::Before }];
        let node = Node::operator(
            "MatchRecognize",
            detail.join(", "),
            Arc::new(move |_| Ok(build.clone())),
            inputs,
            columns,
            known,
        );
        Ok(node.warned(warnings))
    }
}

/// What DEFINE says of a variable: of the row alone, and of the match so far.
fn condition(
    variable: u8,
    whole: Expr,
    seen: &[Seen],
    schema: &DFSchema,
    input: &Node,
    zone: &str,
) -> Result<MatchCondition> {
    let value_of = |name: &str| seen.iter().find(|s| s.name == name).map(|s| &s.value);
    let is_alone = |expr: &Expr| {
        expr.column_refs().iter().all(|c| value_of(&c.name).is_some_and(|v| current(v, variable).is_some()))
    };
    let (alone, rest): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(whole.clone()).into_iter().partition(is_alone);
    let row = match conjunction(alone) {
        None => None,
        Some(alone) => {
            let alone = alone.transform_up(|e| match &e {
                Expr::Column(c) => match value_of(&c.name).and_then(|v| current(v, variable)) {
                    Some(column) => {
                        let column = Column::from(input.schema.qualified_field(column));
                        Ok(Transformed::yes(Expr::Column(column)))
                    }
                    None => Ok(Transformed::no(e)),
                },
                _ => Ok(Transformed::no(e)),
            })?;
            Some(physical(&boolean(alone.data, &input.schema)?, &input.schema)?)
        }
    };
    let over = |expr: Expr| expression(&[boolean(expr, schema)?], seen, schema, input, zone);
    let rest = conjunction(rest);
    let quick = rest.as_ref().and_then(|rest| quick(rest, seen, input));
    let rest = rest.map(over).transpose()?;
    Ok(MatchCondition { row, rest, quick, whole: over(whole)? })
}

/// A condition that compares numbers of one type.
fn quick(expr: &Expr, seen: &[Seen], input: &Node) -> Option<QuickCondition> {
    let boxed = |e: &Expr| quick(e, seen, input).map(Box::new);
    Some(match expr {
        Expr::Not(e) => QuickCondition::Not(boxed(e)?),
        Expr::IsNull(e) => QuickCondition::IsNull(quick_number(e, seen, input)?.0, true),
        Expr::IsNotNull(e) => QuickCondition::IsNull(quick_number(e, seen, input)?.0, false),
        Expr::BinaryExpr(e) => {
            let how = match e.op {
                Operator::And => return Some(QuickCondition::And(boxed(&e.left)?, boxed(&e.right)?)),
                Operator::Or => return Some(QuickCondition::Or(boxed(&e.left)?, boxed(&e.right)?)),
                Operator::Eq => Comparison::Eq,
                Operator::NotEq => Comparison::NotEq,
                Operator::Lt => Comparison::Lt,
                Operator::LtEq => Comparison::LtEq,
                Operator::Gt => Comparison::Gt,
                Operator::GtEq => Comparison::GtEq,
                _ => return None,
            };
            let (left, left_type) = quick_number(&e.left, seen, input)?;
            let (right, right_type) = quick_number(&e.right, seen, input)?;
            if left_type != right_type {
                return None;
            }
            QuickCondition::Compare(left, how, right)
        }
        _ => return None,
    })
}

fn quick_number(expr: &Expr, seen: &[Seen], input: &Node) -> Option<(QuickNumber, DataType)> {
    let (number, data_type) = match expr {
        Expr::Column(column) => match seen.iter().find(|s| s.name == column.name)?.value {
            SeenValue::Row { variable, first, offset, column } => {
                let data_type = input.arrow.field(column).data_type().clone();
                (QuickNumber::Row { variable, first, offset, column }, data_type)
            }
            _ => return None,
        },
        Expr::Literal(value, _) => {
            let number = match value {
                ScalarValue::Int8(Some(n)) => i64::from(*n),
                ScalarValue::Int16(Some(n)) => i64::from(*n),
                ScalarValue::Int32(Some(n)) => i64::from(*n),
                ScalarValue::Int64(Some(n)) => *n,
                _ => return None,
            };
            (QuickNumber::Constant(number), value.data_type())
        }
        _ => return None,
    };
    is_number(&data_type).then_some((number, data_type))
}

/// NULL alone has no type.
fn boolean(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(match expr.get_type(schema)? {
        DataType::Null => Expr::Literal(ScalarValue::Boolean(None), None),
        _ => expr,
    })
}

/// The columns of batches that come out.
fn output(node: &MatchRecognizeNode, input: &Node, measured: &MatchExpression) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = Vec::new();
    for &column in &node.partition {
        fields.push(input.arrow.field(column).as_ref().clone().with_nullable(true));
    }
    for ((name, _), expression) in node.measures.iter().zip(&measured.expressions) {
        fields.push(Field::new(name, expression.data_type(&measured.schema)?, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}
