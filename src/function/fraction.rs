//! The text of a moment whose type has a precision that Arrow has no unit for: TIMESTAMP(1) is kept in milliseconds and shown
//! with one digit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

#[derive(Debug, PartialEq, Eq, Hash)]
struct CutFraction {
    digits: u8,
    signature: Signature,
}

/// The text of a moment with so many digits behind its point.
pub(crate) fn cut_fraction(text: Expr, digits: u8) -> Expr {
    let function = CutFraction { digits, signature: Signature::any(1, Volatility::Immutable) };
    ScalarUDF::from(function).call(vec![text])
}

impl CutFraction {
    fn cut(&self, texts: &ArrayRef) -> datafusion_common::Result<ArrayRef> {
        let texts = cast(texts, &DataType::Utf8View)?;
        let texts = texts.as_string_view();
        let mut out = StringViewBuilder::with_capacity(texts.len());
        for text in texts {
            let Some(text) = text else {
                out.append_null();
                continue;
            };
            let fraction = text.find('.').map_or("", |at| &text[at + 1..]);
            let written = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let kept = written.min(usize::from(self.digits));
            let (before, behind) = text.split_at(text.len() - fraction.len());
            out.append_value(format!("{before}{}{}", &behind[..kept], &behind[written..]));
        }
        Ok(Arc::new(out.finish()))
    }
}

impl ScalarUDFImpl for CutFraction {
    fn name(&self) -> &str {
        "$cut_fraction"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(DataType::Utf8View)
    }
    fn schema_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        Ok(format!(
            "$cut_fraction({}, {})",
            args.first().map(ToString::to_string).unwrap_or_default(),
            self.digits
        ))
    }
    fn display_name(&self, args: &[Expr]) -> datafusion_common::Result<String> {
        Ok(args.first().map(ToString::to_string).unwrap_or_default())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        Ok(match args.args.as_slice() {
            [ColumnarValue::Scalar(s)] => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&self.cut(&s.to_array()?)?, 0)?)
            }
            [ColumnarValue::Array(texts)] => ColumnarValue::Array(self.cut(texts)?),
            _ => return Err(Error::internal("the text of a moment takes one operand").into()),
        })
    }
}
