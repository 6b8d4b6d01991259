//! The connector of a table in a test: declared and joined as its own, answered for by the stage.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::answer::{Guarded, MockBackend};
use super::fixture::{CaptureSink, FixtureSource};
use super::replay::ReplayBackend;
use super::stage::{Captured, Feed, Stage};
use crate::catalog::table::Own;
use crate::catalog::{OptionDef, Options, Table};
use crate::connector::{
    Connector, Nature, ScanRequest, Sink, SinkChangelog, SinkRequest, Source, SourceChangelog, connector,
};
use crate::error::{Error, Result};
use crate::flow::Kinds;
use crate::format::Format;
use crate::lookup::{Backend, LookupRequest};

/// A connector in whose place a stage stands.
struct Staged {
    stage: Arc<Stage>,
    real: &'static dyn Connector,
}

/// The same table, for which a stage answers.
pub(crate) fn staged(table: &Table, stage: &Arc<Stage>) -> Result<Option<Table>> {
    if table.own.is_some() {
        return Ok(None);
    }
    let real = connector(table.options.required("connector")?)?;
    let own = Own::new::<dyn Connector>(real.name(), Arc::new(Staged { stage: stage.clone(), real }));
    Ok(Some(Table { own: Some(own), ..table.clone() }))
}

impl Staged {
    fn format_of_table(&self, table: &Table) -> Option<Format> {
        let name = self.real.format_of(&table.options)?;
        Format::from_options_or(self.real.format_options(&table.options).ok()?.as_ref(), name).ok()
    }

    fn source_changelog(&self, table: &Table, changes: bool) -> SourceChangelog {
        let of_format = || self.format_of_table(table).map(|f| f.source_changelog());
        match self.real.nature(table).reads.or_else(of_format) {
            Some(own) if own != SourceChangelog::Append => own,
            _ if changes => SourceChangelog::All,
            _ => SourceChangelog::Append,
        }
    }

    /// What the table's own connector can write.
    fn sink_changelog(&self, table: &Table) -> SinkChangelog {
        let of_format = || self.format_of_table(table).map(|f| f.sink_changelog());
        self.real.nature(table).writes.or_else(of_format).unwrap_or(SinkChangelog::Append)
    }
}

impl Connector for Staged {
    fn name(&self) -> &'static str {
        self.real.name()
    }

    fn doc(&self) -> &'static str {
        self.real.doc()
    }

    fn options(&self) -> &'static [OptionDef] {
        self.real.options()
    }

    fn takes_format(&self) -> bool {
        self.real.takes_format()
    }

    fn default_format(&self) -> Option<&'static str> {
        self.real.default_format()
    }

    fn format_of<'a>(&self, options: &'a Options) -> Option<&'a str> {
        self.real.format_of(options)
    }

    fn format_options<'a>(&self, options: &'a Options) -> Result<Cow<'a, Options>> {
        self.real.format_options(options)
    }

    fn takes_partitions(&self) -> bool {
        self.real.takes_partitions()
    }

    fn rejects(&self) -> bool {
        self.real.rejects()
    }

    fn metadata(&self) -> &'static [&'static str] {
        self.real.metadata()
    }

    fn lookup_metadata(&self) -> &'static [&'static str] {
        self.real.lookup_metadata()
    }

    fn is_source(&self) -> bool {
        self.real.is_source()
    }

    fn joins_by_lookup(&self) -> bool {
        self.real.joins_by_lookup()
    }

    fn is_lookup(&self, options: &Options) -> bool {
        self.real.is_lookup(options)
    }

    fn loads_whole(&self) -> bool {
        self.real.loads_whole()
    }

    fn lookup_keys(&self, table: &Table) -> Result<Option<Vec<String>>> {
        self.real.lookup_keys(table)
    }

    fn overwrites(&self) -> bool {
        self.real.overwrites()
    }

    fn nature(&self, table: &Table) -> Nature {
        self.real.nature(table)
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let table = &request.table;
        let name = table.name.as_str();
        let nature = self.real.nature(table);
        let written = self.stage.captured(name).filter(|_| self.stage.is_asking());
        let feed = match self.stage.feed(name) {
            _ if written.is_some() => {
                let feed = Arc::new(Feed::default());
                if let Some(written) = written {
                    feed.stage(super::rows::table(&written)?, Kinds::Append);
                }
                feed.end();
                feed
            }
            Some(feed) => {
                feed.check(&request.schema)?;
                feed
            }
            None if self.stage.tuning().is_some() => return self.real.source(request),
            None if nature.reads_locally => {
                let rows = self.stage.scratch.query(&format!("SELECT * FROM {}", quoted(name)))?.collect()?;
                let feed = self.stage.feed_or(name, false);
                feed.stage(rows, Kinds::Append);
                feed.push();
                feed
            }
            None if self.stage.replay().is_some_and(|replay| replay.alone) => {
                return Err(Error::plan(format!(
                    "table '{name}' ({}) is read, and the recording has no rows of it",
                    self.real.name()
                ))
                .with_hint("record again with this pipeline"));
            }
            // Its requests are those of the HTTP client, which mocks answer.
            None if nature.over_http => return self.real.source(request),
            None => {
                return Err(Error::plan(format!(
                    "table '{name}' ({}) is read, and the test has no rows of it",
                    self.real.name()
                ))
                .with_hint(format!("INSERT INTO {name} VALUES (...); in the test")));
            }
        };
        Ok(Arc::new(FixtureSource {
            changelog: self.source_changelog(table, feed.changes),
            feed,
            schema: request.schema.clone(),
            bounded: nature.bounded || self.stage.is_asking(),
            from: Mutex::new(0),
        }))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let changelog = self.sink_changelog(&request.table);
        let make = || match self.stage.tuning() {
            Some(_) => Captured::blind(request.schema.clone(), request.key.clone(), changelog),
            None => Captured::new(request.schema.clone(), request.key.clone(), changelog),
        };
        Ok(Arc::new(CaptureSink(self.stage.sink(&request.table.name, make))))
    }

    fn lookup(&self, request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        let table = &request.table;
        let name = table.name.as_str();
        if self.stage.tuning().is_some() {
            return self.stage.metered(name, request, || self.real.lookup(request));
        }
        let nature = self.real.nature(table);
        let rules = self.stage.rules_of(name);
        let feed = self.stage.feed(name).filter(|feed| !feed.is_recorded());
        if let Some(feed) = &feed {
            feed.note_read();
        }
        let replay = self.stage.replay().filter(|_| rules.is_empty() && feed.is_none());
        if let Some(replay) = replay.as_ref().filter(|replay| replay.has_lookup(name)) {
            let batch = nature.keys_of_request;
            return Ok(Arc::new(ReplayBackend::new(&self.stage, replay, name, request, batch)?));
        }
        if replay.is_some_and(|replay| replay.alone) {
            return Err(Error::plan(format!(
                "table '{name}' ({}) is looked up in, and the recording has no answers of it",
                self.real.name()
            ))
            .with_hint("record again with this pipeline"));
        }
        if !rules.is_empty() || feed.is_some() {
            let batch = nature.keys_of_request;
            return Ok(Arc::new(MockBackend::new(&self.stage, name, request, rules, batch)?));
        }
        if nature.over_http {
            return self.real.lookup(request);
        }
        if nature.answers_locally {
            return Ok(Arc::new(Guarded::new(&self.stage, name, self.real.lookup(request)?)));
        }
        Err(Error::plan(format!(
            "table '{name}' ({}) is looked up in, and the test does not mock it",
            self.real.name()
        ))
        .with_hint(format!("MOCK {name} RETURNS VALUES (...); in the test")))
    }
}

/// A table's name in a query.
fn quoted(name: &str) -> String {
    name.split('.').map(|part| format!("`{part}`")).collect::<Vec<_>>().join(".")
}
