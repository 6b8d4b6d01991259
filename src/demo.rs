//! The sensor network of the quick start: events, the service that knows the sensors, and a run that
//! compares the three ways to enrich the one with the other.

pub mod events;
pub mod place;
pub mod random;
pub mod report;
pub mod run;
pub mod sensor;
pub mod sensor_api;

pub use run::DemoOptions;
pub use sensor_api::{ApiStats, SensorApi, SensorApiOptions};
