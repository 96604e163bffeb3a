//! Which configurations were lawful when.
//!
//! A write may take effect from the moment it is sent, whether or not it is ever answered; what it replaces stays lawful
//! until every transport node is said to hold the new. So each object has versions, each with the time from which it
//! may hold and the time until which it still may; most of the time there is one. Start at [`History`].

use super::{Port, PortId, Switch, SwitchId};
use std::collections::BTreeMap;
use std::time::Duration;

/// One version of an object, and when it may hold. `None` is that the object is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version<T> {
    /// From when it may hold.
    pub from: Duration,
    /// Until when it may; open while nothing has replaced it for certain.
    pub until: Option<Duration>,
    /// What it is.
    pub value: Option<T>,
}

/// The versions of one object, in the order of their writes.
#[derive(Clone, Debug)]
pub struct Versions<T>(Vec<Version<T>>);

impl<T> Default for Versions<T> {
    fn default() -> Versions<T> {
        Versions(vec![Version { from: Duration::ZERO, until: None, value: None }])
    }
}

impl<T: Clone + PartialEq> Versions<T> {
    /// The values that may have held at some time between two moments.
    pub fn during(&self, from: Duration, to: Duration) -> impl Iterator<Item = Option<&T>> {
        let overlaps =
            move |version: &&Version<T>| version.from <= to && version.until.is_none_or(|until| until >= from);
        self.0.iter().filter(overlaps).map(|version| version.value.as_ref())
    }

    /// A write was sent.
    pub fn may_become(&mut self, at: Duration, value: Option<T>) {
        self.0.push(Version { from: at, until: None, value });
    }

    /// The last write of `value` was not carried out, for certain. What it would have replaced is as lawful as before.
    pub fn never_became(&mut self, at: Duration, value: Option<&T>) {
        let write = self.0.iter_mut().rfind(|version| version.until.is_none() && version.value.as_ref() == value);
        write.into_iter().for_each(|version| version.until = Some(at));
    }

    /// Every transport node is said to hold `value`: no other version is lawful from now on.
    pub fn holds(&mut self, at: Duration, value: Option<&T>) {
        // One that was never carried out is not it, even if it says the same.
        let holds = |version: &Version<T>| version.until.is_none() && version.value.as_ref() == value;
        let current = self.0.iter().rposition(holds);
        for (index, version) in self.0.iter_mut().enumerate() {
            if Some(index) != current {
                version.until = version.until.or(Some(at));
            }
        }
    }

    /// Forgets versions that ended before `at`: nothing in flight can be that old.
    pub fn forget_before(&mut self, at: Duration) {
        self.0.retain(|version| version.until.is_none_or(|until| until >= at));
    }

    /// Whether more than one version may hold.
    pub fn is_settled(&self) -> bool {
        self.0.iter().filter(|version| version.until.is_none()).count() == 1
    }
}

/// The versions of everything.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Of logical switches.
    pub switches: BTreeMap<SwitchId, Versions<Switch>>,
    /// Of logical ports.
    pub ports: BTreeMap<PortId, Versions<Port>>,
}

impl History {
    /// Forgets what ended before `at`.
    pub fn forget_before(&mut self, at: Duration) {
        self.switches.values_mut().for_each(|versions| versions.forget_before(at));
        self.ports.values_mut().for_each(|versions| versions.forget_before(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_is_under_way_makes_two_versions_lawful() {
        let second = Duration::from_secs;
        let mut versions = Versions::<u8>::default();
        versions.may_become(second(1), Some(7));
        let at = |versions: &Versions<u8>, t| {
            versions.during(second(t), second(t)).map(Option::<&u8>::copied).collect::<Vec<_>>()
        };
        assert_eq!(at(&versions, 0), [None]);
        assert_eq!(at(&versions, 2), [None, Some(7)]);
        assert!(!versions.is_settled());
        versions.holds(second(3), Some(&7));
        assert!(versions.is_settled());
        assert_eq!(
            at(&versions, 3),
            [None, Some(7)],
            "what was sent before it was said may still be judged by the old"
        );
        assert_eq!(at(&versions, 4), [Some(7)]);
        versions.may_become(second(5), None);
        versions.holds(second(6), None);
        assert_eq!(at(&versions, 7), [None]);
        versions.forget_before(second(7));
        assert_eq!(versions.0.len(), 1);
    }

    #[test]
    fn a_write_that_never_happened_ends_without_having_held() {
        let second = Duration::from_secs;
        let mut versions = Versions::<u8>::default();
        versions.may_become(second(1), Some(1));
        versions.holds(second(2), Some(&1));
        versions.may_become(second(3), Some(2));
        versions.may_become(second(3), Some(3));
        versions.never_became(second(4), Some(&2));
        assert_eq!(versions.during(second(5), second(6)).collect::<Vec<_>>(), [Some(&1), Some(&3)]);
        versions.may_become(second(6), Some(1));
        versions.never_became(second(7), Some(&1));
        versions.holds(second(8), Some(&1));
        assert_eq!(versions.during(second(9), second(9)).collect::<Vec<_>>(), [Some(&1)]);
    }
}
