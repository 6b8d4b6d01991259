//! Nothing is lost, doubled or overtaken, whoever is slow.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::flow::Mailbox;
use crate::flow::message::{Watermark, WatermarkClock};

/// Key, sender, number and time of a row.
type Row = (Option<i64>, i64, i64, i64);

fn chunk(rows: &[Row]) -> Chunk {
    let column = |f: fn(&Row) -> Option<i64>| -> arrow::array::ArrayRef {
        Arc::new(rows.iter().map(f).collect::<Int64Array>())
    };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("key", column(|r| r.0), true),
        ("sender", column(|r| Some(r.1)), true),
        ("number", column(|r| Some(r.2)), true),
        ("time", column(|r| Some(r.3)), true),
    ]);
    Chunk::append(batch.unwrap(), Instant::now())
}

fn rows(chunk: &Chunk) -> Vec<Row> {
    let column = |i: usize| chunk.batch.column(i).as_primitive::<Int64Type>().clone();
    let columns: Vec<Int64Array> = (0..4).map(column).collect();
    let keys = columns[0].iter();
    keys.enumerate()
        .map(|(i, k)| (k, columns[1].value(i), columns[2].value(i), columns[3].value(i)))
        .collect()
}

fn at(millis: i64) -> Watermark {
    WatermarkClock::default().advance(millis).unwrap()
}

fn ends(senders: usize, receivers: usize, keys: &[usize]) -> (Vec<Sender>, Vec<Receiver>, Mailbox) {
    let exchange = Exchange::new(senders, receivers);
    let mailbox = Mailbox::new();
    let sender = |i| exchange.sender(i, keys.to_vec(), &mailbox.waker(100 + i));
    let receiver = |i| exchange.receiver(i, mailbox.waker(i));
    ((0..senders).map(sender).collect(), (0..receivers).map(receiver).collect(), mailbox)
}

/// What is there, as text.
fn all(receiver: &mut Receiver) -> Vec<String> {
    let mut seen = Vec::new();
    while let Received::Message(message) = receiver.receive().unwrap() {
        seen.push(match message {
            Message::Data(chunk) => {
                let numbers = rows(&chunk).iter().map(|r| r.2.to_string()).collect::<Vec<_>>();
                if chunk.len() > 20 { format!("{} rows", chunk.len()) } else { numbers.join(" ") }
            }
            Message::Watermark(Watermark::END) => "END".to_string(),
            Message::Watermark(watermark) => format!("@{}", watermark.millis()),
            Message::Status(status) => format!("{status:?}"),
            Message::Barrier(barrier) => format!("#{}", barrier.epoch),
            Message::End => "End".to_string(),
        });
    }
    seen
}

fn data(numbers: std::ops::Range<i64>) -> Message {
    Message::Data(chunk(&numbers.map(|n| (Some(n), 0, n, 0)).collect::<Vec<_>>()))
}

#[test]
fn small_pieces_are_put_together_and_signals_cut() {
    let (mut senders, mut receivers, _) = ends(2, 1, &[0]);
    senders[0].send(data(0..2)).unwrap();
    senders[0].send(data(2..3)).unwrap();
    senders[0].send(Message::Watermark(at(5))).unwrap();
    senders[0].send(data(3..4)).unwrap();
    senders[1].send(data(10..12)).unwrap();
    senders[1].send(Message::Watermark(at(3))).unwrap();
    assert_eq!(all(&mut receivers[0]), ["0 1 2 10 11", "@3", "3"]);
    for from in [0, 5_000, 10_000] {
        senders[0].send(data(from..from + 5_000)).unwrap();
    }
    senders[0].send(data(0..3_000)).unwrap();
    assert_eq!(all(&mut receivers[0]), ["5000 rows", "5000 rows", "8000 rows"]);
    senders[0].send(Message::End).unwrap();
    assert_eq!(all(&mut receivers[0]), Vec::<String>::new(), "the other one says 3 still");
    senders[1].send(Message::Status(Status::Idle)).unwrap();
    assert_eq!(all(&mut receivers[0]), ["Idle"]);
    senders[1].send(Message::Status(Status::Active)).unwrap();
    senders[1].send(data(0..1)).unwrap();
    senders[1].send(Message::End).unwrap();
    assert_eq!(all(&mut receivers[0]), ["Active", "0", "END", "End"]);
}

#[test]
fn a_big_sender_does_not_starve_the_others() {
    let (mut senders, mut receivers, _) = ends(2, 1, &[0]);
    for _ in 0..5 {
        senders[0].send(data(0..8192)).unwrap();
    }
    senders[1].send(data(0..1)).unwrap();
    senders[1].send(Message::Watermark(at(1))).unwrap();
    senders[0].send(Message::Watermark(at(2))).unwrap();
    let seen = all(&mut receivers[0]);
    assert_eq!(seen[..2], ["8192 rows", "0"]);
    assert_eq!(seen.last().unwrap(), "@1");
}

#[test]
fn without_keys_all_rows_go_to_the_first() {
    let (mut senders, mut receivers, _) = ends(1, 3, &[]);
    senders[0].send(data(0..3)).unwrap();
    senders[0].send(Message::Watermark(at(5))).unwrap();
    let seen: Vec<_> = receivers.iter_mut().map(all).collect();
    assert_eq!(seen, [vec!["0 1 2", "@5"], vec!["@5"], vec!["@5"]]);
}

#[test]
fn barriers_line_up() {
    let (mut senders, mut receivers, _) = ends(3, 1, &[0]);
    let barrier = |epoch| Message::Barrier(Barrier { epoch, last: false });
    senders[0].send(barrier(1)).unwrap();
    senders[0].send(data(0..1)).unwrap();
    senders[1].send(data(10..11)).unwrap();
    assert_eq!(all(&mut receivers[0]), ["10"], "what is behind the barrier waits");
    senders[1].send(barrier(1)).unwrap();
    senders[1].send(barrier(2)).unwrap();
    assert_eq!(all(&mut receivers[0]), Vec::<String>::new());
    senders[2].send(data(20..21)).unwrap();
    senders[2].send(Message::End).unwrap();
    assert_eq!(all(&mut receivers[0]), ["20", "#1", "0"]);
    senders[0].send(barrier(2)).unwrap();
    assert_eq!(all(&mut receivers[0]), ["#2"]);
}

#[test]
fn updates_stay_behind_what_they_update() {
    use Kind::{Insert, UpdateAfter, UpdateBefore};
    let (mut senders, mut receivers, _) = ends(1, 4, &[0]);
    let mut pairs = Vec::new();
    for n in 0..50 {
        pairs.extend([(Some(n), 0, n, 0), (Some(n), 0, n, 1), (Some(100 + n), 0, n, 2)]);
    }
    let kinds: Vec<Kind> = (0..50).flat_map(|_| [UpdateBefore, UpdateAfter, Insert]).collect();
    let sent = Chunk { kinds: Kinds::Changes(kinds.into()), ..chunk(&pairs) };
    senders[0].send(Message::Data(sent)).unwrap();
    senders[0].send(data(1000..1200)).unwrap();
    let mut updates = 0;
    for receiver in &mut receivers {
        let Received::Message(Message::Data(piece)) = receiver.receive().unwrap() else { panic!() };
        let rows = rows(&piece);
        assert!(rows.len() > 40, "uneven: {}", rows.len());
        for i in 0..rows.len() {
            assert_eq!(piece.kinds.get(i) == Insert, rows[i].3 == 2 || rows[i].2 >= 1000);
            if piece.kinds.get(i) == UpdateBefore {
                assert_eq!((piece.kinds.get(i + 1), rows[i + 1].2), (UpdateAfter, rows[i].2));
                updates += 1;
            }
        }
    }
    assert_eq!(updates, 50);
}

#[test]
fn a_full_channel_pushes_back_and_lets_go() {
    let (mut senders, mut receivers, mailbox) = ends(2, 2, &[]);
    assert!(senders[0].has_room());
    for _ in 0..3 {
        senders[0].send(data(0..8192)).unwrap();
    }
    assert!(!senders[0].has_room() && senders[1].has_room());
    // Nobody waited for something: nobody is woken.
    assert_eq!(mailbox.take().woken, Vec::<usize>::new());
    receivers[0].receive().unwrap();
    assert_eq!(mailbox.take().woken, Vec::<usize>::new(), "still full");
    receivers[0].receive().unwrap();
    assert_eq!(mailbox.take().woken, [100]);
    assert!(senders[0].has_room());
    all(&mut receivers[0]);
    senders[1].send(Message::Status(Status::Idle)).unwrap();
    assert_eq!(mailbox.take().woken, [0], "the first receiver had found nothing; the second never looked");
    // A receiver that goes away takes everything, and tells everybody.
    for _ in 0..3 {
        senders[0].send(data(0..8192)).unwrap();
    }
    assert!(!senders[0].has_room());
    receivers.remove(0);
    assert_eq!(mailbox.take().woken, [100, 101]);
    assert!(senders[0].has_room() && !senders[0].is_abandoned());
    senders[0].send(data(0..8192)).unwrap();
    drop(receivers);
    assert!(senders[0].is_abandoned() && senders[1].is_abandoned());
    senders[0].send(data(0..8192)).unwrap();
}

/// What a receiver has seen.
#[derive(Default)]
struct Checked {
    watermark: Option<i64>,
    rows: usize,
    /// The last number by sender and key.
    last: HashMap<(i64, Option<i64>), i64>,
    ended: bool,
}

impl Checked {
    fn check(&mut self, message: &Message) {
        assert!(!self.ended, "something behind the end");
        match message {
            Message::Data(chunk) => {
                for (key, sender, number, time) in rows(chunk) {
                    assert!(self.watermark.is_none_or(|w| time > w), "the watermark was ahead of a row");
                    let last = self.last.insert((sender, key), number);
                    assert!(last.is_none_or(|l| l < number), "a row overtook another of its key");
                    self.rows += 1;
                }
            }
            Message::Watermark(watermark) => {
                assert!(self.watermark < Some(watermark.millis()), "the watermark went back");
                self.watermark = Some(watermark.millis());
            }
            Message::End => self.ended = true,
            Message::Status(_) | Message::Barrier(_) => {}
        }
    }
}

/// One sender's stream: rows behind its watermark, in order.
#[derive(Default)]
struct Stream {
    sender: i64,
    number: i64,
    watermark: i64,
}

impl Stream {
    fn rows(&mut self, count: usize, keys: i64) -> Message {
        let rows = (0..count).map(|_| {
            self.number += 1;
            let key = self.number.wrapping_mul(7) % keys;
            ((key != 0).then_some(key), self.sender, self.number, self.watermark + 1 + self.number % 5)
        });
        Message::Data(chunk(&rows.collect::<Vec<_>>()))
    }

    fn watermark(&mut self) -> Message {
        self.watermark += 2;
        Message::Watermark(at(self.watermark))
    }
}

fn check_all(checked: &[Checked], streams: &[Stream]) {
    assert!(checked.iter().all(|c| c.ended && c.watermark == Some(i64::MAX)));
    let sent: i64 = streams.iter().map(|s| s.number).sum();
    assert_eq!(checked.iter().map(|c| c.rows).sum::<usize>(), sent as usize);
    let mut owners = HashMap::new();
    for (task, seen) in checked.iter().enumerate() {
        for (_, key) in seen.last.keys() {
            assert_eq!(*owners.entry(*key).or_insert(task), task, "key {key:?} at two tasks");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_arrives_once_and_in_order(
        senders in 1..5usize,
        receivers in 1..5usize,
        keys in 1..40i64,
        steps in prop::collection::vec((0..4usize, 0..5u8, 1..60usize), 1..80),
    ) {
        let (mut out, mut into, _) = ends(senders, receivers, &[0]);
        let mut streams: Vec<Stream> =
            (0..senders).map(|s| Stream { sender: s as i64, ..Stream::default() }).collect();
        let mut checked: Vec<Checked> = (0..receivers).map(|_| Checked::default()).collect();
        let take = |into: &mut [Receiver], r: usize, checked: &mut [Checked]| loop {
            match into[r].receive().unwrap() {
                Received::Message(message) => checked[r].check(&message),
                Received::Pending => return,
            }
        };
        for (who, what, count) in steps {
            let sender = who % senders;
            let message = match what {
                0..=2 => streams[sender].rows(count, keys),
                3 => streams[sender].watermark(),
                _ => {
                    take(&mut into, who % receivers, &mut checked);
                    continue;
                }
            };
            out[sender].send(message).unwrap();
        }
        for sender in &mut out {
            sender.send(Message::End).unwrap();
        }
        for r in 0..receivers {
            take(&mut into, r, &mut checked);
        }
        check_all(&checked, &streams);
    }
}

/// Threads that park when there is nothing to do, as tasks do: a lost wake-up would never end.
#[test]
fn nobody_waits_for_ever() {
    for (senders, receivers) in [(1, 4), (4, 1), (3, 3)] {
        let exchange = Exchange::new(senders, receivers);
        let (streams, checked) = std::thread::scope(|scope| {
            let sending: Vec<_> = (0..senders)
                .map(|s| {
                    let mailbox = Mailbox::new();
                    let mut out = exchange.sender(s, vec![0], &mailbox.waker(0));
                    scope.spawn(move || {
                        let mut stream = Stream { sender: s as i64, ..Stream::default() };
                        for round in 0..300 {
                            while !out.has_room() {
                                mailbox.wait(None);
                            }
                            out.send(stream.rows(1 + round % 900, 1_000)).unwrap();
                            if round % 7 == s {
                                out.send(stream.watermark()).unwrap();
                            }
                        }
                        out.send(Message::End).unwrap();
                        stream
                    })
                })
                .collect();
            let receiving: Vec<_> = (0..receivers)
                .map(|r| {
                    let mailbox = Mailbox::new();
                    let mut into = exchange.receiver(r, mailbox.waker(0));
                    scope.spawn(move || {
                        let mut checked = Checked::default();
                        while !checked.ended {
                            match into.receive().unwrap() {
                                Received::Message(message) => checked.check(&message),
                                Received::Pending => drop(mailbox.wait(None)),
                            }
                        }
                        checked
                    })
                })
                .collect();
            let streams: Vec<_> = sending.into_iter().map(|t| t.join().unwrap()).collect();
            let checked: Vec<_> = receiving.into_iter().map(|t| t.join().unwrap()).collect();
            (streams, checked)
        });
        check_all(&checked, &streams);
    }
}
