//! `ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, ...))`: the rows of a table with what a model predicts for them.
//!
//! It is a call like others, whose result is a ROW of the model's outputs.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{FunctionArg, ObjectName};
use std::sync::Arc;

use super::provider::Planner;
use super::table_function::{Parameter, constant, table_arguments};
use crate::error::{Error, Result};
use crate::function::user::{Returns, UserFunction, model};
use crate::nearest::nearest;
use crate::sql::{Name, OptionEntry, SqlType};

const PARAMETERS: &[Parameter] = &[
    Parameter::required("INPUT"),
    Parameter::required("MODEL"),
    Parameter::required("ARGS"),
    Parameter::optional("CONFIG"),
];

/// The column of a prediction until its outputs are taken out of it.
const COLUMN: &str = "$prediction";

/// Plans a prediction.
pub(super) fn ml_predict(
    planner: &Planner,
    name: &ObjectName,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let call = table_arguments(name, args, context)?;
    let mut arguments = call.assign(PARAMETERS)?;
    let span = arguments.span;
    let lacks = |what: &str| Error::plan(format!("ML_PREDICT lacks its {what}")).at(span);
    let (table, _) = arguments.table("INPUT")?.ok_or_else(|| lacks("table"))?;
    let (named, at) = arguments.constant("MODEL", planner.zone())?.ok_or_else(|| lacks("model"))?;
    let (columns, columns_at) = arguments.descriptor("ARGS")?.ok_or_else(|| lacks("columns"))?;
    let config = arguments.map("CONFIG")?;
    let (ScalarValue::Utf8(Some(named)) | ScalarValue::Utf8View(Some(named))) = named else {
        return Err(Error::plan("ML_PREDICT takes MODEL and the name of a model").at(at));
    };
    let functions = planner.user_functions();
    let Some(mut found) = functions.find(&model::key(&named))? else {
        let models = functions.models();
        let error = Error::plan(format!("model '{named}' is not known")).at(at);
        return Err(match nearest(&named, models.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error.with_hint("CREATE MODEL makes one"),
        });
    };
    if let Some((entries, at)) = config {
        found = Arc::new(configured(planner, &found, entries).map_err(|e| e.at(at))?);
    }
    if columns.len() != found.parameters.len() {
        return Err(Error::plan(format!(
            "model '{named}' takes {} columns, the DESCRIPTOR names {}",
            found.parameters.len(),
            columns.len()
        ))
        .with_hint(format!("its inputs are {}", inputs(&found)))
        .at(columns_at));
    }
    let schema = table.plan.schema().clone();
    let values = columns.iter().map(|column| {
        let index = schema.index_of_column_by_name(None, &column.value).ok_or_else(|| {
            let error = Error::plan(format!("the table has no column '{}'", column.value)).at(column.span);
            let names = schema.fields().iter().map(|f| f.name().as_str());
            match nearest(&column.value, names) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error,
            }
        })?;
        Ok(Expr::Column(datafusion_common::Column::from(schema.qualified_field(index))))
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    let Returns::Value(SqlType::Row(outputs)) = &found.returns else {
        return Err(Error::internal("a model without outputs"));
    };
    let prediction = match model::function_of(found.options()) {
        None => planner.user_value(found.clone()).call(values),
        Some(name) => {
            let function = functions.find(name)?.ok_or_else(|| {
                Error::plan(format!("model '{named}': function '{name}' is not known")).at(at)
            })?;
            planner.user_value(function).call(values)
        }
    };
    let given = prediction.get_type(&schema)?;
    let kept: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let with: Vec<Expr> = kept.iter().cloned().chain([prediction.alias(COLUMN)]).collect();
    let plan = LogicalPlanBuilder::from(table.plan).project(with)?;
    let column = Expr::Column(datafusion_common::Column::new_unqualified(COLUMN));
    let outputs = outputs.iter().enumerate().map(|(i, (output, data_type))| {
        let value = match &given {
            DataType::Struct(fields) => {
                let field = fields.iter().find(|f| f.name() == output).or(fields.get(i));
                let field = field.ok_or_else(|| {
                    Error::plan(format!("what model '{named}' calls returns no '{output}'")).at(at)
                })?;
                let name = Expr::Literal(ScalarValue::Utf8(Some(field.name().clone())), None);
                datafusion_functions::core::get_field().call(vec![column.clone(), name])
            }
            _ if i == 0 => column.clone(),
            _ => return Err(Error::plan(format!("what model '{named}' calls returns one value")).at(at)),
        };
        let wanted = data_type.to_arrow(planner.zone());
        let value = match given {
            DataType::Struct(_) => value,
            _ if given == wanted => value,
            _ => Expr::Cast(datafusion_expr::Cast::new(Box::new(value), wanted)),
        };
        Ok(value.alias(output))
    });
    let outputs = outputs.collect::<Result<Vec<_>>>()?;
    Ok(plan.project(kept.into_iter().chain(outputs).collect::<Vec<_>>())?.build()?)
}

fn inputs(model: &UserFunction) -> String {
    let inputs = model.parameters.iter().map(|p| format!("{} {}", p.name, p.data_type));
    inputs.collect::<Vec<_>>().join(", ")
}

/// The model with the options of the call, in Flink's words.
fn configured(
    planner: &Planner,
    model: &Arc<UserFunction>,
    entries: Vec<(Expr, Expr)>,
) -> Result<UserFunction> {
    let mut options = Vec::new();
    for (key, value) in entries {
        let text = |expr: &Expr| match constant(expr, planner.zone())? {
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => Ok(text),
            _ => Err(Error::plan("the configuration of ML_PREDICT is of strings: MAP['async', 'true']")),
        };
        let (key, value) = (text(&key)?, text(&value)?);
        let ours = match key.as_str() {
            "async" if value.eq_ignore_ascii_case("true") => continue,
            "async" => {
                return Err(Error::unsupported("ML_PREDICT with 'async' = 'false' is not supported")
                    .with_hint("'max-concurrent-operations' = '1' asks for one row at a time"));
            }
            "max-concurrent-operations" => "capacity",
            "timeout" => "timeout",
            "output-mode" => "output-mode",
            other => {
                let known = ["async", "max-concurrent-operations", "output-mode", "timeout"];
                let error = Error::option(format!("ML_PREDICT has no option '{other}'"));
                return Err(match nearest(other, known.into_iter()) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(format!("it knows: {}", known.join(", "))),
                });
            }
        };
        let named = |value: &str| Name { value: value.to_string(), span: Default::default() };
        options.push(OptionEntry { key: named(ours), value: named(&value), written: None });
    }
    model.with_options(options)
}
