//! What a program has registered in its session, by kind and name.
//!
//! The catalog keeps it and does not look inside: which kinds there are (connectors, formats, ...) is known to the
//! rooms that look them up by the type of their contract. Tables carry what was registered when they were declared, with
//! their options; an option that names a format or a lookup backend is resolved from there.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// Registered things; a clone is cheap, and does not see what is added to the other.
#[derive(Clone, Default)]
pub struct Registered(Arc<Vec<Entry>>);

#[derive(Clone)]
struct Entry {
    kind: TypeId,
    name: String,
    /// An `Arc<T>`, where `T` is the kind.
    thing: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| &entry.name)).finish()
    }
}

impl Registered {
    /// Adds a thing of a kind; the caller has checked that its name is free.
    pub fn add<T: ?Sized + Send + Sync + 'static>(&mut self, name: &str, thing: Arc<T>) {
        let entry = Entry { kind: TypeId::of::<T>(), name: name.to_string(), thing: Arc::new(thing) };
        Arc::make_mut(&mut self.0).push(entry);
    }

    /// The thing of a kind with that name.
    pub fn find<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Option<&Arc<T>> {
        self.all().find(|(known, _)| *known == name).map(|(_, thing)| thing)
    }

    /// All things of a kind, in the order in which they were added.
    pub fn all<T: ?Sized + Send + Sync + 'static>(&self) -> impl Iterator<Item = (&str, &Arc<T>)> {
        let kind = TypeId::of::<T>();
        let of_kind = self.0.iter().filter(move |entry| entry.kind == kind);
        of_kind.filter_map(|entry| Some((entry.name.as_str(), entry.thing.downcast_ref::<Arc<T>>()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Animal: Send + Sync {
        fn legs(&self) -> u8;
    }
    struct Bird;
    impl Animal for Bird {
        fn legs(&self) -> u8 {
            2
        }
    }

    #[test]
    fn things_are_found_by_kind_and_name() {
        let mut registered = Registered::default();
        registered.add::<dyn Animal>("x", Arc::new(Bird));
        let before = registered.clone();
        registered.add::<u8>("x", Arc::new(7));
        assert_eq!(registered.find::<dyn Animal>("x").map(|a| a.legs()), Some(2));
        assert_eq!(registered.find::<u8>("x").map(|n| **n), Some(7));
        assert!(registered.find::<u8>("y").is_none());
        assert!(before.find::<u8>("x").is_none(), "a clone is as it was");
        assert_eq!(registered.all::<u8>().count(), 1);
    }
}
