//! `LISTAGG` where nothing is taken back and no order is asked for: texts grow at their ends.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder};
use arrow::datatypes::DataType;

use super::state::{StateColumn, column};
use super::{Accumulator, Rows, each_row, nulls_of, only_arg, same_state};
use crate::error::{Error, Result};

/// Texts by group.
#[derive(Debug, Default)]
pub(super) struct Joined {
    texts: Vec<Option<String>>,
    /// The separator that came last: all rows have the same.
    separator: Option<String>,
}

fn strings(array: &ArrayRef) -> Result<&StringViewArray> {
    array.as_string_view_opt().ok_or_else(|| Error::internal("LISTAGG of what is no string"))
}

impl Joined {
    fn append(&mut self, group: u32, value: &str) {
        match &mut self.texts[group as usize] {
            Some(text) => {
                text.push_str(self.separator.as_deref().unwrap_or(","));
                text.push_str(value);
            }
            empty => *empty = Some(value.to_string()),
        }
    }
}

impl Accumulator for Joined {
    fn resize(&mut self, groups: usize) {
        if groups > self.texts.len() {
            self.texts.resize(groups, None);
        }
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        if rows.retracted.is_some_and(|r| r.contains(&true)) {
            return Err(Error::internal("a value was retracted from a state that only adds"));
        }
        let arg = only_arg(args, "LISTAGG")?;
        let values = strings(arg)?;
        if let Some(separator) = args.get(1).filter(|s| !s.is_empty()) {
            let separator = strings(separator)?;
            let text = if separator.is_valid(0) { separator.value(0) } else { "" };
            if self.separator.as_deref() != Some(text) {
                self.separator = Some(text.to_string());
            }
        }
        each_row(groups.len(), rows, nulls_of(arg).as_ref(), |i, _| self.append(groups[i], values.value(i)));
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        let other = same_state::<Self>(other)?;
        if self.separator.is_none() {
            self.separator.clone_from(&other.separator);
        }
        for (&group, &from) in groups.iter().zip(from) {
            if let Some(text) = &other.texts[from as usize] {
                self.append(group, text);
            }
        }
        Ok(())
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        if let Some(text) = self.texts[from as usize].clone() {
            self.append(into, &text);
        }
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut builder = StringViewBuilder::with_capacity(groups.len());
        groups.iter().for_each(|&g| builder.append_option(self.texts[g as usize].as_deref()));
        Ok(Arc::new(builder.finish()))
    }

    fn reset(&mut self, group: u32) {
        self.texts[group as usize] = None;
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        vec![StateColumn::new("", DataType::Utf8View), StateColumn::new("separator", DataType::Utf8View)]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let separators = groups.iter().map(|_| self.separator.as_deref());
        Ok(vec![self.values(groups)?, Arc::new(separators.collect::<StringViewArray>())])
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (texts, separators) = (strings(column(state, 0)?)?, strings(column(state, 1)?)?);
        for (&group, text) in groups.iter().zip(texts) {
            self.texts[group as usize] = text.map(str::to_string);
        }
        if let Some(separator) = separators.iter().flatten().next() {
            self.separator = Some(separator.to_string());
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        let texts: usize = self.texts.iter().flatten().map(String::capacity).sum();
        texts + self.texts.capacity() * size_of::<Option<String>>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
