//! `CURRENT_WATERMARK(rowtime)`: a column that an operator appends, since only a task knows its watermark.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, DFSchemaRef};
use datafusion_expr::{Expr, ExprSchemable};

use super::graph::Node;
use super::lower;
use super::meaning::Parts;
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::function::arithmetic::shown_expr;
use crate::function::tree::Tree;
use crate::operator::current_watermark::CurrentWatermark;

/// The argument of a call.
fn argument(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.name().eq_ignore_ascii_case("current_watermark") => {
            call.args.first()
        }
        _ => None,
    }
}

/// Whether a call is part of an expression.
pub(super) fn is_in(expr: &Expr) -> bool {
    expr.exists(|e| Ok(argument(e).is_some())).unwrap_or(false)
}

/// Filter and projection with calls of the function.
pub(super) fn calc(
    input: Node,
    condition: Option<&Expr>,
    projection: Option<(&Vec<Expr>, &DFSchemaRef)>,
) -> Result<Node> {
    let name = "$watermark";
    let mut data_type = None;
    let mut replace = |expr: &Expr| -> Result<Expr> {
        let replaced = expr.clone().transform_up(|e| {
            let Some(argument) = argument(&e) else { return Ok(Transformed::no(e)) };
            let column = lower::forwarded(std::slice::from_ref(argument), &input.schema)[0];
            if !column.is_some_and(|c| input.properties.rowtimes.contains(&c)) {
                return Err(Error::plan(format!(
                    "CURRENT_WATERMARK takes an event time attribute, '{}' is none",
                    shown_expr(argument)
                ))
                .with_hint("declare WATERMARK FOR the column, and do not compute with it before")
                .into());
            }
            data_type = Some(match argument.get_type(&input.schema)? {
                DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone),
                other => other,
            });
            let column = Expr::Column(Column::new_unqualified(name));
            Ok(Transformed::yes(column))
        })?;
        Ok(replaced.data)
    };
    let condition = condition.map(&mut replace).transpose()?;
    let columns: Vec<Expr> = input.schema.columns().into_iter().map(Expr::Column).collect();
    let (exprs, schema) = match projection {
        Some((exprs, schema)) => {
            (exprs.iter().map(&mut replace).collect::<Result<Vec<_>>>()?, schema.clone())
        }
        None => (columns, input.schema.clone()),
    };
    let Some(data_type) = data_type else { return Err(Error::internal("no CURRENT_WATERMARK to replace")) };
    let field = Arc::new(Field::new(name, data_type, true));
    let fields = input.schema.iter().map(|(q, f)| (q.cloned(), f.clone()));
    let fields = fields.chain([(None, field.clone())]).collect();
    let wide: DFSchemaRef = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
    let fields = input.arrow.fields().iter().cloned().chain([field]);
    let arrow: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let operator = arrow.clone();
    let build: BuildOperator = Arc::new(move || Ok(Box::new(CurrentWatermark::new(operator.clone()))));
    let mut meaning = input.meaning.clone();
    meaning.columns.push("current watermark".into());
    let state = Parts::new("CurrentWatermark", 1).stream("rows", &input);
    let known = (input.properties.clone(), meaning.keeping(state));
    let node = Node::forward("CurrentWatermark", String::new(), build, input, (wide, arrow), known);
    lower::calc(node, condition.as_ref(), Some((&exprs, &schema)))
}
