//! Events as columns.
//!
//! Texts are views into pools that all batches share (letters, words, channels and their URLs): nothing is
//! copied. The fields of an event's ROW are made for the events of its type alone and then spread over the
//! batch; the ROWs of the other types are NULL.

use std::sync::Arc;

use arrow::array::builder::StringViewBuilder;
use arrow::array::{ArrayRef, Int32Array, Int64Array, StructArray, TimestampMillisecondArray, UInt32Array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Fields, TimeUnit};

use super::model::{Draw, Model, What, below, mix};
use crate::error::{Error, Result};

const LETTERS: usize = 1 << 20;
const WORDS: usize = 1 << 16;
const CHANNELS: u32 = 10_000;
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// A part of a pool: offset and length.
type Place = (u32, u32);

/// Texts that views point into.
#[derive(Debug)]
struct Pools {
    letters: Buffer,
    /// Letters with a space at every thirteenth place or so.
    words: Buffer,
    /// Names of channels and their URLs, the hot ones first.
    channels: Buffer,
    names: Vec<Place>,
    urls: Vec<Place>,
}

/// A run of random numbers.
struct Run(u64);

impl Run {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        below(mix(self.0), n)
    }

    /// Letters, one in thirteen replaced.
    fn text(&mut self, length: u64, special: u8, out: &mut Vec<u8>) {
        for _ in 0..length {
            let byte = if self.below(13) == 0 { special } else { b'a' + self.below(26) as u8 };
            out.push(byte);
        }
    }

    fn url(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"https://www.nexmark.com/");
        for _ in 0..3 {
            let length = 3 + self.below(2);
            self.text(length, b'_', out);
            out.push(b'/');
        }
        out.extend_from_slice(b"item.htm?query=1");
    }
}

fn put(block: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Place {
    let start = block.len();
    write(block);
    (start as u32, (block.len() - start) as u32)
}

impl Pools {
    fn new(seed: u64) -> Self {
        let mut run = Run(mix(seed.wrapping_add(1)));
        let letters: Vec<u8> = (0..LETTERS).map(|_| b'a' + run.below(26) as u8).collect();
        let mut words = Vec::with_capacity(WORDS);
        run.text(WORDS as u64, b' ', &mut words);
        let mut channels = Vec::new();
        let (mut names, mut urls) = (Vec::new(), Vec::new());
        for name in HOT_CHANNELS {
            names.push(put(&mut channels, |out| out.extend_from_slice(name.as_bytes())));
            urls.push(put(&mut channels, |out| run.url(out)));
        }
        for channel in 0..CHANNELS {
            names.push(put(&mut channels, |out| {
                out.extend_from_slice(format!("channel-{channel}").as_bytes());
            }));
            urls.push(put(&mut channels, |out| {
                run.url(out);
                if run.below(10) > 0 {
                    let id = (channel.reverse_bits() as i32).wrapping_abs();
                    out.extend_from_slice(format!("&channel_id={id}").as_bytes());
                }
            }));
        }
        Self { letters: letters.into(), words: words.into(), channels: channels.into(), names, urls }
    }
}

/// A column of parts of a block.
fn views(block: &Buffer, places: impl Iterator<Item = Place>) -> Result<ArrayRef> {
    let mut builder = StringViewBuilder::with_capacity(places.size_hint().0);
    let number = builder.append_block(block.clone());
    for (offset, length) in places {
        builder.try_append_view(number, offset, length)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of texts that are put together.
fn texts(events: &[u64], mut write: impl FnMut(u64, &mut String)) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(events.len());
    let mut text = String::new();
    for event in events {
        text.clear();
        write(*event, &mut text);
        builder.append_value(&text);
    }
    Arc::new(builder.finish())
}

/// A field of an event's ROW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    PersonId,
    Name,
    Email,
    CreditCard,
    City,
    State,
    PersonExtra,
    AuctionId,
    ItemName,
    Description,
    InitialBid,
    Reserve,
    Expires,
    Seller,
    Category,
    AuctionExtra,
    BidAuction,
    Bidder,
    Price,
    Channel,
    Url,
    BidExtra,
    DateTime,
}

const BIGINT: DataType = DataType::Int64;
const TEXT: DataType = DataType::Utf8View;
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

type Layout = &'static [(&'static str, Field, DataType)];

const PERSON: Layout = &[
    ("id", Field::PersonId, BIGINT),
    ("name", Field::Name, TEXT),
    ("emailAddress", Field::Email, TEXT),
    ("creditCard", Field::CreditCard, TEXT),
    ("city", Field::City, TEXT),
    ("state", Field::State, TEXT),
    ("dateTime", Field::DateTime, TIMESTAMP),
    ("extra", Field::PersonExtra, TEXT),
];
const AUCTION: Layout = &[
    ("id", Field::AuctionId, BIGINT),
    ("itemName", Field::ItemName, TEXT),
    ("description", Field::Description, TEXT),
    ("initialBid", Field::InitialBid, BIGINT),
    ("reserve", Field::Reserve, BIGINT),
    ("dateTime", Field::DateTime, TIMESTAMP),
    ("expires", Field::Expires, TIMESTAMP),
    ("seller", Field::Seller, BIGINT),
    ("category", Field::Category, BIGINT),
    ("extra", Field::AuctionExtra, TEXT),
];
const BID: Layout = &[
    ("auction", Field::BidAuction, BIGINT),
    ("bidder", Field::Bidder, BIGINT),
    ("price", Field::Price, BIGINT),
    ("channel", Field::Channel, TEXT),
    ("url", Field::Url, TEXT),
    ("dateTime", Field::DateTime, TIMESTAMP),
    ("extra", Field::BidExtra, TEXT),
];

/// A column of the table.
#[derive(Debug)]
pub(super) enum Column {
    /// `event_type`: 0, 1 or 2.
    EventType,
    /// `person`, `auction` or `bid`.
    Row(What, Vec<RowField>, Fields),
}

/// A declared field of a ROW.
#[derive(Debug)]
pub(super) struct RowField(Field);

/// The names of columns that there are.
pub(super) const NAMES: [&str; 4] = ["event_type", "person", "auction", "bid"];

impl Column {
    /// For a declared column.
    pub(super) fn new(name: &str, data_type: &DataType) -> Result<Self> {
        let (what, layout) = match name {
            "event_type" if *data_type == DataType::Int32 => return Ok(Self::EventType),
            "event_type" => return Err(Error::plan("column 'event_type' is INT")),
            "person" => (What::Person, PERSON),
            "auction" => (What::Auction, AUCTION),
            "bid" => (What::Bid, BID),
            _ => {
                return Err(Error::plan(format!("connector 'nexmark' has no column '{name}'"))
                    .with_hint(format!("it has: {}", NAMES.join(", "))));
            }
        };
        let DataType::Struct(fields) = data_type else {
            return Err(Error::plan(format!("column '{name}' is a ROW")).with_hint(shape(name, layout)));
        };
        let rows = fields
            .iter()
            .map(|field| match layout.iter().find(|(known, ..)| known == field.name()) {
                Some((_, found, known_type)) if known_type == field.data_type() => Ok(RowField(*found)),
                Some((_, _, known_type)) => Err(Error::plan(format!(
                    "field '{}' of column '{name}' is {}",
                    field.name(),
                    type_name(known_type)
                ))),
                None => Err(Error::plan(format!("column '{name}' has no field '{}'", field.name()))
                    .with_hint(shape(name, layout))),
            })
            .collect::<Result<_>>()?;
        Ok(Self::Row(what, rows, fields.clone()))
    }
}

fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int64 => "BIGINT",
        DataType::Utf8View => "STRING",
        _ => "TIMESTAMP(3)",
    }
}

fn shape(name: &str, layout: Layout) -> String {
    let fields: Vec<String> = layout.iter().map(|(n, _, t)| format!("`{n}` {}", type_name(t))).collect();
    format!("{name} ROW<{}>", fields.join(", "))
}

/// Makes batches of events.
#[derive(Debug)]
pub(super) struct Generator {
    pub(super) model: Model,
    pools: Pools,
    columns: Vec<Column>,
}

impl Generator {
    pub(super) fn new(model: Model, columns: Vec<Column>) -> Self {
        let pools = Pools::new(model.settings.seed);
        Self { model, pools, columns }
    }

    /// The columns of consecutive events.
    pub(super) fn columns(&self, events: std::ops::Range<u64>) -> Result<Vec<ArrayRef>> {
        let what: Vec<What> = events.clone().map(|event| self.model.what(event)).collect();
        let column = |column: &Column| -> Result<ArrayRef> {
            let (wanted, fields, schema) = match column {
                Column::EventType => {
                    return Ok(Arc::new(Int32Array::from_iter_values(what.iter().map(|w| *w as i32))));
                }
                Column::Row(wanted, fields, schema) => (*wanted, fields, schema),
            };
            let meant: Vec<u64> =
                events.clone().zip(&what).filter(|(_, w)| **w == wanted).map(|(event, _)| event).collect();
            let columns = fields.iter().map(|f| self.field(f.0, &meant)).collect::<Result<Vec<_>>>()?;
            if meant.len() == what.len() {
                return Ok(Arc::new(StructArray::try_new_with_length(
                    schema.clone(),
                    columns,
                    None,
                    what.len(),
                )?));
            }
            let mut next = 0;
            let spread: UInt32Array = what
                .iter()
                .map(|w| {
                    (*w == wanted).then(|| {
                        next += 1;
                        next - 1
                    })
                })
                .collect();
            let nulls: NullBuffer = what.iter().map(|w| *w == wanted).collect();
            let columns = columns.iter().map(|c| take(c, &spread, None)).collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(schema.clone(), columns, Some(nulls), what.len())?))
        };
        self.columns.iter().map(column).collect()
    }

    fn field(&self, field: Field, events: &[u64]) -> Result<ArrayRef> {
        let model = &self.model;
        let whole = |value: &dyn Fn(u64) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(events.iter().map(|e| value(*e))))
        };
        let instant = |value: &dyn Fn(u64) -> i64| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from_iter_values(events.iter().map(|e| value(*e))))
        };
        Ok(match field {
            Field::DateTime => instant(&|e| model.millis(e)),
            Field::PersonId => whole(&|e| model.person_id(e)),
            Field::Name => texts(events, |e, out| self.person_name(e, out)),
            Field::Email => texts(events, |e, out| self.email(e, out)),
            Field::CreditCard => texts(events, |e, out| self.credit_card(e, out)),
            Field::City => texts(events, |e, out| out.push_str(self.city(e))),
            Field::State => texts(events, |e, out| out.push_str(self.state(e))),
            Field::PersonExtra => self.extra(events, model.settings.person_size, |e| {
                let mut text = String::new();
                self.person_name(e, &mut text);
                self.email(e, &mut text);
                self.credit_card(e, &mut text);
                (8 + text.len() + self.city(e).len() + self.state(e).len()) as u64
            })?,
            Field::AuctionId => whole(&|e| model.auction_id(e)),
            Field::ItemName => {
                views(&self.pools.words, events.iter().map(|e| self.words(*e, Draw::ItemName, 20)))?
            }
            Field::Description => {
                views(&self.pools.words, events.iter().map(|e| self.words(*e, Draw::Description, 100)))?
            }
            Field::InitialBid => whole(&|e| model.price(e, Draw::InitialBid)),
            Field::Reserve => whole(&|e| model.reserve(e)),
            Field::Expires => instant(&|e| model.expires(e)),
            Field::Seller => whole(&|e| model.seller(e)),
            Field::Category => whole(&|e| model.category(e)),
            Field::AuctionExtra => self.extra(events, model.settings.auction_size, |e| {
                let (name, text) = (self.words(e, Draw::ItemName, 20), self.words(e, Draw::Description, 100));
                48 + u64::from(name.1) + u64::from(text.1)
            })?,
            Field::BidAuction => whole(&|e| model.bid_auction(e)),
            Field::Bidder => whole(&|e| model.bidder(e)),
            Field::Price => whole(&|e| model.price(e, Draw::Price)),
            Field::Channel => {
                views(&self.pools.channels, events.iter().map(|e| self.pools.names[self.channel(*e)]))?
            }
            Field::Url => {
                views(&self.pools.channels, events.iter().map(|e| self.pools.urls[self.channel(*e)]))?
            }
            Field::BidExtra => self.extra(events, model.settings.bid_size, |_| 32)?,
        })
    }

    /// Letters that fill events up to a size.
    fn extra(&self, events: &[u64], size: u64, used: impl Fn(u64) -> u64) -> Result<ArrayRef> {
        let places = events.iter().map(|&event| {
            let length = self.model.extra_length(event, used(event), size).min(LETTERS as u64 / 2);
            let start = below(self.model.draw(event, Draw::ExtraText), LETTERS as u64 - length);
            (start as u32, length as u32)
        });
        views(&self.pools.letters, places)
    }

    /// Words of 3 up to `most` characters, without spaces around them.
    fn words(&self, event: u64, purpose: Draw, most: u64) -> Place {
        let random = self.model.draw(event, purpose);
        let length = 3 + below(random, most - 3);
        let start = below(mix(random), WORDS as u64 - length) as usize;
        let text = &self.pools.words.as_slice()[start..start + length as usize];
        let front = text.iter().take_while(|b| **b == b' ').count();
        let trimmed = text.trim_ascii().len();
        ((start + front) as u32, trimmed as u32)
    }

    fn words_into(&self, event: u64, purpose: Draw, most: u64, out: &mut String) {
        let (start, length) = self.words(event, purpose, most);
        let bytes = &self.pools.words.as_slice()[start as usize..(start + length) as usize];
        out.extend(bytes.iter().map(|b| char::from(*b)));
    }

    fn one_of(&self, event: u64, purpose: Draw, words: &[&'static str]) -> &'static str {
        words[below(self.model.draw(event, purpose), words.len() as u64) as usize]
    }

    fn person_name(&self, event: u64, out: &mut String) {
        out.push_str(self.one_of(event, Draw::FirstName, &FIRST_NAMES));
        out.push(' ');
        out.push_str(self.one_of(event, Draw::LastName, &LAST_NAMES));
    }

    fn email(&self, event: u64, out: &mut String) {
        self.words_into(event, Draw::EmailUser, 7, out);
        out.push('@');
        self.words_into(event, Draw::EmailHost, 5, out);
        out.push_str(".com");
    }

    fn credit_card(&self, event: u64, out: &mut String) {
        let mut random = self.model.draw(event, Draw::CreditCard);
        for group in 0..4 {
            if group > 0 {
                out.push(' ');
            }
            random = mix(random);
            let mut digits = below(random, 10_000);
            for place in [1000, 100, 10, 1] {
                out.push(char::from(b'0' + (digits / place) as u8));
                digits %= place;
            }
        }
    }

    fn city(&self, event: u64) -> &'static str {
        self.one_of(event, Draw::City, &CITIES)
    }

    fn state(&self, event: u64) -> &'static str {
        self.one_of(event, Draw::State, &STATES)
    }

    /// Index into the names and URLs of channels: every other bid comes through a hot one.
    fn channel(&self, event: u64) -> usize {
        let hot = HOT_CHANNELS.len() as u64;
        let random = self.model.draw(event, Draw::Channel);
        (match below(self.model.draw(event, Draw::HotChannel), 2) {
            0 => hot + below(random, u64::from(CHANNELS)),
            _ => below(random, hot),
        }) as usize
    }
}
