//! One error for users: a primary line, where it happened, a detail and a hint.
//!
//! The primary line is lower case without a full stop; past tense when another try can help,
//! present tense when it cannot. `detail` is what was seen, `hint` what to do next. A place in
//! SQL text is kept as a [`Span`] and drawn with an excerpt and a caret by [`Error::render`].

pub(crate) mod functions;
mod source;
pub(crate) mod wording;

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

pub use self::source::SourceText;
use crate::nearest::nearest;
use crate::secret::option::masked;
use crate::secret::redacted;

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of thing went wrong; decides the exit status and whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not SQL of this dialect.
    Syntax,
    /// The SQL is well formed but names, types or rules do not hold.
    Plan,
    /// An option, setting or argument is unknown or has a wrong value.
    Option,
    /// Known, but not supported (yet).
    Unsupported,
    /// Reading or writing outside of the process failed.
    Io,
    /// A record could not be decoded or encoded.
    Decode,
    /// A lookup failed and its table says that this fails the job.
    Lookup,
    /// An expression or operator failed on data.
    Execution,
    /// The user stopped it.
    Cancelled,
    /// A fault of this program.
    Internal,
}

impl ErrorKind {
    /// True for kinds of failures that may pass by themselves; see [`Error::may_pass`].
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Io | Self::Lookup)
    }

    /// True for mistakes in SQL or arguments (exit status 2), false for failures at run time (1).
    pub fn is_usage(self) -> bool {
        matches!(self, Self::Syntax | Self::Plan | Self::Option | Self::Unsupported)
    }
}

/// A position in text: line and column, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A half-open range of text, from `start` to just after `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First character.
    pub start: Position,
    /// Just after the last character.
    pub end: Position,
}

impl Span {
    /// A span between two line/column pairs.
    pub fn new(start: (u32, u32), end: (u32, u32)) -> Self {
        let position = |(line, column)| Position { line, column };
        Self { start: position(start), end: position(end) }
    }

    /// The smallest span that covers both.
    pub fn union(self, other: Span) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Whether a failure of a kind that may pass does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lasting {
    No,
    /// The system refuses it: it will, unless it did not until now.
    Refused,
    Always,
}

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    span: Option<Span>,
    lasting: Lasting,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// What caused it is of no account: it has no equality.
impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        let said = |inner: &Self| {
            (inner.kind, inner.message.clone(), inner.detail.clone(), inner.hint.clone(), inner.span)
        };
        said(self) == said(other) && self.lasting == other.lasting
    }
}

/// An error as it is shown to people, without the values of variables (see [`crate::secret`]). Cheap to move (one
/// pointer). [`std::error::Error::source`] is what caused it, in the words of another library: those may hold values that
/// the error itself does not show.
#[derive(Debug, Clone, PartialEq)]
pub struct Error(Box<Inner>);

impl Error {
    /// An error of a kind with its primary line.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = redacted(message.into());
        Self(Box::new(Inner {
            kind,
            message,
            detail: None,
            hint: None,
            span: None,
            lasting: Lasting::No,
            source: None,
        }))
    }

    /// The text is not SQL of this dialect.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, message)
    }
    /// Names, types or rules do not hold.
    pub fn plan(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Plan, message)
    }
    /// Unknown or ill-formed option.
    pub fn option(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Option, message)
    }
    /// Not supported (yet).
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }
    /// Reading or writing failed.
    pub fn io(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Io, message)
    }
    /// A record could not be decoded or encoded.
    pub fn decode(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Decode, message)
    }
    /// A lookup failed.
    pub fn lookup(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Lookup, message)
    }
    /// An operator failed on data.
    pub fn execution(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Execution, message)
    }
    /// The user stopped it.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }
    /// A fault of this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds what was seen (replaces an earlier detail).
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(redacted(detail.into()));
        self
    }
    /// Adds what to do next (replaces an earlier hint).
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(redacted(hint.into()));
        self
    }
    /// Keeps what caused it.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }
    /// Adds the place in the SQL text, unless one is known already or the span is empty.
    pub fn at(mut self, span: Span) -> Self {
        if span != Span::default() {
            self.0.span.get_or_insert(span);
        }
        self
    }
    /// Trying again does not help, whatever the kind: a refused login, a wrong request, a folder that may not be
    /// written.
    pub fn lasting(mut self) -> Self {
        self.0.lasting = Lasting::Always;
        self
    }
    /// Trying again helps as little as with what caused it.
    pub fn lasting_as(mut self, cause: &Self) -> Self {
        self.0.lasting = if cause.0.kind.may_pass() { cause.0.lasting } else { Lasting::Always };
        self
    }
    /// Puts words in front of the primary line: `context: message`.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = redacted(format!("{context}: {}", self.0.message));
        self
    }

    /// Kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// True for failures that may pass by themselves: trying again later makes sense.
    pub fn may_pass(&self) -> bool {
        self.0.kind.may_pass() && self.0.lasting == Lasting::No
    }
    /// The same of something that has worked before.
    pub fn may_pass_again(&self) -> bool {
        self.0.kind.may_pass() && self.0.lasting != Lasting::Always
    }
    /// What failures of one kind have in common: the kind and the words of the message, without numbers and names.
    pub fn likeness(&self) -> String {
        let mut words = format!("{:?} ", self.0.kind);
        for (number, part) in self.0.message.split('\'').enumerate() {
            if number % 2 == 0 {
                words.extend(part.chars().filter(|c| !c.is_ascii_digit()));
            }
        }
        words
    }
    /// Primary line.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// What was seen.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
    /// Place in the SQL text.
    pub fn span(&self) -> Option<Span> {
        self.0.span
    }

    /// Draws the error for people: the primary line, the place as `file:line:column`, the line with a
    /// caret, the detail as a note and the hint as help. A span over several lines is drawn on its first. Secrets in
    /// the values of options are not shown.
    pub fn render(&self, source: &SourceText, color: bool) -> String {
        let text = masked(&source.text);
        let title = Level::ERROR.primary_title(self.message());
        let mut group = match self.span().filter(|s| s.start.line > 0) {
            Some(span) => {
                let range = source.range(span);
                let line =
                    source.text[range.start..].find('\n').map_or(source.text.len(), |n| range.start + n);
                let range = range.start..range.end.min(line);
                let snippet = Snippet::source(&*text)
                    .path(&*source.name)
                    .annotation(AnnotationKind::Primary.span(range));
                title.element(snippet)
            }
            None => Group::with_title(title),
        };
        if let Some(detail) = self.detail() {
            group = group.element(Level::NOTE.message(detail));
        }
        if let Some(hint) = self.hint() {
            group = group.element(Level::HELP.message(hint));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// `error`, in red where colours are wanted.
pub(crate) fn label(color: bool) -> &'static str {
    if color { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(detail) = &self.0.detail {
            write!(f, "\n  detail: {detail}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::io(e.to_string()).lasting_if(e.kind()).with_source(e)
    }
}

impl Error {
    /// Marks what the system refuses: a permission or a file is missing.
    pub fn lasting_if(mut self, kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind as K;
        let refused = matches!(
            kind,
            K::PermissionDenied
                | K::NotFound
                | K::NotADirectory
                | K::IsADirectory
                | K::AlreadyExists
                | K::ReadOnlyFilesystem
                | K::InvalidFilename
        );
        if refused && self.0.lasting == Lasting::No {
            self.0.lasting = Lasting::Refused;
        }
        self
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError as A;
        match e {
            A::DivideByZero => Self::execution("division by zero"),
            A::CastError(m) => Self::execution(format!("cast failed: {}", wording::message(&m)))
                .with_hint("TRY_CAST returns NULL instead of an error"),
            A::ArithmeticOverflow(m) => Self::execution(format!("arithmetic overflow: {m}")),
            A::ComputeError(m) | A::ParseError(m) | A::InvalidArgumentError(m) => {
                Self::execution(wording::message(&m))
            }
            A::IoError(m, e) => Self::io(m).with_source(e),
            A::ExternalError(e) => match e.downcast::<Error>() {
                Ok(e) => *e,
                Err(e) => Self::execution(e.to_string()).with_source(e),
            },
            other => Self::internal(other.to_string()),
        }
    }
}

/// The column whose name is nearest to one that is not there, as it would be written.
fn near_column(error: &datafusion_common::SchemaError) -> Option<String> {
    let datafusion_common::SchemaError::FieldNotFound { field, valid_fields } = error else { return None };
    let known: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
    let near = nearest(&field.name, known.iter().copied())?;
    (!near.starts_with('$')).then(|| near.to_string())
}

impl From<datafusion_common::DataFusionError> for Error {
    fn from(e: datafusion_common::DataFusionError) -> Self {
        use datafusion_common::DataFusionError as D;
        let convert_span = |s: datafusion_common::Span| {
            Span::new((s.start.line as u32, s.start.column as u32), (s.end.line as u32, s.end.column as u32))
        };
        match e {
            D::ArrowError(e, _) => (*e).into(),
            D::Context(_, e) => (*e).into(),
            D::Shared(e) => Self::plan(wording::message(&e.strip_backtrace())),
            D::Collection(errors) => match errors.into_iter().next() {
                Some(first) => first.into(),
                None => Self::internal("an empty collection of errors"),
            },
            D::Diagnostic(diagnostic, cause) => {
                let ours = matches!(cause.find_root(), D::External(e) if e.is::<Error>());
                let ours = ours || coercion(&cause.strip_backtrace()).is_some();
                let mut error = Self::from(*cause);
                if ours {
                    return match diagnostic.span {
                        Some(span) => error.at(convert_span(span)),
                        None => error,
                    };
                }
                error.0.message = redacted(wording::message(&diagnostic.message));
                if let Some(span) = diagnostic.span {
                    error = error.at(convert_span(span));
                }
                if let [left, right] = diagnostic.notes.as_slice()
                    && let Some(met) = wording::sides(&left.message, &right.message)
                {
                    error.0.message = met;
                } else if let Some(note) = diagnostic.notes.first() {
                    let unknown = diagnostic.message.strip_prefix("Invalid function '");
                    let possible = note.message.strip_prefix("Possible function '");
                    match (unknown, possible) {
                        (Some(unknown), Some(possible)) => {
                            let possible = possible.trim_end_matches('\'');
                            let unknown = unknown.trim_end_matches('\'');
                            if functions::is_of_windows(unknown) {
                                let name = unknown.to_ascii_uppercase();
                                error.0.message =
                                    format!("{name} is a function of windows and needs OVER (...)");
                                return error.with_hint(format!(
                                    "write {name}(...) OVER (PARTITION BY ... ORDER BY ...)"
                                ));
                            }
                            if let Some((why, hint)) = functions::refused(unknown) {
                                error.0.message =
                                    format!("{} is not supported: {why}", unknown.to_ascii_uppercase());
                                return error.with_hint(hint);
                            }
                            let near = nearest(unknown, std::iter::once(possible));
                            error = error.with_hint(match near {
                                _ if functions::function_here(unknown).is_some() => {
                                    format!("write {}", functions::function_here(unknown).unwrap_or_default())
                                }
                                Some(near) => format!("did you mean {}?", near.to_uppercase()),
                                None => "SHOW FUNCTIONS lists what there is".to_string(),
                            });
                        }
                        _ => error = error.with_detail(wording::plain(&note.message)),
                    }
                }
                if let Some(help) = diagnostic.helps.first() {
                    error = error.with_hint(wording::help(&help.message));
                }
                error
            }
            D::Plan(m) | D::Execution(m) | D::Internal(m) if coercion(&m).is_some() => {
                coercion(&m).unwrap_or_else(|| Self::plan(m))
            }
            D::Plan(m) => Self::plan(wording::message(&m)),
            D::SchemaError(e, _) => {
                let error = Self::plan(wording::message(&e.to_string()));
                match near_column(&e) {
                    Some(near) => error.with_hint(format!("did you mean {near}?")),
                    None => error,
                }
            }
            D::NotImplemented(m) => Self::unsupported(wording::message(&m)),
            D::Execution(m) => Self::execution(wording::message(&m)),
            // Its own text asks to file a bug elsewhere.
            D::Internal(m) => Self::plan(wording::message(&m)),
            D::Configuration(m) => Self::option(m),
            D::IoError(e) => Self::io(e.to_string()).with_source(e),
            D::External(e) => match e.downcast::<Error>() {
                Ok(e) => *e,
                Err(e) => Self::execution(e.to_string()).with_source(e),
            },
            other => Self::plan(wording::message(&other.strip_backtrace())),
        }
    }
}

/// What a function of ours says of its arguments, which DataFusion passes on as text.
fn coercion(text: &str) -> Option<Error> {
    let (_, said) = text.split_once("user-defined coercion failed with: External error: ")?;
    let said = said.split_once(". No function matches").map_or(said, |(said, _)| said);
    let said = said.split_once(" No function matches").map_or(said, |(said, _)| said);
    let (said, hint) = match said.split_once("\n  hint: ") {
        Some((said, hint)) => (said, Some(hint)),
        None => (said, None),
    };
    let (message, detail) = match said.split_once("\n  detail: ") {
        Some((message, detail)) => (message, Some(detail)),
        None => (said, None),
    };
    let mut error = Error::plan(message);
    if let Some(detail) = detail {
        error = error.with_detail(detail);
    }
    if let Some(hint) = hint {
        error = error.with_hint(hint);
    }
    Some(error)
}

impl From<Error> for datafusion_common::DataFusionError {
    fn from(e: Error) -> Self {
        Self::External(Box::new(e))
    }
}

impl From<Error> for arrow::error::ArrowError {
    fn from(e: Error) -> Self {
        Self::ExternalError(Box::new(e))
    }
}
