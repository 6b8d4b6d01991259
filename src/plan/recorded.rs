//! What is recorded while a pipeline runs, and what answers when a recording is replayed: see the room `recording`.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::provider::{Planner, RawTable};
use crate::catalog::{ColumnSource, Table};
use crate::connector::{ScanRequest, Source};
use crate::error::Result;
use crate::lookup::{Backend, LookupRequest};
use crate::recording::{RecordedBackend, RecordedSource};

impl Planner {
    /// The table itself, or what stands in its place in a replay.
    pub(super) fn answering(&self, table: &Arc<Table>) -> Result<Arc<Table>> {
        match &self.state.stand_in {
            Some(other) => other.clone().table(table),
            None => Ok(table.clone()),
        }
    }

    /// What a lookup is asked while it is recorded: for all columns of its table and without filters, so that an edited
    /// query finds what it needs.
    pub(super) fn asked(&self, request: &LookupRequest) -> Result<LookupRequest> {
        if self.state.recorder.is_none() || !request.nested.is_empty() {
            return Ok(request.clone());
        }
        let table = &request.table;
        let physical = |name: &str| {
            table.columns.iter().any(|c| c.name == name && matches!(c.source, ColumnSource::Physical { .. }))
        };
        let (_, raw) = self.raw_columns(table);
        let fields = raw.fields().iter().filter(|f| physical(f.name())).map(|f| {
            // As the query declares it, where it reads it.
            request.schema.field_with_name(f.name()).map_or_else(|_| f.clone(), |own| Arc::new(own.clone()))
        });
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let has_all = request.schema.fields().iter().all(|f| schema.field_with_name(f.name()).is_ok());
        if !has_all {
            return Ok(LookupRequest { filters: Vec::new(), ..request.clone() });
        }
        let place = |k: &usize| Ok(schema.index_of(request.schema.field(*k).name())?);
        let mut keys = request.keys.iter().map(place).collect::<Result<Vec<_>>>()?;
        keys.sort_unstable();
        Ok(LookupRequest { keys, schema, filters: Vec::new(), ..request.clone() })
    }

    /// The backend, whose answers are recorded if anything is.
    pub(super) fn recorded(
        &self,
        asked: &LookupRequest,
        request: &LookupRequest,
        backend: Arc<dyn Backend>,
    ) -> Result<Arc<dyn Backend>> {
        match &self.state.recorder {
            Some(recorder) => {
                let name = &request.table.name;
                Ok(Arc::new(RecordedBackend::new(recorder, name, backend, asked, request)?))
            }
            None => Ok(backend),
        }
    }

    /// The source of a scan, whose rows are recorded if anything is: then all columns of the table are read.
    pub(super) fn scanned(&self, raw: &RawTable, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let table = self.answering(&request.table)?;
        let connector = table.connector()?;
        let Some(recorder) = &self.state.recorder else { return connector.source(request) };
        let own = raw.schema.fields().len();
        let mut fields: Vec<_> = raw.schema.fields().iter().cloned().collect();
        let mut wanted = Vec::with_capacity(request.schema.fields().len());
        for field in request.schema.fields() {
            match raw
                .schema
                .column_with_name(field.name())
                .filter(|(i, _)| request.projection.contains(&raw.columns[*i]))
            {
                Some((i, _)) => {
                    // The query may read a part of a ROW.
                    fields[i] = field.clone();
                    wanted.push(i);
                }
                None => {
                    wanted.push(fields.len());
                    fields.push(field.clone());
                }
            }
        }
        debug_assert!(fields.len() >= own);
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields));
        let wide = ScanRequest { projection: raw.columns.clone(), schema: schema.clone(), ..request.clone() };
        let source = connector.source(&wide)?;
        Ok(Arc::new(RecordedSource::new(recorder, &request.table.name, source, &schema, wanted)?))
    }
}
