#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::operator::picture::{Event, Rig, Tasks, cuts, schema};
use crate::operator::window::WindowKind;

fn rig(function: RankFunction, to: u64, latest_first: bool, rank_output: bool) -> Rig<WindowRank> {
    rig_in(None, function, to, latest_first, rank_output)
}

fn rig_in(
    zone: Option<&str>,
    function: RankFunction,
    to: u64,
    latest_first: bool,
    rank_output: bool,
) -> Rig<WindowRank> {
    let input = schema("start t end t k s v n");
    let spec = WindowRankSpec {
        name: "WindowRank",
        partition: vec![0, 1, 2],
        window_end: 1,
        window: WindowSpec { kind: WindowKind::Tumble { size: 10 }, offset: 0, zone: zone.map(Into::into) },
        sort: vec![SortColumn { column: 3, descending: true, nulls_first: false }],
        function,
        latest_first,
        from: 1,
        to,
        rank_output,
        input: input.clone(),
        schema: if rank_output { schema("start t end t k s v n rank n") } else { input.clone() },
    };
    Rig::new(WindowRank::new(spec).unwrap(), &input)
}

#[test]
fn windows_are_emitted_when_they_are_complete() {
    let mut top = rig(RankFunction::RowNumber, 2, false, true);
    assert_eq!(top.sent("0 10 a 1, 0 10 a 3, 10 20 a 9, 0 10 b 7, 0 10 a 2"), "");
    assert_eq!(top.marked(8), "");
    assert_eq!(top.marked(9), "+I 0 10 a 3 1, +I 0 10 a 2 2, +I 0 10 b 7 1");
    // Its window is complete: late.
    assert_eq!(top.sent("0 10 a 99, 10 20 a 1, 10 20 a 1"), "");
    assert_eq!(top.operator.late_rows(), 1);
    assert_eq!(top.marked(i64::MAX), "+I 10 20 a 9 1, +I 10 20 a 1 2");
    assert_eq!((top.operator.keys.len(), top.operator.windows.len()), (0, 0));
}

#[test]
fn windows_before_1970_and_far_ahead() {
    let mut top = rig(RankFunction::Rank, 1, false, false);
    let far = i64::MAX;
    assert_eq!(
        top.sent(&format!("-20 -10 a 1, -20 -10 a 1, 0 {far} a 2, {} {} b 1", i64::MIN, i64::MIN)),
        ""
    );
    assert_eq!(top.marked(-11), format!("+I {} {} b 1, +I -20 -10 a 1, +I -20 -10 a 1", i64::MIN, i64::MIN));
    assert_eq!(top.marked(i64::MAX), format!("+I 0 {far} a 2"));
}

#[test]
fn deduplication_keeps_the_latest_of_equals() {
    let mut last = rig(RankFunction::RowNumber, 1, true, false);
    let input = schema("start t end t k s v n");
    assert_eq!(last.input, input);
    assert_eq!(last.sent("0 10 a 5, 0 10 a 4"), "");
    assert_eq!(last.sent("0 10 a 5, 0 10 b 1, 0 10 b 1"), "");
    assert_eq!(last.marked(9), "+I 0 10 a 5, +I 0 10 b 1");
    assert!(last.operator.ranking.memory() < 1 << 20);
}

#[test]
fn ends_in_local_time() {
    let mut top = rig_in(Some("Europe/Berlin"), RankFunction::RowNumber, 1, false, false);
    // In local time 2024-01-01 01:00, which is midnight in UTC.
    assert_eq!(top.sent("0 1704070800000 a 1"), "");
    assert_eq!(top.marked(1_704_067_199_998), "");
    assert_eq!(top.marked(1_704_067_199_999), "+I 0 1704070800000 a 1");
    assert_eq!(top.sent("0 1704070800000 a 1"), "");
    assert_eq!(top.operator.late_rows(), 1);
}

fn make(function: RankFunction, to: u64, latest_first: bool) -> impl Fn() -> WindowRank + Clone + 'static {
    move || rig(function, to, latest_first, true).operator
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let row = (0i64..4, 0u8..3, 0i64..4);
    let chunk = (prop::collection::vec(row, 1..7), 0i64..9);
    prop::collection::vec(chunk, 1..20).prop_map(|chunks| {
        let (mut now, mut events) = (0i64, Vec::new());
        for (rows, progress) in chunks {
            let row = |(ahead, k, v): &(i64, u8, i64)| {
                let start = (now / 10 + ahead - 1) * 10;
                format!("{start} {} k{k} {v}", start + 10)
            };
            events.push(Event::Rows(rows.iter().map(row).collect::<Vec<_>>().join(", ")));
            now += progress;
            events.push(Event::Watermark(now));
        }
        events.push(Event::Watermark(i64::MAX));
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_crash_gives_the_same_ranks(
        events in events(),
        cuts in cuts(),
        scales in prop::collection::vec(1usize..4, 1..6),
        function in prop::sample::select(vec![RankFunction::RowNumber, RankFunction::Rank, RankFunction::DenseRank]),
        to in 1u64..4,
        latest_first: bool,
    ) {
        let (make, input) = (make(function, to, latest_first), schema("start t end t k s v n"));
        let sorted = |mut given: Vec<Vec<String>>| {
            given.iter_mut().for_each(|rows| rows.sort());
            given
        };
        let wanted = sorted(Rig::durable(make.clone(), &input).run(&events, &[]));
        let mut rig = Rig::durable(make.clone(), &input);
        prop_assert_eq!(sorted(rig.run(&events, &cuts)), wanted.clone());
        rig.checkpoint();
        prop_assert_eq!(rig.ledger.rows("rows"), 0);
        let given = Tasks::new(make, &input, &[0, 1, 2]).run(&events, &scales);
        prop_assert_eq!(&given, &wanted[..events.len()]);
    }
}
