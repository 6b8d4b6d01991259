//! The stage of a test, as the planner sees it.

use std::sync::Arc;

use super::answer::{Guarded, MockBackend};
use super::replay::ReplayBackend;
use super::stage::Stage;
use crate::catalog::Table;
use crate::error::Result;
use crate::function::user::UserFunction;
use crate::lookup::{Backend, LookupRequest};
use crate::plan::stand_in::{Real, StandIn};

impl StandIn for Stage {
    /// A table that a query names without declaring it is another one only where a recording is all that there is.
    fn table(self: Arc<Self>, table: &Arc<Table>) -> Result<Arc<Table>> {
        if !self.replay().is_some_and(|replay| replay.alone) {
            return Ok(table.clone());
        }
        Ok(super::table::staged(table, &self)?.map_or_else(|| table.clone(), Arc::new))
    }

    /// The test's mocks, or the function itself.
    fn call(
        self: Arc<Self>,
        function: &Arc<UserFunction>,
        request: &LookupRequest,
        real: Real<'_>,
    ) -> Result<Arc<dyn Backend>> {
        if self.tuning().is_some() {
            return self.metered(&function.name, request, real);
        }
        let rules = self.rules_of(&function.name);
        if let Some(replay) = self.replay().filter(|r| rules.is_empty() && r.has_lookup(&function.name)) {
            let batch = function.rows_of_call();
            return Ok(Arc::new(ReplayBackend::new(&self, &replay, &function.name, request, batch)?));
        }
        if rules.is_empty() {
            return Ok(Arc::new(Guarded::new(&self, &function.name, real()?)));
        }
        let batch = function.rows_of_call();
        Ok(Arc::new(MockBackend::new(&self, &function.name, request, rules, batch)?))
    }

    fn function_table(
        self: Arc<Self>,
        name: &str,
        request: &LookupRequest,
        real: Arc<dyn Backend>,
    ) -> Result<Arc<dyn Backend>> {
        self.metered(name, request, || Ok(real))
    }
}
