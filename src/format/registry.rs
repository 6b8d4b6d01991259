//! Finds formats by name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::RecordFormat;
use super::changelog::{ChangelogDecoder, Envelope};
use super::csv::{CsvDecoder, CsvEncoder, CsvOptions};
use super::debezium::{self, DebeziumOptions};
use super::json;
use super::own::OwnFormat;
use super::raw::{RawDecoder, RawEncoder};
use super::rejecting::{PlaceOfLine, RejectingDecoder};
use super::{Decoder, Encoder, Origin};
use crate::catalog::Options;
use crate::catalog::options::OptionDef;
use crate::dead_letter::SCAN_OPTION;
use crate::error::{Error, Result};
use crate::flow::{SinkChangelog, SourceChangelog};
use crate::nearest::nearest;

/// Names of the formats.
pub const FORMAT_NAMES: &[&str] = &[
    "json",
    "csv",
    "raw",
    debezium::NAME,
    #[cfg(feature = "avro")]
    super::avro::PLAIN,
    #[cfg(feature = "avro")]
    super::avro::CONFLUENT,
    #[cfg(feature = "protobuf")]
    super::protobuf::NAME,
    #[cfg(feature = "parquet")]
    super::parquet::NAME,
];

/// A format with its options, as a table declares it.
#[derive(Debug, Clone)]
pub enum Format {
    /// One JSON object a line.
    Json(json::JsonOptions),
    /// The same, with the kind of change in a field.
    JsonChangelog(json::JsonOptions, json::ChangelogField),
    /// RFC 4180.
    Csv(CsvOptions),
    /// One column, one record a line.
    Raw,
    /// Debezium's change events as JSON.
    Debezium(DebeziumOptions),
    /// Of the program.
    Own(OwnFormat),
    /// Avro, as records of a broker.
    #[cfg(feature = "avro")]
    Avro(Box<super::avro::AvroOptions>),
    /// Protobuf, as records of a broker.
    #[cfg(feature = "protobuf")]
    Protobuf(Box<super::protobuf::ProtobufOptions>),
    /// Files of columns.
    #[cfg(feature = "parquet")]
    Parquet(Box<super::parquet::ParquetOptions>),
}

impl Format {
    /// From `'format'` and the options that start with its name.
    pub fn from_options(options: &Options) -> Result<Self> {
        options
            .required("format")
            .map_err(|e| e.with_hint(format!("'format' is one of {}", Self::names_in(options).join(", "))))?;
        Self::from_options_or(options, "")
    }

    /// As [`Format::from_options`], with the name of the format where `'format'` is not given.
    pub fn from_options_or(options: &Options, default: &str) -> Result<Self> {
        let name = options.text("format").unwrap_or(default);
        if let Some(own) = OwnFormat::find(options, name)? {
            return Ok(Self::Own(own));
        }
        match name {
            "json" => {
                let json = json::JsonOptions::from_options(options)?;
                Ok(match json::ChangelogField::from_options(options)? {
                    Some(field) => Self::JsonChangelog(json, field),
                    None => Self::Json(json),
                })
            }
            debezium::NAME => DebeziumOptions::from_options(options).map(Self::Debezium),
            "csv" => CsvOptions::from_options(options).map(Self::Csv),
            "raw" => super::raw::check_options(options).map(|()| Self::Raw),
            #[cfg(feature = "avro")]
            super::avro::PLAIN | super::avro::CONFLUENT => {
                super::avro::AvroOptions::from_options(options, name).map(|avro| Self::Avro(Box::new(avro)))
            }
            #[cfg(feature = "protobuf")]
            super::protobuf::NAME => super::protobuf::ProtobufOptions::from_options(options)
                .map(|protobuf| Self::Protobuf(Box::new(protobuf))),
            #[cfg(feature = "parquet")]
            super::parquet::NAME => super::parquet::ParquetOptions::from_options(options)
                .map(|parquet| Self::Parquet(Box::new(parquet))),
            _ => {
                if let Some(error) = crate::features::not_in_this_build("format", name) {
                    return Err(error.at(options.span("format")));
                }
                let error = Error::option(format!("format '{name}' is not known")).at(options.span("format"));
                let names = Self::names_in(options);
                Err(match nearest(name, names.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(format!("there are: {}", names.join(", "))),
                })
            }
        }
    }

    /// Its name, as in `'format'`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json(_) | Self::JsonChangelog(..) => "json",
            Self::Csv(_) => "csv",
            Self::Raw => "raw",
            Self::Debezium(_) => debezium::NAME,
            Self::Own(own) => own.format().name(),
            #[cfg(feature = "avro")]
            Self::Avro(options) => options.name(),
            #[cfg(feature = "protobuf")]
            Self::Protobuf(_) => super::protobuf::NAME,
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => super::parquet::NAME,
        }
    }

    /// Names of the formats that a table with these options can name: of the program, and the built-in ones.
    pub fn names_in(options: &Options) -> Vec<&str> {
        let own = options.registered().all::<dyn RecordFormat>().map(|(name, _)| name);
        own.chain(FORMAT_NAMES.iter().copied()).collect()
    }

    /// Option definitions of a format that a table with these options can name.
    pub fn definitions_in(options: &Options, name: &str) -> &'static [OptionDef] {
        match options.registered().find::<dyn RecordFormat>(name) {
            Some(own) => own.options(),
            None => Self::definitions(name),
        }
    }

    /// Whether a record starts after every newline, so that a file can be cut anywhere.
    pub fn splittable(&self) -> bool {
        match self {
            Self::Json(_) | Self::JsonChangelog(..) | Self::Raw | Self::Debezium(_) => true,
            Self::Csv(options) => options.quote.is_none() && options.charset == encoding_rs::UTF_8,
            Self::Own(own) => own.format().splittable(),
            #[cfg(feature = "avro")]
            Self::Avro(_) => false,
            #[cfg(feature = "protobuf")]
            Self::Protobuf(_) => false,
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => false,
        }
    }

    /// Whether it is of files that are complete with their last bytes only (see [`Format::file_encoder`]).
    pub(crate) fn is_of_files(&self) -> bool {
        match self {
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => true,
            _ => false,
        }
    }

    /// An encoder of one file with rows of `schema`; `None` for formats of streams. `zone`: the session's.
    pub(crate) fn file_encoder(
        &self,
        schema: &SchemaRef,
        zone: &str,
    ) -> Result<Option<Box<dyn super::FileEncoder>>> {
        let _ = (schema, zone);
        match self {
            #[cfg(feature = "parquet")]
            Self::Parquet(options) => {
                Ok(Some(Box::new(super::parquet::ParquetWriter::new(options, schema, zone)?)))
            }
            _ => Ok(None),
        }
    }

    /// Kinds of the rows that are read.
    pub fn source_changelog(&self) -> SourceChangelog {
        match self {
            Self::JsonChangelog(_, field) if field.upsert => SourceChangelog::Upsert,
            Self::JsonChangelog(..) | Self::Debezium(_) => SourceChangelog::All,
            Self::Json(_) | Self::Csv(_) | Self::Raw => SourceChangelog::Append,
            Self::Own(own) => own.format().source_changelog(),
            #[cfg(feature = "avro")]
            Self::Avro(_) => SourceChangelog::Append,
            #[cfg(feature = "protobuf")]
            Self::Protobuf(_) => SourceChangelog::Append,
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => SourceChangelog::Append,
        }
    }

    /// Kinds of rows that can be written.
    pub fn sink_changelog(&self) -> SinkChangelog {
        if let Self::Own(own) = self {
            return own.format().sink_changelog();
        }
        match self.source_changelog() {
            SourceChangelog::Append => SinkChangelog::Append,
            SourceChangelog::Upsert => SinkChangelog::Upsert,
            SourceChangelog::All => SinkChangelog::All,
        }
    }

    /// Checks of a table beyond its options' types, at CREATE TABLE.
    pub fn check(&self, primary_key: &[String]) -> Result<()> {
        match self {
            Self::JsonChangelog(_, field) if field.upsert && primary_key.is_empty() => {
                Err(Error::option("option 'json.changelog-mode' = 'upsert' needs a PRIMARY KEY")
                    .with_hint("add PRIMARY KEY (...) NOT ENFORCED to the table"))
            }
            _ => Ok(()),
        }
    }

    /// The same format for bytes that are not at the start of a file: no header line.
    pub(crate) fn without_header(&self) -> Self {
        let mut format = self.clone();
        if let Self::Csv(options) = &mut format {
            options.skip_header = false;
            options.skip_lines = 0;
            options.write_header = false;
        }
        format
    }

    /// The same format for bytes from the start of a file on, which may hold one document over many lines.
    pub(crate) fn with_documents(&self) -> Self {
        let mut format = self.clone();
        if let Self::Json(options) | Self::JsonChangelog(options, _) = &mut format {
            options.documents = true;
        }
        format
    }

    /// Whether a file that begins so is one document over many lines, which cannot be cut.
    pub(crate) fn begins_document(&self, head: &[u8]) -> bool {
        match self {
            Self::Json(_) | Self::JsonChangelog(..) => json::begins_document(head, false) == Some(true),
            _ => false,
        }
    }

    /// Option definitions of the named format, keys with their prefix (`json.ignore-parse-errors`).
    pub fn definitions(name: &str) -> &'static [OptionDef] {
        match name {
            "json" => json::OPTIONS,
            "csv" => super::csv::OPTIONS,
            "raw" => super::raw::OPTIONS,
            debezium::NAME => debezium::OPTIONS,
            #[cfg(feature = "avro")]
            super::avro::PLAIN => super::avro::OPTIONS,
            #[cfg(feature = "avro")]
            super::avro::CONFLUENT => super::avro::CONFLUENT_OPTIONS,
            #[cfg(feature = "protobuf")]
            super::protobuf::NAME => super::protobuf::OPTIONS,
            #[cfg(feature = "parquet")]
            super::parquet::NAME => super::parquet::OPTIONS,
            _ => &[],
        }
    }

    /// A decoder that fills exactly `schema` (a projection of the record's fields, by name), at most
    /// `batch_rows` rows a batch; TIMESTAMP_LTZ columns carry the session's zone in their type.
    /// `declared` names all physical columns of the table in order, which positional formats (csv) need.
    pub fn decoder(
        &self,
        declared: &SchemaRef,
        schema: &SchemaRef,
        batch_rows: usize,
        origin: Origin,
    ) -> Result<Box<dyn Decoder>> {
        Ok(match self {
            Self::Json(options) => {
                let decoder = json::JsonDecoder::new(*options, schema.clone(), batch_rows, origin)?;
                Box::new(decoder.expecting(declared))
            }
            Self::JsonChangelog(options, field) => {
                field.check(declared)?;
                let mut fields = vec![Arc::new(Field::new(field.name.as_ref(), DataType::Utf8View, true))];
                fields.extend(schema.fields().iter().cloned());
                let record = Arc::new(Schema::new(fields));
                Box::new(ChangelogDecoder::new(
                    json::JsonDecoder::new(*options, record, batch_rows, origin.clone())?.envelopes("json"),
                    Envelope::Kind { field: field.name.clone() },
                    schema.clone(),
                    options.ignore_parse_errors,
                    origin,
                ))
            }
            Self::Debezium(options) => options.decoder(schema, batch_rows, origin)?,
            Self::Csv(options) => {
                Box::new(CsvDecoder::new(options.clone(), declared, schema, batch_rows, origin)?)
            }
            Self::Raw => Box::new(RawDecoder::new(declared, schema, batch_rows, origin)?),
            Self::Own(own) => own.decoder(declared, schema, batch_rows, origin)?,
            #[cfg(feature = "avro")]
            Self::Avro(options) => return Err(of_messages(options.name())),
            #[cfg(feature = "protobuf")]
            Self::Protobuf(_) => return Err(of_messages(super::protobuf::NAME)),
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => return Err(of_files(super::parquet::NAME)),
        })
    }

    /// Whether undecodable records can be distinguished from the others, see [`crate::dead_letter`].
    pub(crate) fn check_rejecting(&self) -> Result<()> {
        match self {
            Self::Json(options) if !options.ignore_parse_errors => Ok(()),
            Self::Csv(options) if !options.lenient => Ok(()),
            #[cfg(feature = "avro")]
            Self::Avro(_) => Ok(()),
            #[cfg(feature = "protobuf")]
            Self::Protobuf(options) if !options.ignores_errors() => Ok(()),
            Self::Json(_) | Self::Csv(_) => Err(Error::option(format!(
                "'{SCAN_OPTION}' keeps the records that '{}.ignore-parse-errors' drops",
                self.name()
            ))
            .with_hint("leave one of them out")),
            _ => Err(Error::unsupported(format!("'{SCAN_OPTION}' takes records of json and csv"))),
        }
    }

    /// A decoder as [`Format::decoder`] makes, whose batches have the column of undecodable records after the others.
    /// Whether a record can be decoded is a matter of all declared columns. `place` says where a line is.
    pub(crate) fn rejecting_decoder(
        &self,
        declared: &SchemaRef,
        schema: &SchemaRef,
        batch_rows: usize,
        origin: Origin,
        place: PlaceOfLine,
    ) -> Result<Box<dyn Decoder>> {
        self.check_rejecting()?;
        let field = |f: &Arc<Field>| match schema.field_with_name(f.name()) {
            Ok(wanted) => Arc::new(wanted.clone().with_nullable(f.is_nullable())),
            Err(_) => f.clone(),
        };
        let all: SchemaRef = Arc::new(Schema::new(declared.fields().iter().map(field).collect::<Vec<_>>()));
        let projection =
            schema.fields().iter().map(|f| all.index_of(f.name())).collect::<Result<Vec<_>, _>>()?;
        let inner: Box<dyn Decoder> = match self {
            Self::Csv(options) => Box::new(
                CsvDecoder::new(options.clone(), declared, &all, batch_rows, origin.clone())?
                    .keeping_records(),
            ),
            _ => self.decoder(declared, &all, batch_rows, origin.clone())?,
        };
        Ok(Box::new(RejectingDecoder::new(inner, schema, projection, batch_rows, origin, place)))
    }

    /// An encoder for rows of `schema`.
    pub fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        Ok(match self {
            Self::Json(options) => Box::new(json::JsonEncoder::new(*options, schema.clone())?),
            Self::JsonChangelog(options, field) => {
                field.check(schema)?;
                let encoder = json::JsonEncoder::with_kind(*options, schema.clone(), &field.name)?;
                Box::new(encoder.upserts(field.upsert))
            }
            Self::Debezium(options) => options.encoder(schema)?,
            Self::Csv(options) => Box::new(CsvEncoder::new(options.clone(), schema)?),
            Self::Raw => Box::new(RawEncoder::new(schema)?),
            Self::Own(own) => own.encoder(schema)?,
            #[cfg(feature = "avro")]
            Self::Avro(options) => return Err(of_messages(options.name())),
            #[cfg(feature = "protobuf")]
            Self::Protobuf(_) => return Err(of_messages(super::protobuf::NAME)),
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => return Err(of_files(super::parquet::NAME)),
        })
    }
}

/// A format of records that come one by one.
#[cfg(any(feature = "avro", feature = "protobuf"))]
fn of_messages(name: &str) -> Error {
    Error::unsupported(format!(
        "format '{name}' is for records of brokers, not for files and streams of bytes"
    ))
}

/// A format of whole files.
#[cfg(feature = "parquet")]
fn of_files(name: &str) -> Error {
    Error::unsupported(format!("format '{name}' is for files, not for records and streams of bytes"))
        .with_hint("use 'connector' = 'filesystem'")
}
