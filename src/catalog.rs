//! Tables, views and their typed, validated options.

pub mod ddl;
pub mod file;
pub mod names;
pub mod options;
pub mod registered;
pub mod table;

pub use names::Home;
pub use options::{OptionDef, OptionKind, Options};
pub use registered::Registered;
pub use table::{Catalog, Column, ColumnSource, Entry, Table, View, Watermark};
