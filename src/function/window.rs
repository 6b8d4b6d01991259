//! The functions that need OVER: names, arguments and result types as Flink has them.
//!
//! What they compute is in [`crate::operator::over`] and [`crate::operator::top_n`]; DataFusion only plans
//! the calls. Aggregate functions need no entry here, but for FIRST_VALUE and LAST_VALUE, which DataFusion
//! looks for among these.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result as DfResult, internal_err};
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{PartitionEvaluator, Signature, TypeSignature, Volatility, WindowUDF, WindowUDFImpl};

use crate::error::Error;

/// A function that needs OVER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    Ntile,
    PercentRank,
    CumeDist,
    NthValue,
}

use WindowFunction::*;

const NAMES: &[(&str, WindowFunction)] = &[
    ("row_number", RowNumber),
    ("rank", Rank),
    ("dense_rank", DenseRank),
    ("lag", Lag),
    ("lead", Lead),
    ("first_value", FirstValue),
    ("last_value", LastValue),
    ("ntile", Ntile),
    ("percent_rank", PercentRank),
    ("cume_dist", CumeDist),
    ("nth_value", NthValue),
];

impl WindowFunction {
    /// Which function a planned call names.
    pub fn of(udf: &WindowUDF) -> Option<Self> {
        udf.inner().downcast_ref::<Definition>().map(|d| d.function)
    }

    /// Its name, upper case.
    pub fn label(self) -> String {
        NAMES.iter().find(|n| n.1 == self).map_or("", |n| n.0).to_ascii_uppercase()
    }

    /// Whether rows after the current one decide about its result: no stream can know it.
    pub fn looks_ahead(self) -> bool {
        matches!(self, Lead | Ntile | PercentRank | CumeDist | NthValue)
    }
}

/// The function of a name, whatever its case.
pub fn window_function(name: &str) -> Option<Arc<WindowUDF>> {
    static ALL: LazyLock<Vec<Arc<WindowUDF>>> = LazyLock::new(|| {
        let all = NAMES.iter().map(|&(name, function)| {
            let arguments = |counts: &[usize]| {
                let any = |&n: &usize| if n == 0 { TypeSignature::Nullary } else { TypeSignature::Any(n) };
                Signature::one_of(counts.iter().map(any).collect(), Volatility::Immutable)
            };
            let signature = match function {
                RowNumber | Rank | DenseRank | PercentRank | CumeDist => {
                    Signature::user_defined(Volatility::Immutable)
                }
                Lag | Lead => arguments(&[1, 2, 3]),
                FirstValue | LastValue | Ntile => arguments(&[1]),
                NthValue => arguments(&[2]),
            };
            Arc::new(WindowUDF::from(Definition { name, function, signature }))
        });
        all.collect()
    });
    ALL.iter().find(|f| f.name().eq_ignore_ascii_case(name)).cloned()
}

/// Names a user may write, upper case.
pub fn window_function_names() -> Vec<String> {
    NAMES.iter().filter(|n| !n.1.looks_ahead()).map(|n| n.0.to_ascii_uppercase()).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Definition {
    name: &'static str,
    function: WindowFunction,
    signature: Signature,
}

impl WindowUDFImpl for Definition {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        match types {
            [] => Ok(Vec::new()),
            _ => {
                let name = self.function.label();
                Err(Error::plan(format!("{name} takes no argument"))
                    .with_hint(format!("write {name}() OVER (... ORDER BY ...)"))
                    .into())
            }
        }
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs<'_>,
    ) -> DfResult<Box<dyn PartitionEvaluator>> {
        internal_err!("{} is computed by the OVER operators", self.name)
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> DfResult<FieldRef> {
        if self.function.looks_ahead() {
            return Err(Error::unsupported(format!("{} is not supported", self.function.label()))
                .with_detail("it needs rows that come after the current one, and a stream has no last row; in batch mode it is not computed either")
                .with_hint(match self.function {
                    Lead => "in batch mode LAG(...) OVER (... ORDER BY ... DESC) looks at the row that comes next",
                    NthValue => "ROW_NUMBER() OVER (... ORDER BY ...) = n in a subquery, joined by the partition's key, gives it",
                    _ => "in batch mode it follows from ROW_NUMBER() OVER (PARTITION BY k ORDER BY x) and COUNT(*) OVER (PARTITION BY k)",
                })
                .into());
        }
        let data_type = match self.function {
            RowNumber | Rank | DenseRank => DataType::Int64,
            _ => args.get_input_field(0).map_or(DataType::Null, |f| f.data_type().clone()),
        };
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_messages_know() {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, crate::error::functions::OF_WINDOWS);
    }
}
