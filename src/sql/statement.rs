//! What a statement says, before names are resolved.
//!
//! Names and options keep their places in the text, so that errors point at them long after parsing; an option also keeps
//! how it was written, with its variables. Queries stay the trees of `sqlparser`.

use std::ops::Range;

use sqlparser::ast;

use super::types::SqlType;
use crate::error::Span;

/// A statement and its place in the script.
#[derive(Debug, Clone)]
pub struct Statement {
    /// From its first token to its last (without the semicolon).
    pub span: Span,
    /// The same as byte offsets into the script's text.
    pub range: Range<usize>,
    /// What it says.
    pub kind: StatementKind,
}

/// The statements of the dialect.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "made once a statement, never moved in bulk")]
pub enum StatementKind {
    /// `CREATE TABLE`.
    CreateTable(CreateTable),
    /// `CREATE VIEW`.
    CreateView(CreateView),
    /// `DROP TABLE | VIEW`.
    Drop(Drop),
    /// `CREATE FUNCTION`.
    CreateFunction(Box<CreateFunction>),
    /// `DROP FUNCTION`.
    DropFunction(DropFunction),
    /// `ALTER FUNCTION name RELOAD`.
    ReloadFunction(TableName),
    /// `DESCRIBE FUNCTION [EXTENDED] name`.
    DescribeFunction {
        /// Which one.
        name: TableName,
        /// With its options and where it comes from.
        extended: bool,
    },
    /// Catalogs and databases.
    Catalog(CatalogStatement),
    /// `DESCRIBE CATALOG [EXTENDED] c`.
    DescribeCatalog {
        /// Which one.
        name: Name,
        /// With its options.
        extended: bool,
    },
    /// `DESCRIBE DATABASE [EXTENDED] db`.
    DescribeDatabase {
        /// Which one.
        name: TableName,
        /// With its properties.
        extended: bool,
    },
    /// `ALTER TABLE | VIEW`.
    Alter(Alter),
    /// `USE CATALOG c`.
    UseCatalog(Name),
    /// `USE [c.]db`.
    Use(TableName),
    /// `SET 'key' = 'value'`.
    Set {
        /// Key, as written.
        key: Name,
        /// Value, as written.
        value: String,
    },
    /// `SET`: lists the settings.
    ShowSettings,
    /// `RESET 'key'`, or all with `None`.
    Reset(Option<Name>),
    /// `SHOW ...`.
    Show(Show),
    /// `DESCRIBE t`.
    Describe(TableName),
    /// `DESCRIBE EXTENDED t`: with the comments.
    DescribeExtended(TableName),
    /// `DESCRIBE 'file.csv'`.
    DescribeFile(Name),
    /// `EXPLAIN [details] statement`.
    Explain {
        /// Upper-case details such as `CHANGELOG_MODE`.
        details: Vec<Name>,
        /// What is explained: a query, an INSERT or a statement set.
        statement: Box<StatementKind>,
    },
    /// `EXPLAIN ANALYZE statement`: runs it and shows what each operator did.
    ExplainAnalyze {
        /// Place of the keyword ANALYZE.
        span: Span,
        /// What is run: a query, an INSERT or a statement set.
        statement: Box<StatementKind>,
    },
    /// `DESCRIBE JOB 'id'`.
    DescribeJob(Name),
    /// `SUMMARIZE t`, `SUMMARIZE 'file.csv'`, `SUMMARIZE query`: figures of each column.
    Summarize(Box<ast::Query>),
    /// `COPY (query) TO 'file'`, `COPY table TO 'file'`
    Copy {
        /// What is copied.
        query: Box<ast::Query>,
        /// The file.
        to: Name,
    },
    /// `SHOW CACHES`, `CLEAR CACHE t`, `EXPLAIN LOOKUP t FOR (...)` and the like.
    Cache(CacheStatement),
    /// `INSERT INTO`.
    Insert(Insert),
    /// `EXECUTE STATEMENT SET BEGIN ... END`.
    StatementSet(Vec<Insert>),
    /// `SELECT`, `WITH`, `VALUES`.
    Query(Box<ast::Query>),
    /// `STOP JOB 'id' [WITH SAVEPOINT [WITH DRAIN]]`.
    StopJob {
        /// Which job.
        id: Name,
        /// A savepoint is made of it.
        savepoint: bool,
        /// Its sources end first, so that everything is given out.
        drain: bool,
    },
    /// `QUIT` or `EXIT`: the shell ends, a script stops here.
    Quit,
    /// `CLEAR`: clears the screen of the shell.
    Clear,
    /// `HELP`.
    Help,
}

/// A statement about the caches of lookup tables.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "made once a statement, never moved in bulk")]
pub enum CacheStatement {
    /// `SHOW CACHES`.
    Show,
    /// `DESCRIBE CACHE t`.
    Describe(TableName),
    /// `CLEAR CACHE t [WHERE condition]`.
    Clear {
        /// The table.
        table: TableName,
        /// Names one key.
        condition: Option<SqlExpression>,
    },
    /// `WARM CACHE t FROM (query)`.
    Warm {
        /// The table.
        table: TableName,
        /// Gives the keys.
        query: Box<ast::Query>,
        /// As written.
        text: String,
        /// Place of the query.
        span: Span,
    },
    /// `EXPLAIN LOOKUP t FOR (value, ...)`.
    ExplainLookup {
        /// The table.
        table: TableName,
        /// Values of the key, or `column = value`.
        key: Vec<SqlExpression>,
    },
}

/// CREATE, DROP and ALTER of catalogs and databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogStatement {
    /// `CREATE CATALOG`.
    CreateCatalog {
        /// Name.
        name: Name,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
        /// `COMMENT`.
        comment: Option<String>,
        /// `WITH`.
        options: Vec<OptionEntry>,
    },
    /// `CREATE DATABASE`.
    CreateDatabase {
        /// Name.
        name: TableName,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
        /// `COMMENT`.
        comment: Option<String>,
        /// `WITH`.
        properties: Vec<OptionEntry>,
    },
    /// `DROP CATALOG`.
    DropCatalog {
        /// Name.
        name: Name,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `DROP DATABASE`.
    DropDatabase {
        /// Name.
        name: TableName,
        /// `IF EXISTS`.
        if_exists: bool,
        /// `CASCADE`: with what is in it.
        cascade: bool,
    },
    /// `ALTER CATALOG`.
    AlterCatalog {
        /// Name.
        name: Name,
        /// What changes.
        change: CatalogChange,
    },
    /// `ALTER DATABASE name SET (...)`.
    AlterDatabase {
        /// Name.
        name: TableName,
        /// What is set.
        properties: Vec<OptionEntry>,
    },
}

/// What ALTER CATALOG changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogChange {
    /// `SET (...)`.
    Set(Vec<OptionEntry>),
    /// `RESET (...)`.
    Reset(Vec<Name>),
    /// `COMMENT '...'`.
    Comment(String),
}

/// A word with its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// The word, without quotes.
    pub value: String,
    /// Its place.
    pub span: Span,
}

/// A table's name: `t`, `db.t` or `catalog.db.t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The parts, last one the table.
    pub parts: Vec<Name>,
}

impl TableName {
    /// Where it stands.
    pub fn span(&self) -> Span {
        self.parts.iter().map(|p| p.span).reduce(Span::union).unwrap_or_default()
    }
}

/// `'key' = 'value'` with its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionEntry {
    /// Key.
    pub key: Name,
    /// Value.
    pub value: Name,
    /// The value as it was written, where variables are part of it: `${NAME}`.
    pub written: Option<String>,
}

/// `CREATE [TEMPORARY] TABLE [IF NOT EXISTS] name (...) ... WITH (...) [LIKE ...]`.
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// Name.
    pub name: TableName,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `TEMPORARY`.
    pub temporary: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Columns in order.
    pub columns: Vec<ColumnDef>,
    /// Columns of the query of CREATE TABLE AS in the table's order: names without types.
    pub listed: Vec<Name>,
    /// `WATERMARK FOR column AS expression`.
    pub watermark: Option<WatermarkDef>,
    /// `PRIMARY KEY (...) NOT ENFORCED`, from either place.
    pub primary_key: Option<Vec<Name>>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `PARTITIONED BY`.
    pub partitioned_by: Vec<Name>,
    /// `WITH`.
    pub options: Vec<OptionEntry>,
    /// `LIKE`.
    pub like: Option<Like>,
    /// `AS SELECT`.
    pub query: Option<Box<ast::Query>>,
}

impl CreateTable {
    /// `CREATE TABLE name WITH (...)`: its columns are to be found out.
    pub(crate) fn without_columns(name: TableName, options: Vec<OptionEntry>) -> Self {
        Self {
            name,
            or_replace: false,
            temporary: false,
            if_not_exists: false,
            columns: Vec::new(),
            listed: Vec::new(),
            watermark: None,
            primary_key: None,
            comment: None,
            partitioned_by: Vec::new(),
            options,
            like: None,
            query: None,
        }
    }
}

/// A column of `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    /// Name.
    pub name: Name,
    /// Physical, metadata or computed.
    pub kind: ColumnKind,
    /// `COMMENT`.
    pub comment: Option<String>,
}

/// `ALTER TABLE | VIEW [IF EXISTS] name change`.
#[derive(Debug, Clone)]
pub struct Alter {
    /// A view, else a table.
    pub view: bool,
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// Name.
    pub name: TableName,
    /// What changes.
    pub change: Change,
}

/// What ALTER changes.
#[derive(Debug, Clone)]
pub enum Change {
    /// `RENAME TO name`.
    Rename(TableName),
    /// `SET ('key' = 'value', ...)`.
    Set(Vec<OptionEntry>),
    /// `RESET ('key', ...)`.
    Reset(Vec<Name>),
    /// `RENAME column TO name`.
    RenameColumn(Name, Name),
    /// `ADD element` or `ADD (elements)`.
    Add(Added),
    /// `MODIFY element` or `MODIFY (elements)`.
    Modify(Added),
    /// `DROP column` or `DROP (columns)`.
    DropColumns(Vec<Name>),
    /// `DROP PRIMARY KEY`, `DROP CONSTRAINT name`.
    DropPrimaryKey,
    /// `DROP WATERMARK`.
    DropWatermark,
    /// `AS query`, of a view.
    Query {
        /// The query.
        query: Box<ast::Query>,
        /// As written.
        text: String,
    },
}

/// Columns, a watermark, a key that ALTER TABLE adds or changes.
#[derive(Debug, Clone)]
pub struct Added {
    /// Columns.
    pub columns: Vec<ColumnDef>,
    /// Where some of them go, by name; others keep their place or go last.
    pub places: Vec<(String, Placement)>,
    /// `WATERMARK FOR`.
    pub watermark: Option<WatermarkDef>,
    /// `PRIMARY KEY`.
    pub primary_key: Option<Vec<Name>>,
}

/// Where a column goes.
#[derive(Debug, Clone)]
pub enum Placement {
    /// `FIRST`.
    First,
    /// `AFTER column`.
    After(Name),
}

/// Where a column's values come from.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "made once a statement, never moved in bulk")]
pub enum ColumnKind {
    /// In the record: `name TYPE [NOT NULL]`.
    Physical {
        /// Declared type.
        data_type: SqlType,
        /// False after NOT NULL.
        nullable: bool,
    },
    /// From the connector: `name TYPE METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata {
        /// Declared type.
        data_type: SqlType,
        /// False after NOT NULL.
        nullable: bool,
        /// The key, when it is not the column's name.
        key: Option<Name>,
        /// Read only.
        is_virtual: bool,
    },
    /// From the other columns: `name AS expression`.
    Computed {
        /// The expression.
        expression: SqlExpression,
    },
}

/// An expression with its text, so that SHOW CREATE TABLE can print it as it was written.
#[derive(Debug, Clone)]
pub struct SqlExpression {
    /// Parsed.
    pub expr: ast::Expr,
    /// As written.
    pub text: String,
    /// Place.
    pub span: Span,
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone)]
pub struct WatermarkDef {
    /// The rowtime column.
    pub column: Name,
    /// The watermark of a row.
    pub expression: SqlExpression,
    /// Of the whole clause.
    pub span: Span,
}

/// `LIKE table (options)`.
#[derive(Debug, Clone)]
pub struct Like {
    /// The model.
    pub table: TableName,
    /// What is taken over, in the order written; without entries `INCLUDING ALL OVERWRITING OPTIONS`.
    pub rules: Vec<(LikeMode, LikeFeature)>,
}

/// How a feature is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeMode {
    /// Duplicates are an error.
    Including,
    /// Left out.
    Excluding,
    /// The new one wins.
    Overwriting,
}

/// A feature of the model table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeFeature {
    /// All of the others.
    All,
    /// Primary key.
    Constraints,
    /// Bucketing (nothing here).
    Distribution,
    /// Computed columns.
    Generated,
    /// Metadata columns.
    Metadata,
    /// WITH options.
    Options,
    /// PARTITIONED BY.
    Partitions,
    /// Watermark.
    Watermarks,
}

/// `CREATE [TEMPORARY] VIEW [IF NOT EXISTS] name [(columns)] [COMMENT] AS query`.
#[derive(Debug, Clone)]
pub struct CreateView {
    /// Name.
    pub name: TableName,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `TEMPORARY`.
    pub temporary: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Column names, empty to take the query's.
    pub columns: Vec<Name>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// The query.
    pub query: Box<ast::Query>,
    /// The query as written.
    pub text: String,
}

/// `DROP [TEMPORARY] TABLE | VIEW [IF EXISTS] name`.
#[derive(Debug, Clone)]
pub struct Drop {
    /// A view, else a table.
    pub view: bool,
    /// `TEMPORARY`.
    pub temporary: bool,
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// Name.
    pub name: TableName,
}

/// `CREATE [OR REPLACE] [TEMPORARY [SYSTEM]] [AGGREGATE] FUNCTION [IF NOT EXISTS] name ...`.
#[derive(Debug, Clone)]
pub struct CreateFunction {
    /// Name.
    pub name: TableName,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `TEMPORARY`.
    pub temporary: bool,
    /// `SYSTEM`: stands in the place of a built-in function of the same name.
    pub system: bool,
    /// `AGGREGATE`.
    pub aggregate: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// `(name type [DEFAULT literal], ...)`; `None` where the code states them.
    pub parameters: Option<Vec<FunctionParameter>>,
    /// `RETURNS type | TABLE (...)`.
    pub returns: Option<FunctionReturns>,
    /// What it does.
    pub body: Option<FunctionBody>,
    /// `LANGUAGE`.
    pub language: Option<Name>,
    /// Equal arguments give equal results, as far as it is declared.
    pub deterministic: Option<bool>,
    /// `STRICT` or `RETURNS NULL ON NULL INPUT`: a NULL argument gives NULL without a call.
    pub strict: Option<bool>,
    /// `USING FILE 'path', ...`: the word in front and the path.
    pub using: Vec<(Name, Name)>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `WITH`.
    pub options: Vec<OptionEntry>,
    /// Place of the whole statement.
    pub span: Span,
}

/// A parameter of `CREATE FUNCTION`.
#[derive(Debug, Clone)]
pub struct FunctionParameter {
    /// Name; PostgreSQL's form has none.
    pub name: Option<Name>,
    /// Type.
    pub data_type: SqlType,
    /// `DEFAULT literal`.
    pub default: Option<SqlExpression>,
}

/// What a function returns.
#[derive(Debug, Clone)]
pub enum FunctionReturns {
    /// One value.
    Value(SqlType),
    /// Rows: names and types.
    Rows(Vec<(Name, SqlType)>),
}

/// What a function does.
#[derive(Debug, Clone)]
pub enum FunctionBody {
    /// `AS 'identifier'`: a name in a file or module.
    Identifier(Name),
    /// `AS $$ code $$`.
    Code {
        /// Between the dollars.
        text: String,
        /// Place of its first character.
        start: crate::error::Position,
    },
    /// `RETURN expression`.
    Expression(Box<SqlExpression>),
    /// `RETURN SELECT ...`.
    Query {
        /// Parsed.
        query: Box<ast::Query>,
        /// As written.
        text: String,
    },
}

/// `DROP [TEMPORARY [SYSTEM]] FUNCTION [IF EXISTS] name`.
#[derive(Debug, Clone)]
pub struct DropFunction {
    /// Name.
    pub name: TableName,
    /// `IF EXISTS`.
    pub if_exists: bool,
}

/// `SHOW ...`.
#[derive(Debug, Clone)]
pub enum Show {
    /// Tables and views, perhaps of another database, with an optional LIKE pattern.
    Tables(Option<TableName>, Option<LikePattern>),
    /// Views.
    Views(Option<TableName>, Option<LikePattern>),
    /// Catalogs.
    Catalogs(Option<LikePattern>),
    /// Databases, perhaps of another catalog.
    Databases(Option<Name>, Option<LikePattern>),
    /// DDL of a catalog.
    CreateCatalog(Name),
    /// Functions.
    Functions(Option<LikePattern>),
    /// Models.
    Models(Option<LikePattern>),
    /// `SHOW USER FUNCTIONS`.
    UserFunctions(Option<LikePattern>),
    /// `SHOW CREATE FUNCTION`.
    CreateFunction(TableName),
    /// Columns of a table.
    Columns(TableName, Option<LikePattern>),
    /// Names that are always the same: modules, procedures.
    Names {
        /// Name of the column.
        column: &'static str,
        /// The names.
        names: &'static [&'static str],
        /// `LIKE`.
        like: Option<LikePattern>,
    },
    /// `SHOW CURRENT CATALOG`.
    CurrentCatalog,
    /// `SHOW CURRENT DATABASE`.
    CurrentDatabase,
    /// Jobs.
    Jobs,
    /// DDL of a table.
    CreateTable(TableName),
    /// DDL of a view.
    CreateView(TableName),
}

/// `[NOT] LIKE | ILIKE 'pattern'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LikePattern {
    /// SQL LIKE pattern.
    pub pattern: String,
    /// `ILIKE`.
    pub ignore_case: bool,
    /// `NOT`.
    pub negated: bool,
}

/// `ON CONFLICT DO ...`: what becomes of rows of the query with one primary key of the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// `ERROR`: the job fails.
    Error,
    /// `NOTHING`: the first one stays.
    Nothing,
    /// `DEDUPLICATE`: the last one counts.
    Deduplicate,
}

/// `INSERT INTO table [(columns)] query [ON CONFLICT DO ...]`.
#[derive(Debug, Clone)]
pub struct Insert {
    /// Target.
    pub table: TableName,
    /// OPTIONS hint on the target.
    pub options: Vec<OptionEntry>,
    /// `OVERWRITE`.
    pub overwrite: bool,
    /// Columns, empty for all.
    pub columns: Vec<Name>,
    /// Columns whose values PARTITION gives: the last of the query.
    pub partition: Vec<Name>,
    /// What is inserted.
    pub query: Box<ast::Query>,
    /// `ON CONFLICT DO ...`.
    pub conflict: Option<OnConflict>,
    /// Of the whole statement.
    pub span: Span,
}
