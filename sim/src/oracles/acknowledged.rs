//! Acknowledged writes (C2, C3): what a client was told of is there, as it was told, and once.
//!
//! Source: the API; an answer 2xx is durable. Each object of a plan is read back, now and then and at the end, and must be
//! one of the versions that clients' writes made lawful. Objects carry their number in the plan as their name: two of one
//! name are a write that took effect twice. Not checked: writes of which nobody knows whether they happened, beyond being
//! either. Start at [`judge`] and [`judge_names`].

use super::Violation;
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::time::Duration;

/// Judges an object as it was read, against what it may be. `None` is that it is not there.
pub fn judge<T: Debug + PartialEq>(
    at: Duration,
    name: &dyn Display,
    read: Option<&T>,
    lawful: &[Option<&T>],
) -> Option<Violation> {
    (!lawful.contains(&read)).then(|| {
        let what = format!("{name} is {read:?}, and by what clients were told it should be one of {lawful:?}");
        Violation::new("C2", at, what)
    })
}

/// Judges the names of all objects of a kind.
pub fn judge_names<'a>(at: Duration, names: impl IntoIterator<Item = &'a str>) -> Vec<Violation> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    twice.map(|(name, count)| Violation::new("C3", at, format!("there are {count} objects named {name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_doubled_writes_are_told() {
        let at = Duration::ZERO;
        assert_eq!(judge(at, &"p1", Some(&3), &[Some(&2), Some(&3)]), None);
        assert_eq!(judge(at, &"p1", None, &[Some(&3)]).map(|violation| violation.id), Some("C2"));
        assert_eq!(judge(at, &"p1", Some(&2), &[Some(&3), None]).map(|violation| violation.id), Some("C2"));
        assert!(judge_names(at, ["a", "b"]).is_empty());
        assert_eq!(judge_names(at, ["a", "b", "a"]).len(), 1);
    }
}
