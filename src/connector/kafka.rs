//! Apache Kafka: `kafka` reads and writes topics as streams, `upsert-kafka` as tables with a key.
//!
//! Options, defaults and metadata columns are those of Flink's connectors. The client is librdkafka; properties of
//! Java's client are translated.
//!
//! # Reading
//! A partition is a split (`source.rs`). With `upsert-kafka` a record takes the place of the one with its key, and a
//! record without a value takes it away.
//!
//! # Writing
//! See `sink.rs`, and `transaction.rs` for exactly-once. The record of a row with a key goes to the partition where Java's
//! client puts it.
//!
//! # Metadata
//! `topic` (STRING; written where the table has several), `partition` (INT), `offset` (BIGINT), `timestamp`
//! (TIMESTAMP_LTZ(3), written), `timestamp-type` (STRING), `headers` (MAP<STRING, BYTES>, written).

mod client;
mod encode;
mod explore;
mod oauth;
mod offsets;
mod options;
mod producer;
mod properties;
mod reader;
mod rows;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod transaction;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;

use self::client::Cluster;
use self::encode::Columns;
use self::options::{Records, ScanOptions, SinkOptions, TableOptions};
use self::rows::{Layout, METADATA, Metadata, fields_of};
use super::{Connector, Nature};
use super::{Place, ScanRequest, Sink, SinkChangelog, SinkRequest, Source, SourceChangelog};
use crate::catalog::options::{OptionDef, Options};
use crate::catalog::{ColumnSource, Table};
use crate::dead_letter::SCAN_OPTION;
use crate::error::{Error, Result};
use crate::format::infer::Inferred;
use crate::format::message::MessageDecoder;

/// `'connector' = 'kafka'`.
#[derive(Debug)]
pub struct Kafka;

/// `'connector' = 'upsert-kafka'`.
#[derive(Debug)]
pub struct UpsertKafka;

/// Makes, or removes, the topics of the demonstration.
pub(crate) fn demo_topics(servers: &str, names: &[String], make: bool) -> Result<()> {
    explore::topics(servers, names, make)
}

/// The format of values.
fn format_of(options: &Options) -> Option<&str> {
    options.text("format").or(options.text("value.format"))
}

fn check(table: &Table, upsert: bool) -> Result<()> {
    let options = TableOptions::of(&table.name, &table.options)?;
    let records = Records::of(table, upsert)?;
    ScanOptions::of(&table.options, &options.topics, upsert)?;
    SinkOptions::of(&table.options, !records.key_columns.is_empty())?;
    for column in &table.columns {
        let ColumnSource::Metadata { data_type, key, is_virtual, .. } = &column.source else { continue };
        let Some(metadata) = Metadata::of(key) else { continue };
        metadata.check(&column.name, key, &data_type.to_arrow("UTC"))?;
        if upsert && metadata == Metadata::Topic && !is_virtual {
            return Err(Error::plan(format!("column '{}': metadata 'topic' cannot be written", column.name))
                .with_hint("declare it VIRTUAL: an upsert-kafka table has one topic"));
        }
    }
    if upsert && options.topics.only().is_none() {
        return Err(Error::option("connector 'upsert-kafka' takes one topic").at(table.options.span("topic")));
    }
    if table.options.contains(SCAN_OPTION) {
        records.value.check_rejecting().map_err(|e| e.at(table.options.span(SCAN_OPTION)))?;
    }
    // Formats that cannot have these columns say so now.
    let value = fields_of(table, &records.value_columns, "", "UTC");
    if !value.fields().is_empty() || records.key.is_none() {
        MessageDecoder::new(&records.value, &value, &value)?;
    }
    if let Some(format) = &records.key {
        let key = fields_of(table, &records.key_columns, &records.prefix, "UTC");
        MessageDecoder::new(format, &key, &key).map_err(|e| e.context("the key"))?;
    }
    Ok(())
}

fn place(connector: &str, table: &Table) -> Result<Option<Place>> {
    let options = TableOptions::of(&table.name, &table.options)?;
    let topics = options.topics.text();
    Ok(Some(Place::new(connector, format!("{topics} in {}", options.properties.servers()), topics)))
}

fn source(request: &ScanRequest, upsert: bool) -> Result<Arc<dyn Source>> {
    let table = &request.table;
    let options = TableOptions::of(&table.name, &table.options)?;
    let scan = ScanOptions::of(&table.options, &options.topics, upsert)?;
    let layout = Layout::new(request, Records::of(table, upsert)?, upsert)?;
    let plan = source::Plan::new(&table.name, &options, scan, layout, request.batch_rows, upsert);
    Ok(Arc::new(source::KafkaSource::new(plan)))
}

fn sink(request: &SinkRequest, upsert: bool) -> Result<Arc<dyn Sink>> {
    let table = &request.table;
    let options = TableOptions::of(&table.name, &table.options)?;
    let records = Records::of(table, upsert)?;
    let own = SinkOptions::of(&table.options, !records.key_columns.is_empty())?;
    let changelog = if upsert { SinkChangelog::Upsert } else { records.value.sink_changelog() };
    let columns = Columns::new(request, records, options.topics.clone(), upsert)?;
    columns.encoder()?;
    let cluster = Cluster::new(&options);
    Ok(Arc::new(sink::KafkaSink::new(request, cluster, options.topics, own, columns, changelog)?))
}

impl Connector for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn doc(&self) -> &'static str {
        "topics of Apache Kafka, as source and sink"
    }

    fn options(&self) -> &'static [OptionDef] {
        options::OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn format_of<'a>(&self, options: &'a Options) -> Option<&'a str> {
        format_of(options)
    }

    fn format_options<'a>(&self, options: &'a Options) -> Result<Cow<'a, Options>> {
        options::value_options(options).map(Cow::Owned)
    }

    fn rejects(&self) -> bool {
        true
    }

    fn metadata(&self) -> &'static [&'static str] {
        METADATA
    }

    fn check(&self, table: &Table) -> Result<()> {
        check(table, false)
    }

    fn infer(&self, options: &Options) -> Result<Option<Inferred>> {
        explore::infer(options)
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["kafka"]
    }

    fn url_options(&self, url: &str) -> Result<Options> {
        explore::url_options(url)
    }

    fn listing(&self, url: &str) -> Result<Option<RecordBatch>> {
        explore::listing(url)
    }

    fn probe(&self, table: &Table) -> Result<Vec<String>> {
        explore::probe(table, false)
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        place(self.name(), table)
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        source(request, false)
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        sink(request, false)
    }
}

impl Connector for UpsertKafka {
    fn name(&self) -> &'static str {
        "upsert-kafka"
    }

    fn doc(&self) -> &'static str {
        "topics of Apache Kafka with the newest row of each key, as source and sink"
    }

    fn options(&self) -> &'static [OptionDef] {
        options::UPSERT_OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn format_of<'a>(&self, options: &'a Options) -> Option<&'a str> {
        format_of(options)
    }

    fn format_options<'a>(&self, options: &'a Options) -> Result<Cow<'a, Options>> {
        options::value_options(options).map(Cow::Owned)
    }

    fn metadata(&self) -> &'static [&'static str] {
        METADATA
    }

    fn check(&self, table: &Table) -> Result<()> {
        check(table, true)
    }

    fn probe(&self, table: &Table) -> Result<Vec<String>> {
        explore::probe(table, true)
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        place(self.name(), table)
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature {
            reads: Some(SourceChangelog::Upsert),
            ..Nature::declared(self.options(), &table.options).keyed(table)
        }
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        source(request, true)
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        sink(request, true)
    }
}
