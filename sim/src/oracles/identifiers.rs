//! Unique numbers (C12): no two live logical switches have one tunnel key, no two ports of a switch one port key, no two
//! transport nodes one number or epoch; and no number that was something else's is given out again within a run.
//!
//! Source: the design; numbers in packets and on switches outlive what they meant. Read from the controller's state.
//! Start at [`Numbers`].

use super::Violation;
use std::collections::BTreeMap;
use std::time::Duration;

/// Which object each number was ever seen to mean.
#[derive(Clone, Debug, Default)]
pub struct Numbers(BTreeMap<(&'static str, String), String>);

impl Numbers {
    /// A number of a kind is said to mean an object.
    pub fn means(&mut self, at: Duration, kind: &'static str, number: String, object: String) -> Option<Violation> {
        let before = self.0.entry((kind, number.clone())).or_insert_with(|| object.clone());
        (*before != object).then(|| {
            let what = format!("{kind} {number} means {object}, and meant {before} before");
            Violation::new("C12", at, what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_given_out_again_is_told() {
        let mut numbers = Numbers::default();
        let mut means = |number: u32, object: &str| {
            numbers.means(Duration::ZERO, "tunnel key", number.to_string(), object.to_string()).map(|v| v.id)
        };
        assert_eq!(means(1, "a"), None);
        assert_eq!(means(2, "b"), None);
        assert_eq!(means(1, "a"), None);
        assert_eq!(means(1, "c"), Some("C12"));
    }
}
