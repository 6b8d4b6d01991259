//! Rows by partition, and the names of their directories.

use std::collections::HashMap;

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::flow::Chunk;
use crate::format::text::{Cells, Style, plain};

/// The partition columns of a table that is written.
#[derive(Debug)]
pub(super) struct Directories {
    /// Names, and positions in the rows.
    pub(super) columns: Vec<(String, usize)>,
    /// The directory name for NULL.
    pub(super) default: String,
    /// Between two directories.
    pub(super) separator: char,
}

impl Directories {
    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The rows of each partition.
    pub(super) fn group(&self, chunk: &Chunk) -> Result<Vec<(String, Vec<u32>)>> {
        let style = Style::Csv { element_separator: ";".into(), null: String::new(), strip_decimals: false };
        let arrays: Vec<ArrayRef> =
            self.columns.iter().map(|(_, place)| plain(chunk.batch.column(*place))).collect::<Result<_>>()?;
        let cells = arrays.iter().map(|a| Cells::new(a.as_ref())).collect::<Result<Vec<_>>>()?;
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        let mut index: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut key = Vec::new();
        for row in 0..chunk.len() {
            key.clear();
            for cells in &cells {
                // NULL and the empty text share a directory, as in Flink.
                cells.write_or_null(row, &style, &mut key);
                key.push(0);
            }
            let group = match index.get(key.as_slice()) {
                Some(&group) => group,
                None => {
                    index.insert(key.clone(), groups.len());
                    groups.push((self.directory(&cells, row, &style), Vec::new()));
                    groups.len() - 1
                }
            };
            groups[group].1.push(row as u32);
        }
        Ok(groups)
    }

    fn directory(&self, cells: &[Cells<'_>], row: usize, style: &Style) -> String {
        let mut directory = String::new();
        for ((name, _), cells) in self.columns.iter().zip(cells) {
            if !directory.is_empty() {
                directory.push(self.separator);
            }
            let mut value = Vec::new();
            cells.write_or_null(row, style, &mut value);
            escape(name.as_bytes(), &mut directory);
            directory.push('=');
            match value.as_slice() {
                [] => directory.push_str(&self.default),
                value => escape(value, &mut directory),
            }
        }
        directory
    }
}

/// Hive's escaping of names and values in directories.
fn escape(text: &[u8], out: &mut String) {
    for character in String::from_utf8_lossy(text).chars() {
        if character.is_control() || "\"#%'*/:=?\\{[]^".contains(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(character);
        }
    }
}
