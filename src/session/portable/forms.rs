//! Forms of expressions and clauses that Flink does not know, as far as they show in what was written.

use sqlparser::ast::{self, Expr as Ast, JoinOperator, SetExpr, SetOperator, TableFactor, Value};

use crate::error::{Error, Span};
use crate::sql::span_from;
use sqlparser::ast::Spanned;

/// Aggregate functions that both have.
const AGGREGATES: &[&str] = &[
    "APPROX_COUNT_DISTINCT",
    "ARRAY_AGG",
    "AVG",
    "COLLECT",
    "COUNT",
    "FIRST_VALUE",
    "GROUPING",
    "GROUPING_ID",
    "JSON_ARRAYAGG",
    "JSON_OBJECTAGG",
    "LAST_VALUE",
    "LISTAGG",
    "MAX",
    "MIN",
    "PERCENTILE",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "SUM",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
];

/// Functions that take no bare NULL.
const NO_NULL: &[&str] = &[
    "ABS",
    "ACOS",
    "ASCII",
    "ASIN",
    "ATAN",
    "ATAN2",
    "BIN",
    "CHARACTER_LENGTH",
    "CHAR_LENGTH",
    "CHR",
    "CONCAT",
    "CONCAT_WS",
    "CONVERT_TZ",
    "COS",
    "COSH",
    "COT",
    "DATE_FORMAT",
    "DAYOFMONTH",
    "DAYOFWEEK",
    "DAYOFYEAR",
    "DECODE",
    "DEGREES",
    "ENCODE",
    "EXP",
    "FROM_BASE64",
    "FROM_UNIXTIME",
    "GREATEST",
    "HEX",
    "HOUR",
    "IF",
    "INITCAP",
    "INSTR",
    "IS_ALPHA",
    "IS_DECIMAL",
    "IS_DIGIT",
    "LEAST",
    "LEFT",
    "LN",
    "LOCATE",
    "LOG",
    "LOG10",
    "LOG2",
    "LOWER",
    "LPAD",
    "LTRIM",
    "MAP_ENTRIES",
    "MAP_KEYS",
    "MAP_UNION",
    "MAP_VALUES",
    "MD5",
    "MINUTE",
    "MOD",
    "MONTH",
    "PARSE_URL",
    "POWER",
    "QUARTER",
    "RADIANS",
    "REGEXP",
    "REGEXP_EXTRACT",
    "REGEXP_REPLACE",
    "REPEAT",
    "REPLACE",
    "REVERSE",
    "RIGHT",
    "ROUND",
    "RPAD",
    "RTRIM",
    "SECOND",
    "SHA1",
    "SHA2",
    "SHA224",
    "SHA256",
    "SHA384",
    "SHA512",
    "SIGN",
    "SIN",
    "SINH",
    "SPLIT_INDEX",
    "SQRT",
    "STR_TO_MAP",
    "SUBSTR",
    "TAN",
    "TANH",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "TO_BASE64",
    "TO_DATE",
    "TO_TIMESTAMP",
    "TO_TIMESTAMP_LTZ",
    "TRANSLATE",
    "TRUNCATE",
    "UNIX_TIMESTAMP",
    "UPPER",
    "WEEK",
    "YEAR",
];

/// Parts of a moment.
const PARTS: &[&str] =
    &["YEAR", "QUARTER", "MONTH", "WEEK", "DAYOFYEAR", "DAYOFMONTH", "DAYOFWEEK", "HOUR", "MINUTE", "SECOND"];

fn plain(what: impl Into<String>, hint: impl Into<String>) -> Option<Error> {
    Some(Error::plan(what).with_hint(hint))
}

fn arguments(function: &ast::Function) -> Vec<&Ast> {
    let ast::FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let plain = |a| match a {
        &ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ref e)) => Some(e),
        _ => None,
    };
    list.args.iter().filter_map(plain).collect()
}

/// NULLs without a type among the values that a query of INSERT gives.
pub(super) fn bare_nulls(body: &SetExpr) -> impl Iterator<Item = Span> {
    fn gather(body: &SetExpr, found: &mut Vec<Span>) {
        let mut look = |e: &Ast| {
            if let Ast::Value(v) = e
                && v.value == Value::Null
            {
                found.push(span_from(v.span));
            }
        };
        match body {
            SetExpr::Values(values) => values.rows.iter().flat_map(|row| row.iter()).for_each(look),
            SetExpr::Select(select) => select.projection.iter().for_each(|item| {
                if let ast::SelectItem::UnnamedExpr(e) = item {
                    look(e);
                }
            }),
            SetExpr::SetOperation { left, right, .. } => {
                gather(left, found);
                gather(right, found);
            }
            SetExpr::Query(query) => gather(&query.body, found),
            _ => {}
        }
    }
    let mut found = Vec::new();
    gather(body, &mut found);
    found.into_iter()
}

fn is_text(expr: &Ast) -> bool {
    matches!(expr, Ast::Value(v) if matches!(v.value, Value::SingleQuotedString(_)))
}

fn call(function: &ast::Function) -> Option<Error> {
    let name = function.name.to_string().to_ascii_uppercase();
    let known = crate::function::aggregate::aggregate_names();
    if !AGGREGATES.contains(&name.as_str()) && !name.starts_with('$') && known.contains(&name) {
        return plain(
            format!("Flink has no aggregate {name}"),
            "SHOW FUNCTIONS of Flink lists its functions",
        );
    }
    if !function.within_group.is_empty() {
        return plain("Flink takes no WITHIN GROUP", "leave the order out, or sort in a subquery");
    }
    if let ast::FunctionArguments::List(list) = &function.args
        && list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct)
        && list.args.len() > 1
        && name == "COUNT"
    {
        return plain(
            "Flink counts DISTINCT values of one expression",
            "COUNT(DISTINCT (a, b)) counts pairs",
        );
    }
    let null = |a: &&Ast| matches!(a, Ast::Value(v) if v.value == Value::Null);
    if NO_NULL.contains(&name.as_str()) && arguments(function).iter().any(null) {
        return plain(format!("{name} of Flink takes no NULL without a type"), "write CAST(NULL AS STRING)");
    }
    if PARTS.contains(&name.as_str()) && arguments(function).first().is_some_and(|a| is_text(a)) {
        return plain("Flink takes no parts of a text", format!("write {name}(DATE '...')"));
    }
    if name == "$MAP" && arguments(function).is_empty() {
        return plain("Flink has no empty MAP[]", "CAST(NULL AS MAP<K, V>), or a map with an entry");
    }
    match name.as_str() {
        "TUMBLE_PROCTIME" | "HOP_PROCTIME" | "SESSION_PROCTIME" => {
            plain(format!("Flink has {name} over processing time alone"), "PROCTIME() gives the current time")
        }
        _ => None,
    }
}

/// Digits of an interval's first field beyond the two that it has without a precision.
fn interval(interval: &ast::Interval) -> Option<Error> {
    let Ast::Value(value) = interval.value.as_ref() else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let digits = text.trim_start_matches(['-', '+', ' ']).bytes().take_while(u8::is_ascii_digit).count();
    let unit = interval.leading_field.as_ref()?;
    let most = interval.leading_precision.unwrap_or(2) as usize;
    (digits > most).then(|| {
        Error::plan(format!("{unit} of an interval has {most} digits in Flink"))
            .with_detail(format!("'{text}'"))
            .with_hint(format!("write INTERVAL '{text}' {unit}({digits})"))
    })
}

/// What Flink refuses of one expression.
pub(super) fn expression(expr: &Ast) -> Option<Error> {
    let found = match expr {
        Ast::ILike { .. } => plain("Flink has no ILIKE", "LOWER(x) LIKE '...'"),
        Ast::Function(function) => call(function),
        Ast::Interval(i) => interval(i),
        Ast::Extract { expr, .. } if is_text(expr) => {
            plain("Flink takes no parts of a text", "write EXTRACT(... FROM DATE '...')")
        }
        Ast::Array(array) if !array.named => plain("Flink has no [a, b]", "write ARRAY[a, b]"),
        Ast::Array(array) if array.elem.is_empty() => {
            plain("Flink has no empty ARRAY[]", "CAST(NULL AS ARRAY<T>), or an array with an element")
        }
        Ast::AnyOp { right, .. } | Ast::AllOp { right, .. }
            if !matches!(right.as_ref(), Ast::Subquery(_)) =>
        {
            plain("Flink compares with ANY and ALL of a query alone", "ARRAY_CONTAINS(array, x)")
        }
        Ast::Value(value) => match &value.value {
            Value::Number(digits, _)
                if digits.contains(['e', 'E']) && digits.parse::<f64>().is_ok_and(f64::is_infinite) =>
            {
                plain(format!("{digits} is beyond the numbers of Flink"), "CAST('Infinity' AS DOUBLE)")
            }
            _ => None,
        },
        Ast::TypedString(typed) => {
            let Value::SingleQuotedString(text) = &typed.value.value else { return None };
            let wrong = match typed.data_type {
                ast::DataType::Date => crate::function::moment::read_date(text).is_none(),
                ast::DataType::Time(..) => crate::function::moment::read_time(text).is_none(),
                _ => false,
            };
            if wrong {
                plain(format!("Flink refuses '{text}' when it plans"), "it is no such value")
            } else {
                None
            }
        }
        _ => None,
    };
    found.map(|error| error.at(span_from(expr.span())))
}

/// What Flink refuses of a SELECT beside its expressions.
pub(super) fn select(select: &ast::Select) -> Vec<Error> {
    let mut found = Vec::new();
    if matches!(select.group_by, ast::GroupByExpr::All(_)) {
        found.extend(plain("Flink has no GROUP BY ALL", "list the columns"));
    }
    for table in &select.from {
        let factors = std::iter::once(&table.relation).chain(table.joins.iter().map(|j| &j.relation));
        for factor in factors {
            if let TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } =
                factor
            {
                found.extend(plain("Flink takes no TABLESAMPLE", "WHERE RAND() < 0.1"));
            }
        }
        for join in &table.joins {
            if let JoinOperator::Semi(_)
            | JoinOperator::LeftSemi(_)
            | JoinOperator::RightSemi(_)
            | JoinOperator::Anti(_)
            | JoinOperator::LeftAnti(_)
            | JoinOperator::RightAnti(_) = &join.join_operator
            {
                found.extend(plain("Flink has no SEMI and no ANTI JOIN", "WHERE [NOT] EXISTS (SELECT ...)"));
            }
        }
    }
    found
}

/// What Flink refuses of a query's body.
pub(super) fn body(body: &SetExpr) -> Option<Error> {
    match body {
        SetExpr::SetOperation { op: SetOperator::Minus, .. } => plain("Flink has no MINUS", "write EXCEPT"),
        SetExpr::SetOperation { left, right, .. } => self::body(left).or_else(|| self::body(right)),
        _ => None,
    }
}

/// Aliases of a SELECT that GROUP BY or HAVING name, with the clause.
pub(super) fn named_groups(query: &ast::Query) -> Vec<(&'static str, ast::Ident)> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    for item in &select.projection {
        let ast::SelectItem::ExprWithAlias { expr, alias } = item else { continue };
        if matches!(expr, Ast::Identifier(name) if name.value == alias.value) {
            continue;
        }
        let names = |expr: &Ast| matches!(expr, Ast::Identifier(name) if name.value == alias.value);
        if let ast::GroupByExpr::Expressions(keys, _) = &select.group_by
            && keys.iter().any(names)
        {
            found.push(("GROUP BY", alias.clone()));
        }
        let having = select.having.as_ref().is_some_and(|having| {
            crate::sql::visit::visit_expressions(having, |e| match names(e) {
                true => std::ops::ControlFlow::Break(()),
                false => std::ops::ControlFlow::Continue(()),
            })
            .is_break()
        });
        if having {
            found.push(("HAVING", alias.clone()));
        }
    }
    found
}

/// The same query, in which an item of SELECT has another alias.
pub(super) fn without_alias(query: &ast::Query, alias: &ast::Ident) -> ast::Query {
    let mut query = query.clone();
    query.order_by = None;
    query.limit_clause = None;
    if let SetExpr::Select(select) = query.body.as_mut() {
        for item in &mut select.projection {
            if let ast::SelectItem::ExprWithAlias { alias: own, .. } = item
                && own.value == alias.value
            {
                own.value = "$another".into();
            }
        }
    }
    query
}
