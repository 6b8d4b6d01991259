//! What answers in the place of all that is outside, where a pipeline is not run but tested, replayed or tuned.

use std::fmt::Debug;
use std::sync::Arc;

use crate::catalog::Table;
use crate::error::Result;
use crate::function::user::UserFunction;
use crate::lookup::{Backend, LookupRequest};

/// Makes the backend that would be asked if nothing stood in its place.
pub(crate) type Real<'a> = Box<dyn FnOnce() -> Result<Arc<dyn Backend>> + 'a>;

/// What stands in the place of tables, functions and models while plans are made.
pub(crate) trait StandIn: Debug + Send + Sync {
    /// The table itself, or what stands in its place.
    fn table(self: Arc<Self>, table: &Arc<Table>) -> Result<Arc<Table>>;

    /// What answers for a function or model that waits.
    fn call(
        self: Arc<Self>,
        function: &Arc<UserFunction>,
        request: &LookupRequest,
        real: Real<'_>,
    ) -> Result<Arc<dyn Backend>>;

    /// What answers for a function as a table.
    fn function_table(
        self: Arc<Self>,
        name: &str,
        request: &LookupRequest,
        real: Arc<dyn Backend>,
    ) -> Result<Arc<dyn Backend>>;
}
