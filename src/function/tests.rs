//! Every function through the whole way of an expression: parsed, rewritten, planned, coerced, evaluated.
//!
//! Lines of the tables are `expression => result`. A result stands for what the value looks like as JSON
//! (with the text of timestamps as CAST prints it); `ERROR` and `ERROR words` for a failure.
//! Tables whose heading says so were run on Flink 2.3.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::any::TypeId;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF, lit};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion_physical_expr::create_physical_expr;
use datafusion_sql::planner::{PlannerContext, SqlToRel};
use sqlparser::ast::{DataType as AstType, Expr as Ast, TimezoneInfo};
use sqlparser::dialect::{Dialect, GenericDialect};
use sqlparser::parser::{Parser, ParserError};

use super::cast::{cast_array, cast_expr};
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
        syntax::parse_prefix(parser)
    }
    fn parse_infix(&self, parser: &mut Parser<'_>, expr: &Ast, _: u8) -> Option<Result<Ast, ParserError>> {
        syntax::parse_infix(parser, expr)
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
    // The planner's part: integer literals are INT, casts are ours.
    let expr = expr
        .transform_up(|e| {
            Ok(match e {
                Expr::Literal(datafusion_common::ScalarValue::Int64(Some(v)), _) if i32::try_from(v).is_ok() => {
                    Transformed::yes(lit(v as i32))
                }
                Expr::Cast(Cast { expr, field }) => Transformed::yes(own_cast(*expr, &field, &schema, zone, false)?),
                Expr::TryCast(TryCast { expr, field }) => {
                    Transformed::yes(own_cast(*expr, &field, &schema, zone, true)?)
                }
                other => Transformed::no(other),
            })
        })
        .data()?;
    let expr = expr.rewrite(&mut TypeCoercionRewriter::new(&schema)).data()?;
    let field = expr.to_field(&schema)?.1;
    let physical = create_physical_expr(&expr, &schema, &ExecutionProps::new(), &Default::default())?;
    let values = physical.evaluate(batch)?.into_array(batch.num_rows())?;
    assert_eq!(values.data_type(), field.data_type(), "{sql}");
    Ok((field, values))
}

fn own_cast(expr: Expr, field: &FieldRef, schema: &DFSchema, zone: &str, try_: bool) -> datafusion_common::Result<Expr> {
    let from = expr.get_type(schema)?;
    let to = SqlType::from_arrow(field.data_type()).unwrap();
    Ok(cast_expr(expr, &from, &to, zone, try_)?)
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

#[test]
fn oracle_all() {
    table(
        r#"
        SUBSTRING('abcdef', -2) => "ef"
        SUBSTRING('abcdef', 0, 2) => "ab"
        SUBSTRING('abcdef', -10, 3) => ""
        SUBSTRING('abc', 2, -1) => null
        SPLIT_INDEX('', ',', 0) => null
        SPLIT_INDEX('a,b', ',', 5) => null
        SPLIT_INDEX('a,b', '', 0) => "a,b"
        SPLIT_INDEX('a b', '', 1) => "b"
        LOCATE('', 'abc') => 1
        LOCATE('b', 'abc', 0) => 2
        LOCATE('b', 'abcb', 3) => 4
        INSTR('corporate', 'or', 3, 2) => 0
        INSTR('corporate', 'or', -3, 2) => 2
        INSTR('corporate', 'or') => 2
        LPAD('hi', 5, '') => ERROR
        LPAD('hi', 5, 'abc') => "abchi"
        LPAD('hello', 2, 'x') => "he"
        OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6) => "xxxxxxxxx"
        OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6 FOR 2) => "xxxxxxxxxst"
        OVERLAY('abc' PLACING 'Z' FROM 0) => "abc"
        OVERLAY('abc' PLACING 'Z' FROM 4) => "abc"
        OVERLAY('abc' PLACING 'Z' FROM 2 FOR -1) => "aZ"
        OVERLAY('abc' PLACING 'Z' FROM 2 FOR 0) => "aZ"
        OVERLAY('abcdef' PLACING 'Z' FROM 2 FOR 100) => "aZ"
        INITCAP('hello wORLD-foo bar2baz') => "Hello World-Foo Bar2baz"
        ASCII('é') => -61
        ASCII('') => 0
        CHR(97) => "a"
        CHR(353) => "a"
        CHR(-1) => ""
        CHR(256) => "\u0000"
        LEFT('abc', -1) => ""
        RIGHT('abc', 2) => "bc"
        TRIM(BOTH 'ab' FROM 'abcba') => "c"
        TRIM(LEADING 'a' FROM 'aab') => "b"
        TRIM('  x ') => "x"
        LTRIM('aabx', 'ab') => "x"
        BTRIM('xxyxx', 'x') => "y"
        REGEXP('abc', '') => false
        REGEXP('abc', 'b') => true
        REGEXP_REPLACE('abc', '(b)', '[$1]') => "a[$1]c"
        REGEXP_REPLACE('abc', '(', 'x') => ERROR
        REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2) => "bar"
        REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)') => "foothebar"
        REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 5) => null
        REGEXP_EXTRACT_ALL('100-200, 300-400', '(\d+)-(\d+)') => ["100","300"]
        REGEXP_EXTRACT_ALL('100-200, 300-400', '(\d+)-(\d+)', 2) => ["200","400"]
        REGEXP_COUNT('hello world', 'o') => 2
        REGEXP_INSTR('hello world', 'o') => 5
        REGEXP_INSTR('hello', 'z') => 0
        REGEXP_SUBSTR('hello', 'l+') => "ll"
        TRANSLATE('abcd', 'abc', 'x') => "xd"
        STR_TO_MAP('k1=v1,k2=v2,k3') => {"k1":"v1","k2":"v2","k3":null}
        STR_TO_MAP('k1:v1;k2: v2', ';', ':') => {"k1":"v1","k2":" v2"}
        PRINTF('%s is %d, %05.2f %x', 'a', 5, 3.14159e0, 255) => "a is 5, 03.14 ff"
        ELT(2, 'a', 'b') => "b"
        ELT(3, 'a', 'b') => null
        JSON_QUOTE('a"b/é') => "\"a\\\"b\\/\\u00e9\""
        JSON_UNQUOTE('"a\u0041"') => "aA"
        JSON_UNQUOTE('abc') => "abc"
        MD5('abc') => "900150983cd24fb0d6963f7d28e17f72"
        SHA2('abc', 256) => "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        IS_ALPHA('abc') => true
        IS_ALPHA('') => false
        IS_ALPHA(CAST(NULL AS STRING)) => false
        IS_DIGIT('12') => true
        IS_DECIMAL('1.5') => true
        IS_DECIMAL('1e5') => true
        IS_DECIMAL('-3') => true
        IS_DECIMAL('') => false
        IS_DECIMAL('abc') => false
        TYPEOF(1) => "INT NOT NULL"
        TYPEOF('a') => "CHAR(1) NOT NULL"
        TYPEOF(1.5) => "DECIMAL(2, 1) NOT NULL"
        TYPEOF(CAST(1 AS BIGINT) + 1) => "BIGINT NOT NULL"
        TYPEOF(CURRENT_TIMESTAMP) => "TIMESTAMP_LTZ(3) NOT NULL"
        TYPEOF(LOCALTIMESTAMP) => "TIMESTAMP(3) NOT NULL"
        TYPEOF(CURRENT_TIME) => "TIME(0) NOT NULL"
        TYPEOF(NOW()) => "TIMESTAMP_LTZ(3) NOT NULL"
        TYPEOF(CURRENT_ROW_TIMESTAMP()) => "TIMESTAMP_LTZ(3) NOT NULL"
        TYPEOF(PROCTIME()) => ERROR
        TYPEOF(UNIX_TIMESTAMP()) => "BIGINT NOT NULL"
        TYPEOF(CHAR_LENGTH('a')) => "INT NOT NULL"
        TYPEOF(POSITION('a' IN 'b')) => "INT NOT NULL"
        TYPEOF(EXTRACT(YEAR FROM DATE '2020-01-01')) => "BIGINT NOT NULL"
        TYPEOF(YEAR(DATE '2020-01-01')) => "BIGINT NOT NULL"
        TYPEOF(CARDINALITY(ARRAY[1])) => "INT NOT NULL"
        TYPEOF(ROUND(1.567, 1)) => "DECIMAL(3, 1) NOT NULL"
        TYPEOF(ROUND(1.567)) => "DECIMAL(2, 0) NOT NULL"
        TYPEOF(ROUND(3)) => "INT NOT NULL"
        TYPEOF(FLOOR(1.5)) => "DECIMAL(2, 0) NOT NULL"
        TYPEOF(CEIL(3)) => "INT NOT NULL"
        TYPEOF(TRUNCATE(1.567, 1)) => "DECIMAL(3, 1) NOT NULL"
        TYPEOF(SIGN(-3)) => "INT NOT NULL"
        TYPEOF(ABS(-3)) => "INT NOT NULL"
        TYPEOF(POWER(2, 3)) => "DOUBLE NOT NULL"
        TYPEOF(MOD(5, 3)) => "INT NOT NULL"
        TYPEOF(HEX(5)) => "STRING NOT NULL"
        TYPEOF(ASCII('a')) => "INT NOT NULL"
        TYPEOF(UNHEX('41')) => "BYTES"
        TYPEOF(TO_TIMESTAMP('2020-01-01 00:00:00')) => "TIMESTAMP(3)"
        TYPEOF(TO_TIMESTAMP_LTZ(0, 3)) => "TIMESTAMP_LTZ(3)"
        TYPEOF(TO_TIMESTAMP_LTZ('2020-01-01 00:00:00')) => "TIMESTAMP_LTZ(3)"
        TYPEOF(TIMESTAMPDIFF(DAY, DATE '2020-01-01', DATE '2020-02-01')) => "INT NOT NULL"
        TYPEOF(TIMESTAMPADD(DAY, 1, DATE '2020-01-01')) => ERROR
        TYPEOF(TIMESTAMPADD(HOUR, 1, DATE '2020-01-01')) => "TIMESTAMP(6) NOT NULL"
        TYPEOF(REGEXP_COUNT('a','b')) => "INT"
        TYPEOF(JSON_VALUE('1','$' RETURNING INT)) => "INT"
        TYPEOF(LOG10(5)) => "DOUBLE NOT NULL"
        TYPEOF(BIN(5)) => "STRING NOT NULL"
        TYPEOF(RAND_INTEGER(5)) => "INT NOT NULL"
        TYPEOF(FLOOR(TIMESTAMP '2020-01-01 12:34:56' TO HOUR)) => "TIMESTAMP(0) NOT NULL"
        TYPEOF(COALESCE(1, CAST(2 AS BIGINT))) => "BIGINT NOT NULL"
        TYPEOF(IF(true, 1, 2.5)) => "DECIMAL(11, 1) NOT NULL"
        ROUND(2.5) => 3
        ROUND(-2.5) => -3
        ROUND(1234.567, -2) => 1200
        ROUND(2.675e0, 2) => 2.68
        ROUND(15, -1) => 20
        TRUNCATE(-1.567, 2) => -1.56
        TRUNCATE(42.324, -1) => 40
        TRUNCATE(42.324e0) => 42.0
        FLOOR(-1.5) => -2
        CEIL(-1.5e0) => -1.0
        SIGN(-2.5) => -1.0
        MOD(-5, 3) => -2
        MOD(5, -3) => 2
        -5 / 3 => -1
        LOG(8) => 2.0794415416798357
        LOG(2, 8) => 3.0
        LOG2(0) => "-Infinity"
        LN(-1) => "NaN"
        SQRT(-1) => "NaN"
        POWER(0, -1) => "Infinity"
        BIN(5) => "101"
        BIN(-1) => "1111111111111111111111111111111111111111111111111111111111111111"
        HEX(255) => "FF"
        HEX(-1) => "FFFFFFFFFFFFFFFF"
        HEX('abc') => "616263"
        UNHEX('4D7953514C') => "TXlTUUw="
        UNHEX('4D795351G') => null
        UNHEX('F') => "AA=="
        COT(1) => 0.6420926159343306
        SINH(1) => 1.1752011936438014
        TANH(1) => 0.7615941559557649
        COSH(1) => 1.543080634815244
        ATAN2(1, 2) => 0.4636476090008061
        PERCENTILE(1, 0.5) => 1.0
        GREATEST(1, NULL, 2) => ERROR
        GREATEST('a', 'b') => "b"
        LEAST(3, 1.5) => 1.5
        CONCAT('a', NULL) => ERROR
        CONCAT('a', 1) => ERROR
        'a' || 1 => ERROR
        CONCAT_WS(',', 'a', NULL, 'b') => ERROR
        CONCAT_WS(CAST(NULL AS STRING), 'a', 'b') => null
        NULLIF(1, 1) => null
        IFNULL(NULL, 5) => 5
        URL_ENCODE('a b&c=é/~*') => "a+b%26c%3D%C3%A9%2F%7E*"
        URL_DECODE('a+b%26c%3D%C3%A9') => "a b&c=é"
        URL_DECODE('%zz') => null
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'HOST') => "facebook.com"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'QUERY', 'k') => "v"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'FILE') => "/path/p1.php?query=1&k=v"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'AUTHORITY') => "user:pw@facebook.com:80"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'USERINFO') => "user:pw"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'PROTOCOL') => "http"
        PARSE_URL('http://facebook.com', 'PATH') => ""
        PARSE_URL('http://facebook.com', 'QUERY') => null
        SPLIT('a,b,,c', ',') => ["a","b","","c"]
        SPLIT('abc', '') => ["a","b","c"]
        SPLIT('', ',') => []
        TO_BASE64('héllo') => "aMOpbGxv"
        FROM_BASE64('aGVsbG8=') => "hello"
        FROM_BASE64('!!!') => ERROR
        ENCODE('aé', 'UTF-16') => "/v8AYQDp"
        ENCODE('aé', 'US-ASCII') => "YT8="
        DECODE(ENCODE('aé', 'UTF-16LE'), 'UTF-16LE') => "aé"
        REVERSE('añb') => "bña"
        REPEAT('ab', -1) => ""
        REPLACE('abc', '', 'x') => "xaxbxcx"
        STARTSWITH('abc', '') => true
        ENDSWITH('abc', 'bc') => true
        'abc' SIMILAR TO 'a(b|x)%' => true
        'abc' SIMILAR TO 'a_' => false
        'abc' LIKE 'a\_c' => false
        DATE_FORMAT(TIMESTAMP '2020-01-05 13:04:05.123', 'yyyy-MM-dd HH:mm:ss.SSS') => "2020-01-05 13:04:05.123"
        DATE_FORMAT('2020-01-05 13:04:05', 'EEE EEEE, d MMM MMMM yy h:m:s a D w') => "Sun Sunday, 5 Jan January 20 1:4:5 PM 5 2"
        DATE_FORMAT(TIMESTAMP '2020-01-05 13:04:05', 'b') => ERROR
        DATE_FORMAT(TIMESTAMP '2020-01-05 13:04:05.123456789', 'SSSSSS n ''at'' K k u e c Q') => "123456 123456789 at 1 13 2020 1 1 1"
        DATE_FORMAT(TO_TIMESTAMP_LTZ(0, 3), 'yyyy-MM-dd HH:mm:ss z Z XXX') => ERROR
        DATE_FORMAT(TIMESTAMP '2020-01-05 13:04:05', 'YYYY') => "2020"
        DATE_FORMAT('garbage', 'yyyy') => null
        TO_DATE('2020-1-5') => "2020-01-05"
        TO_DATE('20200105', 'yyyyMMdd') => "2020-01-05"
        TO_DATE('xx') => null
        TO_TIMESTAMP('2020-01-05') => "2020-01-05T00:00"
        TO_TIMESTAMP('2020-01-05 13:04:05.123456') => "2020-01-05T13:04:05.123"
        TO_TIMESTAMP('2020-01-05T13:04:05') => null
        TO_TIMESTAMP('05/01/2020 13:04', 'dd/MM/yyyy HH:mm') => "2020-01-05T13:04"
        TO_TIMESTAMP('2020-01-05 1:04:05 PM', 'yyyy-MM-dd h:mm:ss a') => "2020-01-05T13:04:05"
        TO_TIMESTAMP('bad') => null
        TO_TIMESTAMP('2020-02-30 00:00:00') => "2020-02-29T00:00"
        TO_TIMESTAMP_LTZ(1000, 0) => "1970-01-01T00:16:40Z"
        TO_TIMESTAMP_LTZ(1000, 3) => "1970-01-01T00:00:01Z"
        TO_TIMESTAMP_LTZ(1000) => "1970-01-01T00:00:01Z"
        TO_TIMESTAMP_LTZ(1000, 2) => "1970-01-01T00:00:10Z"
        TO_TIMESTAMP_LTZ(1.5, 0) => "1970-01-01T00:00:01Z"
        TO_TIMESTAMP_LTZ('2020-01-01 00:00:00') => "2020-01-01T00:00:00Z"
        TO_TIMESTAMP_LTZ('01/02/2020', 'dd/MM/yyyy') => "2020-02-01T00:00:00Z"
        TO_TIMESTAMP_LTZ('2020-01-01 00:00:00', 'yyyy-MM-dd HH:mm:ss', 'Asia/Shanghai') => "2019-12-31T16:00:00Z"
        UNIX_TIMESTAMP('1970-01-01 00:01:40') => 100
        UNIX_TIMESTAMP('1970-01-01', 'yyyy-MM-dd') => 0
        UNIX_TIMESTAMP('bad') => -9223372036854775808
        FROM_UNIXTIME(100) => "1970-01-01 00:01:40"
        FROM_UNIXTIME(100, 'HH') => "00"
        FROM_UNIXTIME(-1) => "1969-12-31 23:59:59"
        CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles') => "1969-12-31 16:00:00"
        CONVERT_TZ('2024-03-31 02:30:00', 'Europe/Berlin', 'UTC') => "2024-03-31 01:30:00"
        CONVERT_TZ('2024-10-27 02:30:00', 'Europe/Berlin', 'UTC') => "2024-10-27 01:30:00"
        CONVERT_TZ('1970-01-01', 'UTC', 'Asia/Tokyo') => null
        EXTRACT(DOW FROM DATE '2020-01-05') => 1
        EXTRACT(ISODOW FROM DATE '2020-01-05') => 7
        EXTRACT(WEEK FROM DATE '2021-01-03') => 53
        EXTRACT(EPOCH FROM TIMESTAMP '1970-01-01 00:00:10.5') => 10
        EXTRACT(MILLISECOND FROM TIMESTAMP '1970-01-01 00:00:10.567') => 567
        EXTRACT(CENTURY FROM DATE '2020-01-05') => 21
        EXTRACT(DECADE FROM DATE '2020-01-05') => 202
        EXTRACT(DOY FROM DATE '2020-02-05') => 36
        DAYOFWEEK(DATE '2020-01-05') => 1
        WEEK(DATE '2021-01-03') => 53
        QUARTER(DATE '2021-04-03') => 2
        HOUR(TIMESTAMP '2020-01-01 13:04:05') => 13
        SECOND(TIME '13:04:05') => 5
        FLOOR(TIMESTAMP '2020-08-15 12:34:56.789' TO DAY) => "2020-08-15T00:00"
        FLOOR(TIMESTAMP '2020-08-15 12:34:56.789' TO WEEK) => "2020-08-09T00:00"
        FLOOR(DATE '2020-08-15' TO QUARTER) => "2020-07-01"
        CEIL(DATE '2020-08-15' TO MONTH) => "2020-09-01"
        CEIL(TIMESTAMP '2020-08-15 12:34:56.789' TO MINUTE) => "2020-08-15T12:35"
        CEIL(TIMESTAMP '2020-08-15 12:00:00' TO HOUR) => "2020-08-15T12:00"
        CEIL(TIMESTAMP '2020-08-15 12:34:56.789' TO YEAR) => "2021-01-01T00:00"
        CEIL(TIMESTAMP '2020-08-15 12:34:56.789' TO WEEK) => "2020-08-16T00:00"
        FLOOR(TIME '12:34:56' TO MINUTE) => "12:34"
        CEIL(TIME '12:34:56' TO HOUR) => "13:00"
        TIMESTAMPADD(MONTH, 1, TIMESTAMP '2020-01-31 10:00:00') => "2020-02-29T10:00"
        TIMESTAMPADD(WEEK, 1, DATE '2020-01-31') => "2020-02-07"
        TIMESTAMPADD(QUARTER, 1, DATE '2020-01-31') => "2020-04-30"
        TIMESTAMPADD(SECOND, 1, DATE '2020-01-31') => "2020-01-31T00:00:01"
        TIMESTAMPADD(SECOND, 1, TIMESTAMP '2020-01-31 10:00:00.5') => "2020-01-31T10:00:01.500"
        TIMESTAMPDIFF(MONTH, TIMESTAMP '2020-01-31 10:00:00', TIMESTAMP '2020-02-29 10:00:00') => 1
        TIMESTAMPDIFF(DAY, TIMESTAMP '2020-01-31 10:00:00', TIMESTAMP '2020-01-30 11:00:00') => 0
        TIMESTAMPDIFF(HOUR, TIMESTAMP '2020-01-31 10:00:00', TIMESTAMP '2020-01-30 11:30:00') => -22
        TIMESTAMPDIFF(YEAR, DATE '2020-02-29', DATE '2021-02-28') => 1
        TIMESTAMPDIFF(SECOND, DATE '2020-02-29', TIMESTAMP '2020-02-29 00:00:01.9') => 1
        CAST(TRUE AS STRING) => "TRUE"
        CAST(TIMESTAMP '2020-01-01 00:00:00.12' AS STRING) => "2020-01-01 00:00:00.12"
        CAST(TIMESTAMP '2020-01-01 00:00:00' AS STRING) => "2020-01-01 00:00:00"
        CAST(CAST('2020-01-01 00:00:00.1' AS TIMESTAMP(6)) AS STRING) => "2020-01-01 00:00:00.100000"
        CAST(CAST('2020-01-01 00:00:00.1' AS TIMESTAMP(0)) AS STRING) => "2020-01-01 00:00:00"
        CAST(TO_TIMESTAMP_LTZ(1, 3) AS STRING) => "1970-01-01 00:00:00.001"
        CAST(1e0 AS STRING) => "1.0"
        CAST(1e10 AS STRING) => "1.0E10"
        CAST(1.5e-5 AS STRING) => "1.5E-5"
        CAST(123456789.5e0 AS STRING) => "1.234567895E8"
        CAST(CAST(1.1 AS FLOAT) AS STRING) => "1.1"
        CAST(1.50 AS STRING) => "1.50"
        CAST(1e0/0 AS STRING) => "Infinity"
        CAST(X'41ff' AS STRING) => "A�"
        CAST('abc' AS BYTES) => "YWJj"
        CAST(DATE '2020-01-01' AS STRING) => "2020-01-01"
        CAST(TIME '10:11:12' AS STRING) => "10:11:12"
        CAST(ARRAY[1,2,NULL] AS STRING) => "[1, 2, NULL]"
        CAST(MAP['a',1,'b',2] AS STRING) => "{a=1, b=2}"
        CAST(ROW(1,'a',true) AS STRING) => "(1, a, TRUE)"
        CAST(ARRAY['a','b'] AS STRING) => "[a, b]"
        CAST(INTERVAL '5' DAY AS STRING) => "+5 00:00:00.000"
        CAST(INTERVAL '14' MONTH AS STRING) => "+1-02"
        CAST(' 12 ' AS INT) => 12
        CAST('12.7' AS INT) => 12
        CAST('abc' AS INT) => ERROR
        CAST('' AS INT) => ERROR
        CAST('+5' AS INT) => 5
        CAST('1e3' AS INT) => ERROR
        CAST('1e3' AS DOUBLE) => 1000.0
        CAST('NaN' AS DOUBLE) => "NaN"
        CAST('Infinity' AS DOUBLE) => "Infinity"
        CAST('1d' AS DOUBLE) => 1.0
        CAST('99999999999' AS INT) => ERROR
        CAST('128' AS TINYINT) => ERROR
        CAST(128 AS TINYINT) => -128
        CAST(99999999999 AS INT) => 1215752191
        CAST(1e20 AS BIGINT) => 9223372036854775807
        CAST(3.99e0 AS INT) => 3
        CAST(-3.99 AS INT) => -3
        CAST(300.5 AS TINYINT) => 44
        CAST(99999999999.5 AS INT) => 1215752191
        CAST(1.255 AS DECIMAL(3,2)) => 1.26
        CAST(-1.255 AS DECIMAL(3,2)) => -1.26
        CAST(123.45 AS DECIMAL(3,2)) => ERROR
        CAST(2.5e0 AS DECIMAL(5,0)) => 3
        CAST('1.255' AS DECIMAL(3,2)) => 1.26
        CAST('abc' AS DECIMAL(3,2)) => ERROR
        CAST('1234' AS DECIMAL(3,2)) => ERROR
        CAST('t' AS BOOLEAN) => true
        CAST('yes' AS BOOLEAN) => true
        CAST('1' AS BOOLEAN) => true
        CAST('TRUE ' AS BOOLEAN) => ERROR
        CAST('x' AS BOOLEAN) => ERROR
        CAST('on' AS BOOLEAN) => ERROR
        CAST(2 AS BOOLEAN) => true
        CAST(0.0 AS BOOLEAN) => false
        CAST(TRUE AS INT) => 1
        CAST(TRUE AS DOUBLE) => 1.0
        CAST('2020-01-01' AS DATE) => "2020-01-01"
        CAST('2020-1-1' AS DATE) => "2020-01-01"
        CAST('2020' AS DATE) => "2020-01-01"
        CAST('2020-01' AS DATE) => "2020-01-01"
        CAST('2020-01-01 10:00:00' AS DATE) => "2020-01-01"
        CAST('2020-01-32' AS DATE) => ERROR
        CAST('10:11:12' AS TIME) => "10:11:12"
        CAST('10:11' AS TIME) => "10:11"
        CAST('10:11:12.567' AS TIME) => "10:11:12"
        CAST('2020-01-01 10:11:12' AS TIMESTAMP) => "2020-01-01T10:11:12"
        CAST('2020-01-01T10:11:12' AS TIMESTAMP) => ERROR
        CAST('2020-01-01 10:11:12Z' AS TIMESTAMP) => ERROR
        CAST('2020-01-01 10:11' AS TIMESTAMP) => ERROR
        CAST('2020-01-01' AS TIMESTAMP) => "2020-01-01T00:00"
        CAST('2020-01-01 10:11:12.987654' AS TIMESTAMP(3)) => "2020-01-01T10:11:12.987"
        CAST('2020-01-01 10:11:12' AS TIMESTAMP_LTZ(3)) => "2020-01-01T10:11:12Z"
        CAST(DATE '2020-01-01' AS TIMESTAMP) => "2020-01-01T00:00"
        CAST(TIMESTAMP '2020-01-01 10:11:12' AS DATE) => "2020-01-01"
        CAST(TIMESTAMP '2020-01-01 10:11:12' AS TIME) => "10:11:12"
        CAST(TIMESTAMP '2020-01-01 10:11:12.987' AS TIMESTAMP(0)) => "2020-01-01T10:11:12"
        CAST(CAST(0 AS INT) AS TIMESTAMP) => ERROR
        CAST(TIMESTAMP '2020-01-01 10:11:12' AS BIGINT) => ERROR
        CAST(TIME '10:11:12' AS TIMESTAMP) => "1970-01-01T10:11:12"
        CAST('abc' AS CHAR(2)) => "ab"
        CAST('abc' AS CHAR(5)) => "abc  "
        CAST('abc' AS VARCHAR(2)) => "ab"
        CAST(12345 AS VARCHAR(2)) => "12"
        CAST(DATE '2020-01-01' AS INT) => ERROR
        TRY_CAST('abc' AS INT) => null
        TRY_CAST('2020-13-01' AS DATE) => null
        CAST(ARRAY[1,2] AS ARRAY<STRING>) => ["1","2"]
        CAST(1 AS TIMESTAMP_LTZ(3)) => ERROR
        CARDINALITY(ARRAY[1,NULL]) => 2
        CARDINALITY(MAP['a',1]) => 1
        ELEMENT(ARRAY[1]) => 1
        ELEMENT(ARRAY[1,2]) => ERROR
        ARRAY[1,2,3][2] => 2
        ARRAY[1,2,3][5] => -1
        ARRAY[1,2,3][0] => ERROR
        ARRAY[1,2,3][-1] => ERROR
        MAP['a',1]['b'] => -1
        ARRAY_CONTAINS(ARRAY[1,NULL], NULL) => true
        ARRAY_CONTAINS(ARRAY[1,2], NULL) => false
        ARRAY_CONTAINS(ARRAY[1,2], 2) => true
        ARRAY_APPEND(ARRAY[1], NULL) => [1,null]
        ARRAY_APPEND(CAST(NULL AS ARRAY<INT>), 1) => null
        ARRAY_PREPEND(ARRAY[1], 0) => [0,1]
        ARRAY_DISTINCT(ARRAY[3,1,3,NULL,NULL]) => [3,1,null]
        ARRAY_POSITION(ARRAY[3,1,3], 3) => 1
        ARRAY_POSITION(ARRAY[3,NULL], NULL) => null
        ARRAY_POSITION(ARRAY[3,1], 7) => 0
        ARRAY_REMOVE(ARRAY[3,1,3,NULL], 3) => [1,null]
        ARRAY_REMOVE(ARRAY[3,1,NULL], NULL) => [3,1]
        ARRAY_REVERSE(ARRAY[3,1,NULL]) => [null,1,3]
        ARRAY_SLICE(ARRAY[1,2,3,4,5], 2, 4) => [2,3,4]
        ARRAY_SLICE(ARRAY[1,2,3,4,5], -2) => [4,5]
        ARRAY_SLICE(ARRAY[1,2,3,4,5], 0, 2) => [1,2]
        ARRAY_SLICE(ARRAY[1,2,3,4,5], 4, 2) => []
        ARRAY_SLICE(ARRAY[1,2,3,4,5], 2, -2) => [2,3,4]
        ARRAY_SLICE(ARRAY[1,2,3], -10, 2) => [1,2]
        ARRAY_SORT(ARRAY[3,NULL,1]) => [null,1,3]
        ARRAY_SORT(ARRAY[3,NULL,1], false) => [3,1,null]
        ARRAY_SORT(ARRAY[3,NULL,1], true, false) => [1,3,null]
        ARRAY_SORT(ARRAY[3,NULL,1], false, true) => [null,3,1]
        ARRAY_UNION(ARRAY[1,2,2], ARRAY[3,NULL,1]) => [1,2,3,null]
        ARRAY_CONCAT(ARRAY[1], ARRAY[2], ARRAY[NULL]) => ERROR
        ARRAY_EXCEPT(ARRAY[1,2,2,3], ARRAY[2]) => [1,3]
        ARRAY_INTERSECT(ARRAY[1,2,2,3], ARRAY[2,3]) => [2,3]
        ARRAY_MAX(ARRAY[1,NULL,3]) => 3
        ARRAY_MIN(ARRAY[1,NULL,3]) => 1
        ARRAY_JOIN(ARRAY['a',NULL,'c'], '-') => "a-c"
        ARRAY_JOIN(ARRAY['a',NULL,'c'], '-', '?') => "a-?-c"
        MAP_KEYS(MAP['a',1,'b',2]) => ["a","b"]
        MAP_VALUES(MAP['a',1,'b',2]) => [1,2]
        MAP_ENTRIES(MAP['a',1,'b',2]) => [{"f0":"a","f1":1},{"f0":"b","f1":2}]
        MAP_FROM_ARRAYS(ARRAY['a','b'], ARRAY[1,2]) => {"a":1,"b":2}
        MAP_FROM_ARRAYS(ARRAY['a','b'], ARRAY[1]) => ERROR
        MAP_UNION(MAP['a',1], MAP['a',2,'b',3]) => {"a":2,"b":3}
        MAP['a',1,'a',2] => {"a":2}
        '{"a":1}' IS JSON => true
        'x' IS JSON => false
        '[1]' IS JSON ARRAY => true
        '1' IS JSON SCALAR => true
        '{}' IS NOT JSON OBJECT => false
        CAST(NULL AS STRING) IS JSON => false
        '' IS JSON => false
        JSON_EXISTS('{"a":{"b":1}}', '$.a.b') => true
        JSON_EXISTS('{"a":1}', 'strict $.b') => false
        JSON_EXISTS('{"a":1}', 'strict $.b' TRUE ON ERROR) => true
        JSON_EXISTS('x', '$.b') => false
        JSON_EXISTS('x', 'lax $.b') => false
        JSON_VALUE('{"a":1}', '$.a') => "1"
        JSON_VALUE('{"a":1.50}', '$.a') => "1.50"
        JSON_VALUE('{"a":true}', '$.a') => "true"
        JSON_VALUE('{"a":null}', '$.a') => null
        JSON_VALUE('{"a":{"b":1}}', '$.a') => null
        JSON_VALUE('{"a":{"b":1}}', 'strict $.a' DEFAULT 'e' ON ERROR) => "e"
        JSON_VALUE('{"a":1}', '$.b' DEFAULT 'none' ON EMPTY) => null
        JSON_VALUE('{"a":1}', 'strict $.b' DEFAULT 'err' ON ERROR) => "err"
        JSON_VALUE('{"a":1}', 'strict $.b') => null
        JSON_VALUE('{"a":1}', 'strict $.b' ERROR ON ERROR) => ERROR
        JSON_VALUE('{"a":1}', '$.b' ERROR ON EMPTY) => null
        JSON_VALUE('{"a":"12"}', '$.a' RETURNING INT) => ERROR
        JSON_VALUE('{"a":12.7}', '$.a' RETURNING INT) => ERROR
        JSON_VALUE('{"a":12}', '$.a' RETURNING DOUBLE) => ERROR
        JSON_VALUE('{"a":"x"}', '$.a' RETURNING INT) => ERROR
        JSON_VALUE('{"a":"x"}', '$.a' RETURNING INT DEFAULT 5 ON ERROR) => ERROR
        JSON_VALUE('{"a":true}', '$.a' RETURNING BOOLEAN) => true
        JSON_VALUE('bad', '$.a') => null
        JSON_VALUE('bad', 'strict $.a' ERROR ON ERROR) => ERROR
        JSON_VALUE('{"a":[1,2]}', '$.a[*]') => null
        JSON_VALUE('{"a":[1,2]}', '$.a[0]') => "1"
        JSON_VALUE('{"a":[{"b":1},{"b":2}]}', '$.a[?(@.b==2)].b') => null
        JSON_QUERY('{"a":{"b":1}}', '$.a') => "{\"b\":1}"
        JSON_QUERY('{"a":1}', '$.a') => null
        JSON_QUERY('{"a":1}', '$.a' WITH WRAPPER) => "[1]"
        JSON_QUERY('{"a":[1,2]}', '$.a' WITH CONDITIONAL WRAPPER) => "[1,2]"
        JSON_QUERY('{"a":1}', '$.a' WITH CONDITIONAL ARRAY WRAPPER) => "[1]"
        JSON_QUERY('{"a":1}', '$.b' EMPTY ARRAY ON EMPTY) => null
        JSON_QUERY('{"a":1}', 'strict $.b' EMPTY OBJECT ON ERROR) => "{}"
        JSON_QUERY('{"a":["x","y"]}', '$.a' RETURNING ARRAY<STRING>) => ["x","y"]
        JSON_QUERY('{"a": [ 1 , 2.50 ] }', '$') => "{\"a\":[1,2.50]}"
        JSON_STRING(1) => "1"
        JSON_STRING('a"b') => "\"a\\\"b\""
        JSON_STRING(1.50) => "1.50"
        JSON_STRING(1e0) => "1.0"
        JSON_STRING(1e20) => "1.0E+20"
        JSON_STRING(TRUE) => "true"
        JSON_STRING(CAST(NULL AS INT)) => null
        JSON_STRING(TIMESTAMP '2020-01-01 10:00:00') => "\"2020-01-01T10:00:00\""
        JSON_STRING(DATE '2020-01-01') => ERROR
        JSON_STRING(TO_TIMESTAMP_LTZ(0,3)) => "\"1970-01-01T00:00:00Z\""
        JSON_STRING(ARRAY[1,NULL]) => "[1,null]"
        JSON_STRING(MAP['a',1]) => "{\"a\":1}"
        JSON_STRING(ROW(1,'a')) => "{\"EXPR$0\":1,\"EXPR$1\":\"a\"}"
        JSON_OBJECT() => "{}"
        JSON_OBJECT('a' VALUE 1, 'b' VALUE 'x') => "{\"a\":1,\"b\":\"x\"}"
        JSON_OBJECT(KEY 'a' VALUE CAST(NULL AS INT) ABSENT ON NULL) => "{}"
        JSON_OBJECT(KEY 'a' VALUE CAST(NULL AS INT)) => "{\"a\":null}"
        JSON_OBJECT('a' VALUE JSON_OBJECT('b' VALUE 1.5e0)) => "{\"a\":{\"b\":1.5}}"
        JSON_OBJECT('a': 1) => "{\"a\":1}"
        JSON_ARRAY(1, 'x', CAST(NULL AS INT)) => "[1,\"x\"]"
        JSON_ARRAY(1, CAST(NULL AS INT) NULL ON NULL) => "[1,null]"
        JSON_ARRAY(JSON_ARRAY(1)) => "[[1]]"
        JSON_ARRAY() => "[]"
        "#,
    );
}
