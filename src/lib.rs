//! Affluent: an embedded SQL stream processor for enrichment.

#![forbid(unsafe_code)]
#![warn(missing_docs, rust_2018_idioms, clippy::unwrap_used, clippy::panic, clippy::todo)]

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connector;
pub mod demo;
pub mod error;
pub mod flow;
pub mod format;
pub mod function;
pub mod lookup;
pub mod operator;
pub mod plan;
pub mod session;
pub mod shell;
pub mod sql;
