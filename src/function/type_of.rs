//! The types of expressions as Flink derives them: lengths of texts, NOT NULL, fields' names. TYPEOF and DESCRIBE say them;
//! nothing is computed by them.
//!
//! NOT NULL follows from one table: [`NULLS`] names the functions that differ from the rule, which is that a result may be
//! NULL where an argument may be. Each entry was asked of Flink 2.3.

use arrow::datatypes::DataType;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, ExprSchema, ScalarValue};
use datafusion_expr::{Case, Expr, ExprSchemable, Operator, WindowFunctionDefinition};

use super::cast::cast_target;
use super::typed::{Kind, Length, Typed};
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

/// Key of a column's metadata: the type that it was declared with, where Arrow forgets it. Only statements that ask for types
/// have it.
pub(crate) const DECLARED_KEY: &str = "affluent.declared";

/// When a function gives NULL, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// Whatever its arguments are.
    Maybe,
    Never,
    /// Where the first argument may be.
    First,
    /// Where all arguments may be.
    All,
}

/// Functions whose NOT NULL is not that of their arguments together.
const NULLS: &[(Nulls, &[&str])] = &[
    (
        Nulls::Maybe,
        &[
            "$at",
            "array_max",
            "array_min",
            "chr",
            "convert_tz",
            "current_watermark",
            "date_format",
            "elt",
            "from_unixtime",
            "inet_aton",
            "inet_ntoa",
            "json_exists",
            "json_query",
            "json_value",
            "left",
            "parse_url",
            "printf",
            "regexp_count",
            "regexp_extract",
            "regexp_extract_all",
            "regexp_instr",
            "regexp_substr",
            "reverse",
            "right",
            "split_index",
            "str_to_map",
            "substring",
            "to_date",
            "to_timestamp",
            "to_timestamp_ltz",
            "try_cast",
            "typeof",
            "unhex",
            "url_decode",
            "url_encode",
        ],
    ),
    (
        Nulls::Never,
        &[
            "$is_json",
            "$json_array",
            "$json_object",
            "$map",
            "$unix_now",
            "array",
            "current_date",
            "current_row_timestamp",
            "current_time",
            "current_timestamp",
            "e",
            "is_alpha",
            "is_decimal",
            "is_digit",
            "localtime",
            "localtimestamp",
            "map",
            "now",
            "pi",
            "proctime",
            "rand",
            "row",
            "struct",
            "uuid",
        ],
    ),
    (Nulls::First, &["translate", "array_remove"]),
    (Nulls::All, &["coalesce"]),
];

/// Results whose length is known from the function alone.
const SIZED: &[(&str, Length)] = &[
    ("md5", Length::Exactly(32)),
    ("sha1", Length::Exactly(40)),
    ("sha224", Length::Exactly(56)),
    ("sha256", Length::Exactly(64)),
    ("sha384", Length::Exactly(96)),
    ("sha512", Length::Exactly(128)),
    ("sha2", Length::AtMost(128)),
    ("uuid", Length::Exactly(36)),
];

/// What an expression sees.
pub(crate) struct Scope<'a> {
    pub schema: &'a DFSchema,
    /// The types of the schema's columns, where more is known of them.
    pub columns: &'a [Typed],
    /// In an aggregate: whether every group has a row.
    pub grouped: bool,
}

impl<'a> Scope<'a> {
    /// Over a schema alone.
    pub fn of(schema: &'a DFSchema) -> Self {
        Self { schema, columns: &[], grouped: false }
    }

    fn column(&self, column: &Column) -> Result<Typed> {
        if let Some(known) = self.schema.maybe_index_of_column(column).and_then(|i| self.columns.get(i)) {
            return Ok(known.clone());
        }
        let field = self.schema.field_from_column(column)?;
        of_field(field)
    }
}

/// The type of a column by its field.
pub(crate) fn of_field(field: &arrow::datatypes::Field) -> Result<Typed> {
    let declared = field.metadata().get(DECLARED_KEY);
    let declared = declared.and_then(|text| crate::sql::type_parser::parse_type(text).ok());
    let kind = match declared {
        Some(t) => Kind::of_sql(&t),
        None => plain(field.data_type())?,
    };
    Ok(kind.may_be_null(field.is_nullable()))
}

impl Kind {
    /// What of it holds for an Arrow type; the rest is what Arrow says.
    fn fitted(self, t: &DataType) -> Result<Self> {
        if self.fits(t) {
            return Ok(self);
        }
        let part = |typed: Typed, t: &DataType| -> Result<Typed> {
            Ok(Typed { kind: typed.kind.fitted(t)?, nullable: typed.nullable })
        };
        Ok(match (self, t) {
            (Self::Array(item), DataType::List(f)) => Self::Array(Box::new(part(*item, f.data_type())?)),
            (Self::Map(k, v), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(kv) if kv.len() == 2 => {
                    Self::Map(Box::new(part(*k, kv[0].data_type())?), Box::new(part(*v, kv[1].data_type())?))
                }
                _ => plain(t)?,
            },
            (Self::Row(all), DataType::Struct(fields)) if all.len() == fields.len() => {
                let parts = all.into_iter().zip(fields);
                let parts = parts.map(|((name, typed), f)| Ok((name, part(typed, f.data_type())?)));
                Self::Row(parts.collect::<Result<_>>()?)
            }
            _ => plain(t)?,
        })
    }
}

/// A type, as far as Arrow keeps it.
fn plain(t: &DataType) -> Result<Kind> {
    Kind::of_arrow(t).ok_or_else(|| Error::unsupported(format!("TYPEOF of {t}")))
}

fn literal(value: &ScalarValue) -> Option<Kind> {
    Some(match value {
        ScalarValue::Utf8(Some(s)) | ScalarValue::Utf8View(Some(s)) | ScalarValue::LargeUtf8(Some(s)) => {
            Kind::Text(Length::Exactly(s.encode_utf16().count()))
        }
        ScalarValue::Binary(Some(b))
        | ScalarValue::BinaryView(Some(b))
        | ScalarValue::LargeBinary(Some(b)) => Kind::Bytes(Length::Exactly(b.len())),
        _ => return None,
    })
}

fn all(args: &[Expr], scope: &Scope<'_>) -> Result<Vec<Typed>> {
    args.iter().map(|arg| derive(arg, scope)).collect()
}

fn any_null(args: &[Typed]) -> bool {
    args.iter().any(|t| t.nullable)
}

/// The type of one of several values.
fn either<'t>(types: impl IntoIterator<Item = &'t Typed>) -> Option<Kind> {
    types.into_iter().map(|t| t.kind.clone()).reduce(|a, b| a.either(&b))
}

/// What more is known of the type of a call, and whether it may be NULL. `args` are those of the call.
fn call(expr: &Expr, name: &str, args: &[Expr], scope: &Scope<'_>) -> Result<(Option<Kind>, bool)> {
    let types = all(args, scope)?;
    let nulls = NULLS.iter().find(|(_, names)| names.contains(&name)).map(|(nulls, _)| *nulls);
    let nullable = match nulls {
        Some(Nulls::Maybe) => true,
        Some(Nulls::Never) => false,
        Some(Nulls::First) => types.first().is_some_and(|t| t.nullable),
        Some(Nulls::All) => types.iter().all(|t| t.nullable),
        None => any_null(&types),
    };
    let first = types.first().map(|t| t.kind.clone());
    let length = || first.as_ref().map_or(Length::Any, Kind::length);
    let item = |kind: Kind, nullable: bool| Kind::Array(Box::new(kind.may_be_null(nullable)));
    let kind = match (name, types.as_slice()) {
        (
            "upper" | "lower" | "initcap" | "array_remove" | "array_distinct" | "array_reverse"
            | "array_slice" | "array_sort" | "$floor_to" | "$ceil_to" | "$later" | "$earlier",
            [..],
        ) => first,
        ("array_union" | "array_concat" | "array_intersect" | "array_except" | "map_union", [..]) => {
            either(&types)
        }
        ("timestampadd", [_, _, moment]) => Some(moment.kind.clone()),
        ("overlay", [text, other, ..]) => {
            Some(Kind::Text(text.kind.length().cut().joined(other.kind.length().cut())))
        }
        ("get_field", [Typed { kind: Kind::Row(fields), .. }, ..]) => {
            let name = match args.get(1) {
                Some(Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _)) => {
                    name
                }
                _ => "",
            };
            fields.iter().find(|(n, _)| n == name).map(|(_, t)| t.kind.clone())
        }
        ("substring" | "trim" | "ltrim" | "rtrim" | "left" | "right", [..]) => {
            Some(Kind::Text(length().cut()))
        }
        ("coalesce" | "greatest" | "least", [..]) => either(&types),
        ("elt", [_, texts @ ..]) => either(texts).map(|kind| match kind {
            Kind::Text(length) => Kind::Text(length.cut()),
            other => other,
        }),
        ("array", items @ [_, ..]) => either(items).map(|kind| item(kind, any_null(items))),
        ("array_append", [array, element]) | ("array_prepend", [array, element]) => match &array.kind {
            Kind::Array(inner) => {
                Some(item(inner.kind.either(&element.kind), inner.nullable || element.nullable))
            }
            _ => None,
        },
        ("$map" | "map", entries @ [_, ..]) => {
            let keys: Vec<Typed> = entries.iter().step_by(2).cloned().collect();
            let values: Vec<Typed> = entries.iter().skip(1).step_by(2).cloned().collect();
            let of = |types: &[Typed]| Some(Box::new(either(types)?.may_be_null(any_null(types))));
            of(&keys).zip(of(&values)).map(|(k, v)| Kind::Map(k, v))
        }
        ("map_entries", [Typed { kind: Kind::Map(k, v), .. }]) => {
            let entry = vec![("key".to_string(), (**k).clone()), ("value".to_string(), (**v).clone())];
            Some(item(Kind::Row(entry), true))
        }
        ("map_keys", [Typed { kind: Kind::Map(k, _), .. }]) => Some(Kind::Array(k.clone())),
        ("map_values", [Typed { kind: Kind::Map(_, v), .. }]) => Some(Kind::Array(v.clone())),
        ("map_from_arrays", [Typed { kind: Kind::Array(k), .. }, Typed { kind: Kind::Array(v), .. }]) => {
            Some(Kind::Map(k.clone(), v.clone()))
        }
        ("$at", [Typed { kind: Kind::Array(item), .. }, ..]) => Some(item.kind.clone()),
        ("$at", [Typed { kind: Kind::Map(_, value), .. }, ..]) => Some(value.kind.clone()),
        ("element" | "array_max" | "array_min", [Typed { kind: Kind::Array(item), .. }]) => {
            Some(item.kind.clone())
        }
        ("row" | "struct", fields) => {
            let named = fields.iter().enumerate().map(|(i, t)| (format!("EXPR${i}"), t.clone()));
            Some(Kind::Row(named.collect()))
        }
        (name, _) => SIZED.iter().find(|(n, _)| *n == name).map(|(_, length)| Kind::Text(*length)),
    };
    // What a program or a user brought says itself what it gives.
    let own = super::is_own(name) || name.starts_with('$') || nulls.is_some();
    let nullable = match (name, types.as_slice()) {
        // A constant pattern is there; what follows it may be left out.
        ("$similar", [text, pattern, ..]) => text.nullable || pattern.nullable,
        ("element", [Typed { kind: Kind::Array(item), nullable }]) => *nullable || item.nullable,
        _ if own => nullable,
        _ => expr.nullable(scope.schema)?,
    };
    Ok((kind, nullable))
}

/// `CASE WHEN a = b THEN NULL ELSE a END`, which is what NULLIF becomes.
fn null_if(case: &Case) -> Option<&Expr> {
    let [(when, then)] = case.when_then_expr.as_slice() else { return None };
    let (Expr::BinaryExpr(compared), Some(value)) = (when.as_ref(), case.else_expr.as_ref()) else {
        return None;
    };
    let null = matches!(then.as_ref(), Expr::Literal(value, _) if value.is_null());
    (null && case.expr.is_none() && compared.op == Operator::Eq && compared.left == *value)
        .then_some(value.as_ref())
}

fn case(case: &Case, scope: &Scope<'_>) -> Result<(Option<Kind>, bool)> {
    if let Some(value) = null_if(case) {
        let value = derive(value, scope)?;
        return Ok((Some(value.kind), true));
    }
    let mut types = Vec::new();
    for (_, then) in &case.when_then_expr {
        types.push(derive(then, scope)?);
    }
    if let Some(other) = &case.else_expr {
        types.push(derive(other, scope)?);
    }
    let nullable = case.else_expr.is_none() || any_null(&types);
    Ok((either(&types), nullable))
}

/// The type of an aggregate's result.
fn aggregate(name: &str, args: &[Typed], plain: Kind, grouped: bool) -> Typed {
    let nullable = !grouped || any_null(args);
    let first = args.first().map(|t| t.kind.clone());
    let (kind, nullable) = match name {
        "count" | "approx_count_distinct" | "grouping" | "grouping_id" => (plain, false),
        "min" | "max" | "first_value" | "last_value" => (first.unwrap_or(plain), nullable),
        "collect" => match args.first() {
            Some(t) => (Kind::Multiset(Box::new(t.clone())), false),
            None => (plain, false),
        },
        "array_agg" => match args.first() {
            Some(t) => (Kind::Array(Box::new(t.clone())), true),
            None => (plain, true),
        },
        name if name.contains("json_objectagg") || name.contains("json_arrayagg") => {
            (Kind::Text(Length::AtMost(2000)), false)
        }
        _ => (plain, nullable),
    };
    Typed { kind, nullable }
}

/// The type of an expression.
pub(crate) fn derive(expr: &Expr, scope: &Scope<'_>) -> Result<Typed> {
    let data_type = expr.get_type(scope.schema)?;
    let of = |e: &Expr| derive(e, scope);
    let (kind, nullable) = match expr {
        Expr::Literal(value, _) => (literal(value), value.is_null()),
        Expr::Alias(alias) => return of(&alias.expr),
        Expr::Column(column) => return scope.column(column),
        Expr::OuterReferenceColumn(field, _) => return of_field(field),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Exists(_) => (None, false),
        Expr::Not(e) => (None, of(e)?.nullable),
        Expr::Negative(e) => {
            let inner = of(e)?;
            (Some(inner.kind), inner.nullable)
        }
        Expr::Cast(cast) => (None, of(&cast.expr)?.nullable),
        Expr::TryCast(_) => (None, true),
        Expr::BinaryExpr(b) => {
            let (left, right) = (of(&b.left)?, of(&b.right)?);
            let nullable = match b.op {
                Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => false,
                _ => left.nullable || right.nullable,
            };
            let kind = match (b.op, &left.kind, &right.kind) {
                (Operator::StringConcat, Kind::Text(a), Kind::Text(b)) => Some(Kind::Text(a.joined(*b))),
                (Operator::StringConcat, Kind::Bytes(a), Kind::Bytes(b)) => Some(Kind::Bytes(a.joined(*b))),
                (
                    Operator::Plus | Operator::Minus,
                    moment @ Kind::Plain(SqlType::Timestamp(_) | SqlType::TimestampLtz(_)),
                    Kind::Plain(SqlType::IntervalYearMonth | SqlType::IntervalDayTime),
                )
                | (
                    Operator::Plus,
                    Kind::Plain(SqlType::IntervalYearMonth | SqlType::IntervalDayTime),
                    moment @ Kind::Plain(SqlType::Timestamp(_) | SqlType::TimestampLtz(_)),
                ) => Some(moment.clone()),
                _ => None,
            };
            (kind, nullable)
        }
        Expr::Between(b) => (None, of(&b.expr)?.nullable || of(&b.low)?.nullable || of(&b.high)?.nullable),
        Expr::InList(list) => (None, of(&list.expr)?.nullable || any_null(&all(&list.list, scope)?)),
        Expr::Like(like) | Expr::SimilarTo(like) => {
            (None, of(&like.expr)?.nullable || of(&like.pattern)?.nullable)
        }
        Expr::Case(c) => case(c, scope)?,
        Expr::ScalarFunction(f) => match cast_target(f.func.inner().as_ref()) {
            Some(target) => {
                let given = all(&f.args, scope)?;
                (Some(Kind::of_sql(target)), f.func.name() == "try_cast" || any_null(&given))
            }
            None => call(expr, f.func.name(), &f.args, scope)?,
        },
        Expr::AggregateFunction(f) => {
            let args: Vec<Expr> =
                f.params.args.iter().filter(|a| a.get_type(scope.schema).is_ok()).cloned().collect();
            let grouped = scope.grouped && f.params.filter.is_none();
            let result = aggregate(
                &f.func.name().to_ascii_lowercase(),
                &all(&args, scope)?,
                plain(&data_type)?,
                grouped,
            );
            (Some(result.kind), result.nullable)
        }
        Expr::WindowFunction(f) => {
            let args: Vec<Expr> =
                f.params.args.iter().filter(|a| a.get_type(scope.schema).is_ok()).cloned().collect();
            let args = all(&args, scope)?;
            match &f.fun {
                WindowFunctionDefinition::AggregateUDF(function) => {
                    let name = function.name().to_ascii_lowercase();
                    let result = aggregate(&name, &args, plain(&data_type)?, f.params.filter.is_none());
                    (Some(result.kind), result.nullable)
                }
                WindowFunctionDefinition::WindowUDF(function) => match function.name() {
                    "row_number" | "rank" | "dense_rank" | "ntile" => (None, false),
                    "first_value" | "last_value" => (args.first().map(|t| t.kind.clone()), any_null(&args)),
                    "lag" | "lead" => (args.first().map(|t| t.kind.clone()), true),
                    _ => (None, true),
                },
            }
        }
        other => (None, other.nullable(scope.schema)?),
    };
    // Lengths hold for what is that type; the rest is what Arrow says.
    let kind = match kind {
        Some(kind) => kind.fitted(&data_type)?,
        None => plain(&data_type)?,
    };
    Ok(Typed { kind, nullable })
}

/// TYPEOF(x) and TYPEOF(x, TRUE) as text. `args` are those of the call.
fn type_of(args: &[Expr], scope: &Scope<'_>) -> Result<String> {
    let Some(expr) = args.first() else { return Err(Error::plan("TYPEOF takes a value")) };
    let typed = derive(expr, scope)?;
    let full = matches!(args.get(1), Some(Expr::Literal(ScalarValue::Boolean(Some(true)), _)));
    Ok(if full { typed.in_full() } else { typed.to_string() })
}

fn is_type_of(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::ScalarFunction(f) if f.func.name() == "typeof" && !f.args.is_empty() => Some(&f.args),
        _ => None,
    }
}

/// Whether an expression is a call of TYPEOF.
pub(crate) fn asks_type(expr: &Expr) -> bool {
    is_type_of(expr).is_some()
}

/// A call of TYPEOF as the text that it gives: known before any row is.
pub(crate) fn folded(expr: Expr, scope: &Scope<'_>) -> datafusion_common::Result<Transformed<Expr>> {
    let Some(args) = is_type_of(&expr) else { return Ok(Transformed::no(expr)) };
    let text = type_of(args, scope)?;
    Ok(Transformed::yes(Expr::Literal(ScalarValue::Utf8View(Some(text)), None)))
}

/// Whether a type is one that a column of an Arrow type may be shown with.
pub(crate) fn or_plain(typed: Typed, data_type: &DataType) -> Typed {
    match typed.kind.fits(data_type) {
        true => typed,
        false => Typed {
            kind: Kind::of_arrow(data_type).unwrap_or(Kind::Plain(SqlType::String)),
            nullable: typed.nullable,
        },
    }
}
