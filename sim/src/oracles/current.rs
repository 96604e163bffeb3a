//! Currency (A4): an answer is not of a time before another that was given before it was asked for, to whichever client, and
//! by whichever controller.
//!
//! Source: linearizability, as etcd's reads have it (Raft, section 6.4). Judged by the generations that answers tell, so it
//! holds of reads, and of refusals that rest on what was read. Not checked: requests that overlap, in whatever order.
//! Start at [`answered`].

use super::Violation;
use std::fmt;
use std::time::Duration;

/// An answer tells a generation, about something; one was known to somebody when it was asked for.
pub fn answered(at: Duration, generation: u64, known: u64, about: impl fmt::Display) -> Option<Violation> {
    (generation < known).then(|| {
        let what = format!("an answer about {about} is of generation {generation}, and {known} was known");
        Violation::new("A4", at, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_an_earlier_time_is_seen() {
        assert_eq!(answered(Duration::ZERO, 7, 7, "s1"), None);
        assert_eq!(answered(Duration::ZERO, 8, 7, "s1"), None);
        let violation = answered(Duration::ZERO, 6, 7, "s1").expect("it is seen");
        assert_eq!((violation.id, violation.what.contains("s1")), ("A4", true));
    }
}
