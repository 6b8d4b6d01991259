#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use datafusion_physical_expr::expressions::{Column, lit};
use proptest::prelude::*;

use super::*;
use crate::function::aggregate::aggregate;

/// A call over columns of these types, which stand first in the input.
pub(crate) fn call(name: &str, types: &[DataType]) -> AggregateCall {
    let function = aggregate(name).unwrap();
    let column = |i: usize| Arc::new(Column::new(&format!("a{i}"), i)) as Arc<dyn PhysicalExpr>;
    AggregateCall {
        data_type: function.return_type(types).unwrap(),
        args: (0..types.len()).map(column).collect(),
        arg_types: types.to_vec(),
        filter: None,
        distinct: false,
        order_by: Vec::new(),
        ignore_nulls: None,
        display: name.to_ascii_uppercase(),
        function,
    }
}

fn show(array: &ArrayRef) -> Vec<String> {
    let text = |i| if array.is_null(i) { "NULL".into() } else { array_value_to_string(array, i).unwrap() };
    (0..array.len()).map(text).collect()
}

fn ints(values: &[Option<i64>], t: &DataType) -> ArrayRef {
    let values = Int64Array::from(values.to_vec());
    match t {
        DataType::Utf8View => {
            let texts: StringViewArray =
                values.iter().map(|v| v.map(|v| format!("text number {:04}", v + 1000))).collect();
            Arc::new(texts)
        }
        DataType::Boolean => {
            Arc::new(values.iter().map(|v| v.map(|v| v % 2 == 0)).collect::<arrow::array::BooleanArray>())
        }
        t => cast(&values, t).unwrap(),
    }
}

const GROUPS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// Group, value, selected.
    Add(Vec<(u32, Option<i64>, bool)>),
    /// Takes rows back that are there, then adds.
    Change(Vec<(u32, prop::sample::Index, Option<i64>)>),
    Merge(u32, Option<i64>),
    Within(u32, u32),
    Reset(u32),
    /// All groups leave through their state and come back, to a new accumulator, in another order.
    Restore,
}

fn value() -> impl Strategy<Value = Option<i64>> {
    prop::option::weighted(0.8, -6i64..7)
}

fn step() -> impl Strategy<Value = Step> {
    let group = 0..GROUPS as u32;
    prop_oneof![
        4 => prop::collection::vec((group.clone(), value(), prop::bool::weighted(0.8)), 0..70).prop_map(Step::Add),
        4 => prop::collection::vec((group.clone(), any::<prop::sample::Index>(), value()), 0..30).prop_map(Step::Change),
        1 => (group.clone(), value()).prop_map(|(g, v)| Step::Merge(g, v)),
        1 => (group.clone(), group.clone()).prop_map(|(a, b)| Step::Within(a, b)),
        1 => group.prop_map(Step::Reset),
        2 => Just(Step::Restore),
    ]
}

/// What a function gives for the rows of a group, oldest first, told by SQL's rules alone.
fn expected(name: &str, distinct: bool, t: &DataType, rows: &[Option<i64>]) -> String {
    let mut there: Vec<i64> = rows.iter().flatten().copied().collect();
    if *t == DataType::Boolean {
        there.iter_mut().for_each(|v| *v = i64::from(*v % 2 == 0));
    }
    if distinct {
        let mut seen = BTreeSet::new();
        there.retain(|v| seen.insert(*v));
    }
    let n = there.len() as i64;
    let (sum, squares): (i64, i64) = (there.iter().sum(), there.iter().map(|v| v * v).sum());
    let one = |v: Option<i64>| v.map_or("NULL".into(), |v| show(&ints(&[Some(v)], t))[0].clone());
    let number = |v: Option<i64>| v.map_or("NULL".into(), |v| v.to_string());
    match name {
        "count" => n.to_string(),
        "sum" => number((n > 0).then_some(sum)),
        "avg" => number((n > 0).then(|| sum / n)),
        "var_pop" => number((n > 0).then(|| (n * squares - sum * sum) / (n * n))),
        "var_samp" => number((n > 1).then(|| (n * squares - sum * sum) / (n * (n - 1)))),
        "min" if *t == DataType::Boolean => {
            there.iter().min().map_or("NULL".into(), |v| (*v == 1).to_string())
        }
        "max" if *t == DataType::Boolean => {
            there.iter().max().map_or("NULL".into(), |v| (*v == 1).to_string())
        }
        "min" => one(there.iter().min().copied()),
        "max" => one(there.iter().max().copied()),
        "bit_xor" => number((n > 0).then(|| there.iter().fold(0, |a, b| a ^ b))),
        "first_value" => one(there.first().copied()),
        "last_value" => one(there.last().copied()),
        "listagg" if n == 0 => "NULL".into(),
        "listagg" => there.iter().map(|v| one(Some(*v))).collect::<Vec<_>>().join(","),
        "array_agg" if rows.is_empty() => "NULL".into(),
        "array_agg" => {
            let shown = rows.iter().map(|v| v.map_or(String::new(), |v| v.to_string()));
            format!("[{}]", shown.collect::<Vec<_>>().join(", "))
        }
        other => panic!("{other}"),
    }
}

/// A new accumulator with the groups of another one, out of two tables as a checkpoint may have them.
fn restored(call: &AggregateCall, retracting: bool, state: &dyn Accumulator) -> Box<dyn Accumulator> {
    let mut again = call.accumulator(retracting).unwrap();
    again.resize(GROUPS);
    assert_eq!(again.state_columns(), state.state_columns());
    for groups in [vec![3, 0], vec![2, 1]] {
        let columns = state.state(&groups).unwrap();
        let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
        let wanted: Vec<DataType> = state.state_columns().into_iter().map(|c| c.data_type).collect();
        assert_eq!(types, wanted, "{}", call.display);
        assert!(columns.iter().all(|c| c.len() == groups.len()));
        // Columns of a checkpoint may be parts of longer ones.
        let slice = |c: &ArrayRef| arrow::compute::concat(&[c, c]).unwrap().slice(groups.len(), groups.len());
        again.restore(&groups, &columns.iter().map(slice).collect::<Vec<_>>()).unwrap();
    }
    assert!(state.state(&[]).unwrap().iter().all(|c| c.is_empty()));
    again
}

fn run(call: &AggregateCall, name: &str, retracting: bool, ordered: bool, steps: &[Step]) {
    let t = &call.arg_types[0];
    let mut state = call.accumulator(retracting).unwrap();
    let mut rows: Vec<Vec<Option<i64>>> = vec![Vec::new(); GROUPS];
    state.resize(2);
    state.resize(GROUPS);
    for step in steps {
        match step {
            Step::Add(added) => {
                let groups: Vec<u32> = added.iter().map(|a| a.0).collect();
                let values: Vec<Option<i64>> = added.iter().map(|a| a.1).collect();
                let selected: Vec<bool> = added.iter().map(|a| a.2).collect();
                let all = selected.iter().all(|s| *s);
                let selection = Rows { selected: (!all).then_some(&selected[..]), retracted: None };
                state.update(&groups, &[ints(&values, t)], selection).unwrap();
                for (group, value, _) in added.iter().filter(|a| a.2) {
                    rows[*group as usize].push(*value);
                }
            }
            Step::Change(changes) if retracting => {
                let (mut groups, mut values, mut back) = (Vec::new(), Vec::new(), Vec::new());
                for (group, index, value) in changes {
                    let held = &mut rows[*group as usize];
                    if !held.is_empty() {
                        let gone = held[index.index(held.len())];
                        // The oldest of its kind goes.
                        let at = held.iter().position(|v| *v == gone).unwrap();
                        held.remove(at);
                        groups.push(*group);
                        values.push(gone);
                        back.push(true);
                    }
                    held.push(*value);
                    groups.push(*group);
                    values.push(*value);
                    back.push(false);
                }
                let selection = Rows { selected: None, retracted: Some(&back) };
                state.update(&groups, &[ints(&values, t)], selection).unwrap();
            }
            Step::Merge(group, value) if !ordered => {
                let mut other = call.accumulator(retracting).unwrap();
                other.resize(3);
                let values = [*value, Some(1), *value];
                other.update(&[0, 1, 2], &[ints(&values, t)], Rows::default()).unwrap();
                state.merge(&[*group, *group, 0], other.as_ref(), &[2, 1, 0]).unwrap();
                rows[*group as usize].extend([*value, Some(1)]);
                rows[0].push(*value);
            }
            Step::Within(into, from) if !ordered && into != from => {
                state.merge_within(*into, *from).unwrap();
                let moved = rows[*from as usize].clone();
                rows[*into as usize].extend(moved);
                state.reset(*from);
                rows[*from as usize].clear();
            }
            Step::Reset(group) => {
                state.reset(*group);
                rows[*group as usize].clear();
            }
            Step::Restore => state = restored(call, retracting, state.as_ref()),
            _ => {}
        }
        let all: Vec<u32> = (0..GROUPS as u32).rev().collect();
        let result = state.values(&all).unwrap();
        assert_eq!(*result.data_type(), call.data_type);
        let shown: Vec<String> = show(&result);
        let wanted: Vec<String> =
            all.iter().map(|&g| expected(name, call.distinct, t, &rows[g as usize])).collect();
        assert_eq!(shown, wanted, "{name} of {t}, retracting {retracting}");
        assert!(state.memory() > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn results_are_those_of_the_rows(steps in prop::collection::vec(step(), 1..25), retracting: bool, distinct: bool) {
        let ts = DataType::Timestamp(TimeUnit::Millisecond, None);
        let int = DataType::Int64;
        let cases = [
            ("count", int.clone()), ("count", DataType::Utf8View), ("sum", int.clone()), ("sum", DataType::Int16),
            ("avg", DataType::Int32), ("avg", int.clone()), ("var_pop", int.clone()), ("var_samp", DataType::Int32),
            ("min", int.clone()), ("max", DataType::Int8), ("min", DataType::Utf8View), ("max", DataType::Utf8View),
            ("max", ts), ("min", DataType::Float64), ("min", DataType::Boolean), ("max", DataType::Boolean),
            ("max", DataType::Decimal128(12, 2)), ("bit_xor", int),
        ];
        for (name, t) in cases {
            let call = AggregateCall { distinct, ..call(name, &[t]) };
            run(&call, name, retracting, false, &steps);
        }
    }

    #[test]
    fn order_of_arrival_is_kept(steps in prop::collection::vec(step(), 1..25), retracting: bool) {
        for (name, t) in [
            ("first_value", DataType::Int64), ("last_value", DataType::Int32), ("first_value", DataType::Utf8View),
            ("last_value", DataType::Utf8View), ("listagg", DataType::Utf8View), ("array_agg", DataType::Int64),
        ] {
            run(&call(name, &[t]), name, retracting, true, &steps);
        }
    }
}

/// The result of one group after rows of one or more columns.
fn once(call: &AggregateCall, columns: &[ArrayRef]) -> Result<String> {
    let mut state = call.accumulator(false)?;
    state.resize(1);
    let rows = columns.first().map_or(0, |c| c.len());
    state.update(&vec![0; rows], columns, Rows::default())?;
    Ok(show(&state.values(&[0])?)[0].clone())
}

#[test]
fn sums_that_do_not_fit_are_errors() {
    let big = |v: Vec<i64>, t: &DataType| cast(&Int64Array::from(v), t).unwrap();
    for t in [DataType::Int8, DataType::Int32, DataType::Int64] {
        let most = match t {
            DataType::Int8 => i64::from(i8::MAX),
            DataType::Int32 => i64::from(i32::MAX),
            _ => i64::MAX,
        };
        let call = call("sum", std::slice::from_ref(&t));
        assert_eq!(once(&call, &[big(vec![most - 1, 1], &t)]).unwrap(), most.to_string());
        let error = once(&call, &[big(vec![most, 1], &t)]).unwrap_err();
        assert!(error.message().contains("does not fit"), "{error}");
        assert_eq!(error.kind(), crate::error::ErrorKind::Execution);
    }
    let t = DataType::Decimal128(38, 0);
    let most = 10i128.pow(38) - 1;
    let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![most, 1]).with_data_type(t.clone()));
    assert!(once(&call("sum", &[t]), &[decimals]).unwrap_err().message().contains("DECIMAL(38, 0)"));
    // The average of large numbers is a number still.
    let t = DataType::Int64;
    let average =
        once(&call("avg", std::slice::from_ref(&t)), &[big(vec![i64::MAX, i64::MAX, i64::MAX - 3], &t)]);
    assert_eq!(average.unwrap(), (i64::MAX - 1).to_string());
}

#[test]
fn averages() {
    let decimal = |v: Vec<i128>, p, s| -> ArrayRef {
        Arc::new(Decimal128Array::from(v).with_data_type(DataType::Decimal128(p, s)))
    };
    let avg = |a: ArrayRef| once(&call("avg", std::slice::from_ref(a.data_type())), &[a]).unwrap();
    assert_eq!(avg(decimal(vec![100, 200, 200], 10, 2)), "1.666667");
    assert_eq!(avg(decimal(vec![-100, -200, -200], 10, 2)), "-1.666667");
    assert_eq!(avg(decimal(vec![1, 2], 10, 7)), "0.0000002");
    assert_eq!(avg(Arc::new(Int64Array::from(vec![-3, -4]))), "-3");
    assert_eq!(avg(Arc::new(Float64Array::from(vec![1.0, 2.0]))), "1.5");
}

#[test]
fn variances_of_close_large_numbers() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1e9, 1e9 + 1.0, 1e9 + 2.0]));
    let result = |name| once(&call(name, &[DataType::Float64]), std::slice::from_ref(&values)).unwrap();
    assert_eq!(result("var_samp"), "1.0");
    assert_eq!(result("stddev_samp"), "1.0");
    assert_eq!(result("var_pop"), "0.6666666666666666");
    let decimals: ArrayRef =
        Arc::new(Decimal128Array::from(vec![100, 200, 400]).with_data_type(DataType::Decimal128(10, 2)));
    let t = DataType::Decimal128(10, 2);
    assert_eq!(
        once(&call("var_pop", std::slice::from_ref(&t)), std::slice::from_ref(&decimals)).unwrap(),
        "1.555556"
    );
    assert_eq!(once(&call("stddev_pop", &[t]), &[decimals]).unwrap(), "1.247219");
}

#[test]
fn order_by_in_a_call() {
    let types = [DataType::Utf8View, DataType::Int64];
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b", "c", "d"]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(1), None, Some(2)]));
    for (name, descending, nulls_first, wanted) in [
        ("listagg", false, true, "c,b,a,d"),
        ("listagg", true, false, "a,d,b,c"),
        ("array_agg", false, false, "[b, a, d, c]"),
        ("first_value", true, false, "a"),
        ("last_value", false, true, "d"),
    ] {
        let mut call = call(name, &types[..1]);
        call.order_by = vec![(Arc::new(Column::new("a1", 1)), descending, nulls_first)];
        call.arg_types = types.to_vec();
        assert_eq!(once(&call, &[texts.clone(), numbers.clone()]).unwrap(), wanted, "{name}");
    }
}

#[test]
fn lists() {
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("b"), None, Some("a"), Some("b")]));
    let dashes: ArrayRef = Arc::new(StringViewArray::from(vec!["-"; 4]));
    let text = DataType::Utf8View;
    let two = [text.clone(), text.clone()];
    assert_eq!(once(&call("listagg", &two), &[texts.clone(), dashes.clone()]).unwrap(), "b-a-b");
    let distinct = AggregateCall { distinct: true, ..call("listagg", &two) };
    assert_eq!(once(&distinct, &[texts.clone(), dashes]).unwrap(), "b-a");
    let of = |name: &str| call(name, std::slice::from_ref(&text));
    assert_eq!(once(&of("collect"), std::slice::from_ref(&texts)).unwrap(), "{b: 2, a: 1}");
    assert_eq!(once(&of("array_agg"), std::slice::from_ref(&texts)).unwrap(), "[b, , a, b]");
    let ignoring = AggregateCall { ignore_nulls: Some(true), distinct: true, ..of("array_agg") };
    assert_eq!(once(&ignoring, std::slice::from_ref(&texts)).unwrap(), "[b, a]");
    assert_eq!(once(&of("json_arrayagg"), std::slice::from_ref(&texts)).unwrap(), r#"["b","a","b"]"#);
    assert_eq!(once(&of("$json_arrayagg_null"), &[texts]).unwrap(), r#"["b",null,"a","b"]"#);
    let keys: ArrayRef = Arc::new(StringViewArray::from(vec!["x", "y", "x"]));
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let types = [text, DataType::Int64];
    assert_eq!(
        once(&call("json_objectagg", &types), &[keys.clone(), values.clone()]).unwrap(),
        r#"{"x":3,"y":null}"#
    );
    assert_eq!(once(&call("$json_objectagg_absent", &types), &[keys, values]).unwrap(), r#"{"x":3}"#);
    let bad: ArrayRef = Arc::new(StringViewArray::from(vec![None::<&str>]));
    let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(once(&call("json_objectagg", &types), &[bad, one]).unwrap_err().message().contains("NULL"));
}

#[test]
fn percentiles() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![4.0, 1.0, 3.0, 2.0]));
    let half: ArrayRef = Arc::new(Float64Array::from(vec![0.5; 4]));
    let types = [DataType::Float64, DataType::Float64];
    assert_eq!(once(&call("percentile", &types), &[values.clone(), half.clone()]).unwrap(), "2.5");
    let often: ArrayRef = Arc::new(Int64Array::from(vec![10, 1, 1, 1]));
    let three = [DataType::Float64, DataType::Float64, DataType::Int64];
    assert_eq!(once(&call("percentile", &three), &[values.clone(), half, often]).unwrap(), "4.0");
    let wrong: ArrayRef = Arc::new(Float64Array::from(vec![1.5; 4]));
    assert!(once(&call("percentile", &types), &[values, wrong]).unwrap_err().message().contains("1.5"));
}

#[test]
fn retracting_an_unknown_value_is_ignored() {
    let values = ints(&[Some(1), Some(2)], &DataType::Int64);
    for (name, wanted) in [("array_agg", "[2]"), ("first_value", "2"), ("last_value", "2")] {
        let mut state = call(name, &[DataType::Int64]).accumulator(true).unwrap();
        state.resize(1);
        let rows = Rows { selected: None, retracted: Some(&[true, false]) };
        state.update(&[0, 0], std::slice::from_ref(&values), rows).unwrap();
        assert_eq!(show(&state.values(&[0]).unwrap()), [wanted], "{name}");
    }
}

#[test]
fn functions_of_datafusion() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![5.0, 1.0, 3.0]));
    assert_eq!(once(&call("median", &[DataType::Float64]), std::slice::from_ref(&values)).unwrap(), "3.0");
    let mut state = call("median", &[DataType::Float64]).accumulator(true).unwrap();
    state.resize(1);
    state.update(&[0, 0, 0], std::slice::from_ref(&values), Rows::default()).unwrap();
    let rows = Rows { selected: None, retracted: Some(&[true, false, false]) };
    state.update(&[0, 0, 0], &[values], rows).unwrap();
    assert_eq!(show(&state.values(&[0]).unwrap()), ["2.0"]);
    // A constant argument is seen when the state is made.
    let mut call = call("approx_percentile_cont", &[DataType::Float64, DataType::Float64]);
    call.args[1] = lit(0.5f64);
    let batch = arrow::array::RecordBatch::try_new(
        Arc::new(Schema::new(vec![Field::new("a0", DataType::Float64, true)])),
        vec![Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]))],
    );
    let args = call.arguments(&batch.unwrap()).unwrap();
    assert_eq!(once(&call, &args).unwrap(), "2.0");
}

#[test]
fn nothing_is_null_but_a_count() {
    for f in crate::function::aggregate::aggregates().iter().take(11) {
        let t = DataType::Int64;
        let mut state = call(f.name(), &[t]).accumulator(true).unwrap();
        state.resize(2);
        let wanted = if f.name() == "count" { "0" } else { "NULL" };
        assert_eq!(show(&state.values(&[1, 0]).unwrap()), [wanted, wanted], "{}", f.name());
    }
}

#[test]
fn arguments_are_checked() {
    let coerce =
        |name: &str, types: &[DataType]| aggregate(name).unwrap().coerce_types(types).map_err(Error::from);
    let error = coerce("SUM", &[DataType::Utf8View]).unwrap_err();
    assert_eq!(error.message(), "argument 1 of SUM must be a number, not STRING");
    let error = coerce("avg", &[DataType::Int32, DataType::Int32]).unwrap_err();
    assert_eq!(error.hint(), Some("use AVG([DISTINCT] number)"));
    assert!(coerce("max", &[DataType::new_list(DataType::Int32, true)]).is_err());
    assert_eq!(coerce("min", &[DataType::Utf8]).unwrap(), [DataType::Utf8View]);
    let sum = aggregate("Sum").unwrap();
    assert_eq!(sum.return_type(&[DataType::Decimal128(10, 2)]).unwrap(), DataType::Decimal128(38, 2));
}

#[test]
fn state_is_readable() {
    let int = DataType::Int64;
    let table = |name: &str, distinct: bool, retracting: bool| {
        let call = AggregateCall { distinct, ..call(name, std::slice::from_ref(&int)) };
        let mut state = vec![call.accumulator(retracting).unwrap()];
        state[0].resize(2);
        let values = ints(&[Some(7), Some(3), Some(7), None], &int);
        state[0].update(&[0, 0, 0, 1], &[values], Rows::default()).unwrap();
        let schema = state::state_schema(Vec::new(), &[call], &state);
        let mut columns = Vec::new();
        state::append_state(&state, &[0, 1], &mut columns).unwrap();
        let column =
            |(f, c): (&std::sync::Arc<Field>, &ArrayRef)| format!("{}: {}", f.name(), show(c).join(" | "));
        schema.fields().iter().zip(&columns).map(column).collect::<Vec<_>>()
    };
    assert_eq!(table("count", false, false), ["COUNT: 3 | 0"]);
    assert_eq!(table("sum", false, false), ["SUM total: 17 | 0", "SUM count: 3 | 0"]);
    assert_eq!(table("min", false, true), ["MIN values: [3, 7] | []", "MIN counts: [1, 2] | []"]);
    assert_eq!(
        table("count", true, false),
        ["COUNT: 2 | 0", "COUNT values: [7, 3] | []", "COUNT counts: [2, 1] | []"]
    );
    assert_eq!(table("first_value", false, false), ["FIRST_VALUE: 7 | NULL", "FIRST_VALUE arrival: 0 | 0"]);
    assert_eq!(table("array_agg", false, false), ["ARRAY_AGG values: [7, 3, 7] | []"]);
}

#[test]
fn columns_with_one_name_are_told_apart() {
    let t = DataType::Int64;
    let columns = ["a", "b", "a", "a 2", "a"].map(|name| (name.to_string(), t.clone()));
    let names = state::named(columns.into()).fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    assert_eq!(names, ["a", "b", "a 2", "a 2 2", "a 3"]);
}

#[test]
fn state_of_another_shape_is_refused() {
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["x"]));
    for name in ["count", "sum", "avg", "min", "first_value", "listagg", "array_agg", "var_pop", "bit_xor"] {
        for retracting in [false, true] {
            let t = if name == "listagg" { DataType::Utf8View } else { DataType::Int64 };
            let mut state = call(name, &[t]).accumulator(retracting).unwrap();
            state.resize(1);
            if name != "listagg" || retracting {
                assert!(state.restore(&[0], std::slice::from_ref(&text)).is_err(), "{name} {retracting}");
            }
            assert!(state.restore(&[0], &[]).is_err(), "{name} {retracting}");
        }
    }
}

/// What an accumulator gives after its state was taken out and put into another one is what it gives.
#[test]
fn state_of_every_type_comes_back() {
    let texts = DataType::Utf8View;
    let double = DataType::Float64;
    let decimal = DataType::Decimal128(20, 3);
    let numbers = [DataType::Int8, DataType::Int64, DataType::Float32, double.clone(), decimal.clone()];
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut cases: Vec<AggregateCall> = Vec::new();
    for t in &numbers {
        let names =
            ["sum", "avg", "min", "max", "var_pop", "stddev_samp", "collect", "first_value", "last_value"];
        cases.extend(names.iter().map(|name| call(name, std::slice::from_ref(t))));
    }
    for t in [texts.clone(), stamp, DataType::Boolean, DataType::Date32] {
        let names =
            ["min", "max", "collect", "first_value", "last_value", "array_agg", "json_arrayagg", "count"];
        cases.extend(names.iter().map(|name| call(name, std::slice::from_ref(&t))));
    }
    for ignore_nulls in [Some(true), Some(false)] {
        for name in ["first_value", "last_value", "array_agg"] {
            let of = call(name, std::slice::from_ref(&texts));
            cases.push(AggregateCall { ignore_nulls, ..of });
        }
    }
    let with_order = |name: &str| AggregateCall {
        order_by: vec![(Arc::new(Column::new("a1", 1)), true, false)],
        arg_types: vec![DataType::Int64, DataType::Int64],
        ..call(name, &[DataType::Int64])
    };
    cases.extend(["first_value", "array_agg"].map(with_order));
    cases.extend(["median", "approx_distinct", "bit_and"].map(|n| call(n, &[DataType::Int64])));
    cases.extend(["corr", "covar_samp", "regr_slope"].map(|n| call(n, &[double.clone(), double.clone()])));
    cases.extend(["listagg", "json_objectagg", "count"].map(|n| call(n, &[texts.clone(), texts.clone()])));
    for (call, distinct) in cases.iter().flat_map(|c| [(c, false), (c, true)]) {
        let call = AggregateCall { distinct, ..call.clone() };
        for retracting in [false, true] {
            let update = |state: &mut dyn Accumulator, from: i64| {
                // No NULL: keys of JSON_OBJECTAGG may not be.
                let values: Vec<Option<i64>> = (from..from + 12).map(|i| Some(i * 7 % 5)).collect();
                let args: Vec<ArrayRef> = call.arg_types.iter().map(|t| ints(&values, t)).collect();
                let groups: Vec<u32> = (0..12).map(|i| i % 3).collect();
                state.update(&groups, &args, Rows::default()).unwrap();
            };
            let Ok(mut state) = call.accumulator(retracting) else { panic!("{}", call.display) };
            state.resize(GROUPS);
            update(state.as_mut(), 0);
            let mut again = restored(&call, retracting, state.as_ref());
            update(state.as_mut(), 5);
            update(again.as_mut(), 5);
            let (wanted, found) =
                (state.values(&[0, 1, 2, 3]).unwrap(), again.values(&[0, 1, 2, 3]).unwrap());
            assert_eq!(&wanted, &found, "{} {distinct} {retracting}", call.display);
        }
    }
}
