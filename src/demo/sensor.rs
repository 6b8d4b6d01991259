//! What is known about a sensor: made from its number, so that nothing has to be stored.

use super::random::{mix, pick, unit};

const BRANDS: &[&str] =
    &["Acurite", "Boreal", "Celsia", "Degrees", "Fahrenfeld", "Helios", "Kelvin & Co", "Thermix"];

const PLACES: &[(&str, &str)] = &[
    ("AT", "Wien"),
    ("BR", "São Paulo"),
    ("CA", "Montréal"),
    ("CH", "Zürich"),
    ("CL", "Valparaíso"),
    ("DE", "Köln"),
    ("DK", "Aarhus"),
    ("EE", "Tallinn"),
    ("ES", "Málaga"),
    ("FI", "Turku"),
    ("FR", "Besançon"),
    ("GB", "Leeds"),
    ("IE", "Galway"),
    ("IT", "Torino"),
    ("JP", "京都"),
    ("KE", "Nairobi"),
    ("MX", "Mérida"),
    ("NL", "Utrecht"),
    ("NO", "Tromsø"),
    ("PL", "Łódź"),
    ("PT", "Évora"),
    ("SE", "Malmö"),
    ("US", "Newark"),
    ("ZA", "Durban"),
];

/// The sensors there are: `0` to `count - 1`, less a share that is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sensors {
    pub(crate) count: u64,
    pub(crate) missing_share: f64,
}

impl Sensors {
    /// The number behind an id, if there is such a sensor.
    pub(crate) fn find(&self, id: &str) -> Option<u64> {
        let canonical = id == "0" || !id.starts_with(['0', '+']);
        let number: u64 = id.parse().ok().filter(|n| canonical && *n < self.count)?;
        (unit(mix(number ^ 0x5e45)) >= self.missing_share).then_some(number)
    }
}

/// Appends what is known as JSON.
pub(crate) fn push_json(out: &mut String, number: u64) {
    let bits = mix(number);
    let brand = pick(BRANDS, bits);
    let (country, town) = pick(PLACES, mix(bits));
    let mut digits = itoa::Buffer::new();
    let id = digits.format(number);
    for piece in [
        "{\"id\":\"",
        id,
        "\",\"brand\":\"",
        brand,
        "\",\"countryCode\":\"",
        country,
        "\",\"location\":\"",
        town,
        "\",\"imageUrl\":\"https://images.example/sensors/",
        id,
        ".png\"}",
    ] {
        out.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sensors_are_found_by_their_number() {
        let sensors = Sensors { count: 100, missing_share: 0.0 };
        assert_eq!(sensors.find("0"), Some(0));
        assert_eq!(sensors.find("99"), Some(99));
        for id in ["100", "-1", "007", "+7", "x", "", "99999999999999999999999"] {
            assert_eq!(sensors.find(id), None, "{id}");
        }
        let some = Sensors { count: 10_000, missing_share: 0.1 };
        let missing = (0..10_000).filter(|i| some.find(&i.to_string()).is_none()).count();
        assert!((900..1100).contains(&missing), "{missing}");
    }

    #[test]
    fn answers_are_json_and_deterministic() {
        let mut out = String::new();
        push_json(&mut out, 42);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["id"], "42");
        assert_eq!(value["countryCode"].as_str().unwrap().len(), 2);
        let mut again = String::new();
        push_json(&mut again, 42);
        assert_eq!(out, again);
    }
}
