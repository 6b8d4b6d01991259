//! The sensor network of the quick start: events, the service that knows the sensors, and a run that
//! compares the three ways to enrich the one with the other.

pub mod events;
mod place;
mod random;
pub mod report;
pub mod run;
mod sensor;
pub mod sensor_api;

pub use run::{DemoOptions, run};
pub use sensor_api::{ApiStats, SensorApi, SensorApiOptions, serve, serve_blocking};
