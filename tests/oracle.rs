#[test]
fn builds() {
    let _ = datafusion::prelude::SessionContext::new();
}
