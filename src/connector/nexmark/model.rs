//! The auction house: which event has which number, when it happens, and who is in it.
//!
//! Everything about event *n* follows from *n*, the settings and the seed, so that any task can make any
//! event, and makes the same one.
//!
//! ```text
//!  number   0       1 2 3            4 ... 49        50      51 52 53   ...
//!           person  3 auctions       46 bids         person  3 auctions
//!  └────────── proportions 1 : 3 : 46 ──────────┘
//! ```
//! Ids of persons and auctions count up as they come. A bid goes to the hot auction (the first of the last
//! hundred) with a probability of 1 - 1/ratio, otherwise to any of those in flight or a few that are yet to
//! come; sellers and bidders are chosen likewise.
//!
//! Source of the rules: the Nexmark generator of Apache Beam and of nexmark-flink, which share them. In the
//! latter bidders are numbered from 2000, a slip; here they are persons, as in Beam.

/// Ids begin here.
const FIRST_AUCTION_ID: i64 = 1000;
const FIRST_PERSON_ID: i64 = 1000;
const FIRST_CATEGORY_ID: i64 = 10;
const CATEGORIES: u64 = 5;
/// Ids that are not there yet but may be referred to.
const ID_LEAD: i64 = 10;
/// One of so many persons (auctions) is hot.
const HOT_EVERY: i64 = 100;
const IN_FLIGHT_AUCTIONS: i64 = 100;
const ACTIVE_PEOPLE: i64 = 1000;

/// What the options say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) persons: u64,
    pub(super) auctions: u64,
    pub(super) bids: u64,
    pub(super) hot_auctions: u64,
    pub(super) hot_bidders: u64,
    pub(super) hot_sellers: u64,
    pub(super) person_size: u64,
    pub(super) auction_size: u64,
    pub(super) bid_size: u64,
    /// Rates in events a second, each held for `step_seconds`, then the first again.
    pub(super) rates: Vec<u64>,
    pub(super) step_seconds: u64,
    /// When event 0 happens, in milliseconds since the epoch.
    pub(super) base_millis: i64,
    pub(super) seed: u64,
}

/// What an event is about; the number is `event_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Person = 0,
    Auction = 1,
    Bid = 2,
}

/// What a random number is for: each purpose of each event has one of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Draw {
    HotSeller,
    Seller,
    Category,
    InitialBid,
    Reserve,
    Length,
    HotAuction,
    Auction,
    HotBidder,
    Bidder,
    Price,
    HotChannel,
    Channel,
    FirstName,
    LastName,
    EmailUser,
    EmailHost,
    CreditCard,
    City,
    State,
    ItemName,
    Description,
    ExtraLength,
    ExtraText,
}

/// A mixer of 64 bits (the finalizer of SplitMix64).
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `0..n` from a random number.
pub(super) fn below(random: u64, n: u64) -> u64 {
    ((u128::from(random) * u128::from(n)) >> 64) as u64
}

/// The auction house of some settings.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) settings: Settings,
    total: u64,
    key: u64,
}

impl Model {
    pub(super) fn new(settings: Settings) -> Self {
        let total = settings.persons + settings.auctions + settings.bids;
        Self { total, key: mix(settings.seed ^ 0x6e65_786d_6172_6b00), settings }
    }

    /// A random number.
    #[inline]
    pub(super) fn draw(&self, event: u64, purpose: Draw) -> u64 {
        let stream = self.key.wrapping_add((purpose as u64 + 1).wrapping_mul(0xd1b5_4a32_d192_ed03));
        mix(mix(event.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stream)) ^ stream)
    }

    #[inline]
    fn choose(&self, event: u64, purpose: Draw, n: u64) -> u64 {
        below(self.draw(event, purpose), n)
    }

    #[inline]
    pub(super) fn what(&self, event: u64) -> What {
        match event % self.total {
            rest if rest < self.settings.persons => What::Person,
            rest if rest < self.settings.persons + self.settings.auctions => What::Auction,
            _ => What::Bid,
        }
    }

    /// When an event happens, in milliseconds since the epoch. At a steady rate, event *n* comes
    /// *n* / rate seconds after the first.
    #[inline]
    pub(super) fn millis(&self, event: u64) -> i64 {
        self.settings.base_millis.saturating_add(self.offset_millis(event))
    }

    /// Milliseconds since event 0.
    pub(super) fn offset_millis(&self, event: u64) -> i64 {
        let at = |n: u64, rate: u64| (u128::from(n) * 1000 / u128::from(rate)) as i64;
        let Settings { rates, step_seconds, .. } = &self.settings;
        if let [rate] = rates.as_slice() {
            return at(event, *rate);
        }
        let round: u64 = rates.iter().map(|rate| rate * step_seconds).sum();
        let step_millis = (step_seconds * 1000) as i64;
        let mut offset = (event / round) as i64 * step_millis * rates.len() as i64;
        let mut rest = event % round;
        for rate in rates {
            let events = rate * step_seconds;
            if rest < events {
                return offset + at(rest, *rate);
            }
            rest -= events;
            offset += step_millis;
        }
        offset
    }

    /// The id, from 0, of the last person that came up to this event; -1 if none did.
    fn last_person(&self, event: u64) -> i64 {
        let persons = self.settings.persons as i64;
        let (round, rest) = ((event / self.total) as i64, (event % self.total) as i64);
        round * persons + rest.min(persons - 1)
    }

    /// The id, from 0, of the last auction that came up to this event; -1 if none did.
    fn last_auction(&self, event: u64) -> i64 {
        let (persons, auctions) = (self.settings.persons as i64, self.settings.auctions as i64);
        let (round, rest) = ((event / self.total) as i64, (event % self.total) as i64);
        round * auctions + (rest - persons).clamp(-1, auctions - 1)
    }

    /// A person who is active, or soon will be.
    fn any_person(&self, event: u64, purpose: Draw) -> i64 {
        let people = self.last_person(event) + 1;
        let active = people.min(ACTIVE_PEOPLE);
        people - active + self.choose(event, purpose, (active + ID_LEAD) as u64) as i64
    }

    /// Whether the draw of a ratio is hot: all but one of `ratio` are.
    fn hot(&self, event: u64, purpose: Draw, ratio: u64) -> bool {
        self.choose(event, purpose, ratio) > 0
    }

    /// The id of a person event.
    pub(super) fn person_id(&self, event: u64) -> i64 {
        self.last_person(event) + FIRST_PERSON_ID
    }

    /// The id of an auction event.
    pub(super) fn auction_id(&self, event: u64) -> i64 {
        self.last_auction(event) + FIRST_AUCTION_ID
    }

    /// Who sells.
    pub(super) fn seller(&self, event: u64) -> i64 {
        let seller = if self.hot(event, Draw::HotSeller, self.settings.hot_sellers) {
            self.last_person(event) / HOT_EVERY * HOT_EVERY
        } else {
            self.any_person(event, Draw::Seller)
        };
        seller + FIRST_PERSON_ID
    }

    /// An auction's category.
    pub(super) fn category(&self, event: u64) -> i64 {
        FIRST_CATEGORY_ID + self.choose(event, Draw::Category, CATEGORIES) as i64
    }

    /// A price between 1 and 1,000,000, in cents: evenly spread in its magnitude.
    pub(super) fn price(&self, event: u64, purpose: Draw) -> i64 {
        let unit = (self.draw(event, purpose) >> 11) as f64 / (1u64 << 53) as f64;
        ((unit * 6.0 * std::f64::consts::LN_10).exp() * 100.0).round() as i64
    }

    /// The least price of an auction that sells.
    pub(super) fn reserve(&self, event: u64) -> i64 {
        self.price(event, Draw::InitialBid) + self.price(event, Draw::Reserve)
    }

    /// When an auction ends: on average when a hundred more have begun.
    pub(super) fn expires(&self, event: u64) -> i64 {
        let ahead = IN_FLIGHT_AUCTIONS as u64 * self.total / self.settings.auctions.max(1);
        let now = self.millis(event);
        let horizon = self.millis(event.saturating_add(ahead)) - now;
        let length = 1 + self.choose(event, Draw::Length, (horizon * 2).max(1) as u64) as i64;
        now.saturating_add(length)
    }

    /// What is bid for.
    #[inline]
    pub(super) fn bid_auction(&self, event: u64) -> i64 {
        let last = self.last_auction(event);
        let auction = if self.hot(event, Draw::HotAuction, self.settings.hot_auctions) {
            last / HOT_EVERY * HOT_EVERY
        } else {
            let least = (last - IN_FLIGHT_AUCTIONS).max(0);
            least + self.choose(event, Draw::Auction, (last - least + 1 + ID_LEAD) as u64) as i64
        };
        auction + FIRST_AUCTION_ID
    }

    /// Who bids; hot bidders are others than hot sellers.
    #[inline]
    pub(super) fn bidder(&self, event: u64) -> i64 {
        let bidder = if self.hot(event, Draw::HotBidder, self.settings.hot_bidders) {
            self.last_person(event) / HOT_EVERY * HOT_EVERY + 1
        } else {
            self.any_person(event, Draw::Bidder)
        };
        bidder + FIRST_PERSON_ID
    }

    /// How long the text is that fills an event up to about `size` bytes, `used` of which are taken.
    pub(super) fn extra_length(&self, event: u64, used: u64, size: u64) -> u64 {
        let Some(wanted) = size.checked_sub(used) else { return 0 };
        let spread = (wanted + 2) / 5;
        wanted - spread + if spread == 0 { 0 } else { self.choose(event, Draw::ExtraLength, 2 * spread) }
    }
}
