//! Every function through the whole way of an expression: parsed, rewritten, planned, coerced, evaluated.
//!
//! Lines of the tables are `expression => result`. A result stands for what the value looks like as JSON
//! (with the text of timestamps as CAST prints it); `ERROR` and `ERROR words` for a failure.
//! Tables whose heading says so were run on Flink 2.3.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod casts;
mod collections;
mod columns;
mod json;
mod numbers;
mod temporal;
mod texts;
mod zones;

use std::any::TypeId;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TransformedResult, TreeNode};
use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, ExprSchemable, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion_physical_expr::create_physical_expr;
use datafusion_sql::planner::{PlannerContext, SqlToRel};
use sqlparser::ast::{DataType as AstType, Expr as Ast, TimezoneInfo};
use sqlparser::dialect::{Dialect, GenericDialect};
use sqlparser::parser::{Parser, ParserError};

use super::cast::own_casts;
use super::*;
use crate::clock::ManualClock;
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

#[derive(Debug)]
struct Grammar(GenericDialect);

impl Dialect for Grammar {
    fn dialect(&self) -> TypeId {
        self.0.dialect()
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        self.0.is_identifier_start(ch)
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        self.0.is_identifier_part(ch)
    }
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Ast, ParserError>> {
        crate::sql::function_syntax::parse_prefix(parser)
    }
    fn parse_infix(&self, parser: &mut Parser<'_>, expr: &Ast, _: u8) -> Option<Result<Ast, ParserError>> {
        crate::sql::function_syntax::parse_infix(parser, expr)
    }
}

struct Context {
    functions: Functions,
    planners: Vec<Arc<dyn ExprPlanner>>,
    types: Arc<Types>,
    options: ConfigOptions,
}

#[derive(Debug)]
struct Types(String);

impl TypePlanner for Types {
    fn plan_type(&self, t: &AstType) -> datafusion_common::Result<Option<DataType>> {
        let zone = Some(self.0.as_str().into());
        Ok(match t {
            AstType::Timestamp(p, TimezoneInfo::None) => {
                Some(SqlType::Timestamp(p.unwrap_or(6) as u8).to_arrow("UTC"))
            }
            AstType::Custom(name, modifiers) if name.to_string() == "TIMESTAMP_LTZ" => {
                let p = modifiers.first().map_or(6, |m| m.parse().unwrap());
                Some(DataType::Timestamp(crate::sql::types::time_unit(p), zone))
            }
            AstType::Custom(name, _) if name.to_string() == "BYTES" => Some(DataType::BinaryView),
            AstType::Bytes(_) => Some(DataType::BinaryView),
            AstType::Time(_, _) => Some(DataType::Time32(TimeUnit::Millisecond)),
            _ => None,
        })
    }
}

impl ContextProvider for Context {
    fn get_table_source(&self, name: TableReference) -> datafusion_common::Result<Arc<dyn TableSource>> {
        Err(Error::plan(format!("table {name}")).into())
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }
    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types) as _)
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar(name)
    }
    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }
    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }
    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.options
    }
    fn udf_names(&self) -> Vec<String> {
        self.functions.names()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Plans and evaluates an expression over a batch; gives the result's field and values.
fn evaluate_on(sql: &str, zone: &str, batch: &RecordBatch) -> Result<(FieldRef, ArrayRef)> {
    let clock = ManualClock::new(1_700_000_000_123);
    let functions = Functions::new(FunctionContext { zone: zone.into(), clock });
    let planners = functions.expr_planners();
    let mut options = ConfigOptions::default();
    options.sql_parser.parse_float_as_decimal = true;
    let types = Arc::new(Types(zone.into()));
    let context = Context { functions, planners, types, options };
    let syntax_error = |e: ParserError| Error::syntax(e.to_string());
    let dialect = Grammar(GenericDialect {});
    let mut parser = Parser::new(&dialect).try_with_sql(sql).map_err(syntax_error)?;
    let mut ast = parser.parse_expr().map_err(syntax_error)?;
    if parser.peek_token_ref().token != sqlparser::tokenizer::Token::EOF {
        return Err(Error::syntax(format!("unexpected {}", parser.peek_token_ref())));
    }
    syntax::rewrite_ast(&mut ast);
    let schema = DFSchema::try_from(batch.schema())?;
    let options = datafusion_sql::planner::ParserOptions::new().with_parse_float_as_decimal(true);
    let planner = SqlToRel::new_with_options(&context, options);
    let expr = planner.sql_to_expr(ast, &schema, &mut PlannerContext::new())?;
    let expr = own_casts(expr, &schema, zone)?;
    let expr = super::coerce::coerce(expr, &schema, zone, false)?;
    let scope = super::type_of::Scope::of(&schema);
    let expr = expr.transform_down(|e| super::type_of::folded(e, &scope))?.data;
    let expr = expr.rewrite(&mut TypeCoercionRewriter::new(&schema)).data()?;
    let field = expr.to_field(&schema)?.1;
    let physical = create_physical_expr(&expr, &schema, &ExecutionProps::new(), &Default::default())?;
    let values = physical.evaluate(batch)?.into_array(batch.num_rows())?;
    assert_eq!(values.data_type(), field.data_type(), "{sql}");
    Ok((field, values))
}

fn one_row() -> RecordBatch {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    RecordBatch::try_from_iter([("one", column)]).unwrap()
}

/// The values as JSON, row by row.
fn shown(values: &ArrayRef) -> Vec<String> {
    let field = Arc::new(Field::new("v", values.data_type().clone(), true));
    let text = super::json::show(values).unwrap_or_else(|_| panic!("{field}"));
    text.iter().map(|v| v.unwrap_or("null").to_string()).collect()
}

fn outcome(sql: &str, zone: &str) -> String {
    match evaluate_on(sql, zone, &one_row()) {
        Ok((_, values)) => shown(&values).remove(0),
        Err(e) => format!("ERROR {e}").replace('\n', " "),
    }
}

fn table_in(zone: &str, table: &str) {
    let mut wrong = Vec::new();
    for line in table.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (sql, expected) = line.rsplit_once(" => ").unwrap_or_else(|| panic!("{line}"));
        let got = outcome(sql, zone);
        let fits = match expected.strip_prefix("ERROR") {
            Some(words) => got.starts_with("ERROR") && words.split_whitespace().all(|w| got.contains(w)),
            None => got == expected,
        };
        if !fits {
            wrong.push(format!("{sql}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

fn table(lines: &str) {
    table_in("UTC", lines);
}
