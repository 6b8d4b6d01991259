//! What a job was computed with and identities do not have: code of functions, the time zone.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use crate::session::Output;

/// The user functions of a job, with the digests of their code.
pub(super) fn functions(outputs: &[Output]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for output in outputs {
        output.node.walk(&mut |node| all.extend(node.functions.clone()));
    }
    all
}

/// The session's time zone, if a column of the job is an instant.
pub(super) fn zone(outputs: &[Output]) -> Option<String> {
    let mut zone = None;
    for output in outputs {
        output.node.walk(&mut |node| {
            let mut zones = node.arrow.fields().iter().filter_map(|f| match f.data_type() {
                DataType::Timestamp(_, Some(zone)) => Some(zone.to_string()),
                _ => None,
            });
            zone = zone.take().or_else(|| zones.next());
        });
    }
    zone
}
