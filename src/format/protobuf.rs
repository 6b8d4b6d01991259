//! Protobuf, as records of a broker: messages of a type that a descriptor set or a `.proto` file describes.
//!
//! The wire format is read straight into columns, and written from them; descriptors are only asked when a table is
//! planned. Columns are fields by name: ROW is a message, ARRAY a repeated field, MAP a map, STRING or INT an enum.

mod column;
mod decode;
mod encode;
mod wire;

use std::path::Path;

use arrow::datatypes::SchemaRef;
use prost_reflect::{DescriptorPool, MessageDescriptor};

use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};
use crate::nearest::nearest;

pub(crate) use self::decode::ProtobufDecoder;
pub(crate) use self::encode::ProtobufEncoder;

/// The format's name.
pub const NAME: &str = "protobuf";

const CLASS: &str = "protobuf.message-class-name";
const DESCRIPTOR: &str = "protobuf.descriptor-file";
const PROTO: &str = "protobuf.proto-file";
const IGNORE_ERRORS: &str = "protobuf.ignore-parse-errors";
const DEFAULTS: &str = "protobuf.read-default-values";

/// Options of the format.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new(CLASS, OptionKind::Text, "", "full name of the message: package.Message"),
    OptionDef::new(
        DESCRIPTOR,
        OptionKind::Text,
        "",
        "what protoc --include_imports --descriptor_set_out wrote",
    ),
    OptionDef::new(
        PROTO,
        OptionKind::Text,
        "",
        "a .proto file, in place of it; imports are looked for beside it",
    ),
    OptionDef::new(
        IGNORE_ERRORS,
        OptionKind::Bool,
        "false",
        "a record that cannot be read is dropped, and counted",
    ),
    OptionDef::new(
        DEFAULTS,
        OptionKind::Bool,
        "false",
        "a field of proto2 that a record lacks is its default instead of NULL; fields of proto3 without 'optional' always are",
    ),
];

/// How records are read and written.
#[derive(Debug, Clone)]
pub struct ProtobufOptions {
    message: MessageDescriptor,
    ignore_errors: bool,
    defaults: bool,
}

impl ProtobufOptions {
    /// From a table's options.
    pub fn from_options(options: &Options) -> Result<Self> {
        let name = options.required(CLASS)?;
        let pool = pool(options)?;
        // Flink names the Java class, whose package may be another one and whose nesting is written with '$'.
        let wanted = name.replace('$', ".");
        let exact = pool.get_message_by_name(&wanted);
        let short = wanted.rsplit('.').next().unwrap_or_default();
        let mut alike = pool.all_messages().filter(|m| m.name() == short);
        let message = exact.or_else(|| match (alike.next(), alike.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        });
        let message = message.ok_or_else(|| {
            let error = Error::option(format!("option '{CLASS}': there is no message '{name}'"))
                .at(options.span(CLASS));
            let names: Vec<String> = pool.all_messages().map(|m| m.full_name().to_string()).collect();
            match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint(format!("there are: {}", names.join(", "))),
            }
        })?;
        let flag = |key| options.bool(key).map(|value| value.unwrap_or(false));
        Ok(Self { message, ignore_errors: flag(IGNORE_ERRORS)?, defaults: flag(DEFAULTS)? })
    }

    /// Records that cannot be read are dropped.
    pub(crate) fn ignores_errors(&self) -> bool {
        self.ignore_errors
    }

    /// Checks that columns are fields.
    pub(crate) fn check(&self, schema: &SchemaRef) -> Result<()> {
        column::Plan::new(&self.message, schema.fields(), self.defaults).map(drop)
    }
}

fn pool(options: &Options) -> Result<DescriptorPool> {
    match (options.text(DESCRIPTOR), options.text(PROTO)) {
        (Some(_), Some(_)) => {
            Err(Error::option(format!("'{DESCRIPTOR}' and '{PROTO}' are both given")).at(options.span(PROTO)))
        }
        (Some(path), None) => {
            let bytes = std::fs::read(path).map_err(|e| {
                Error::io(format!("'{path}' cannot be read: {e}")).lasting().at(options.span(DESCRIPTOR))
            })?;
            DescriptorPool::decode(bytes.as_slice()).map_err(|e| {
                Error::option(format!("option '{DESCRIPTOR}': '{path}' is no descriptor set: {e}"))
                    .with_hint("protoc --include_imports --descriptor_set_out=FILE x.proto writes one")
                    .at(options.span(DESCRIPTOR))
            })
        }
        (None, Some(path)) => {
            let failed = |e: String| Error::option(format!("option '{PROTO}': {e}")).at(options.span(PROTO));
            let file = Path::new(path);
            let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut compiler = protox::Compiler::new([folder]).map_err(|e| failed(e.to_string()))?;
            compiler.include_imports(true).open_file(file).map_err(|e| failed(e.to_string()))?;
            DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice())
                .map_err(|e| failed(e.to_string()))
        }
        (None, None) => Err(Error::option(format!("option '{DESCRIPTOR}' or '{PROTO}' is required"))
            .with_hint(format!("'{PROTO}' = 'events.proto'"))),
    }
}

#[cfg(test)]
mod tests;
