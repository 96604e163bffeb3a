//! Who reaches whom: all pairs of guests, both families, asked at once, against what is expected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use super::echo::Family;
use super::error::Result;
use super::guest::Guest;
use super::ident::GuestName;
use super::table::Table;

/// One question: does `from` get an answer from `to`, over this family?
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pair {
    /// Who asks.
    pub from: GuestName,
    /// Who should answer.
    pub to: GuestName,
    /// Over what; both have addresses of it.
    pub family: Family,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Outcome {
    expected: bool,
    actual: bool,
}

/// What was expected and found for each pair. Prints as a table, with a row for each guest that asks:
/// `ok` (reached), `-` (not reached), and where the finding differs from the expectation `LOST` or `LEAK`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matrix(BTreeMap<Pair, Outcome>);

impl Matrix {
    /// Asks until all answer from whom answers are expected, and for at least `quiet` where none is.
    ///
    /// # Errors
    /// If a guest is gone.
    pub fn measure(
        guests: &[Guest],
        expected: impl Fn(&Pair) -> bool,
        patience: Duration,
        quiet: Duration,
    ) -> Result<Self> {
        let questions: Vec<(&Guest, BTreeMap<IpAddr, Pair>)> =
            guests.iter().map(|from| (from, questions(from, guests))).collect();
        let expected: BTreeSet<Pair> =
            questions.iter().flat_map(|(_, asked)| asked.values()).filter(|pair| expected(pair)).cloned().collect();
        let answers = thread::scope(|scope| {
            let threads: Vec<_> = questions
                .iter()
                .map(|(from, asked)| scope.spawn(|| ask(from, asked, &expected, patience, quiet)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Result<Vec<BTreeSet<IpAddr>>>>()
        })?;
        let mut matrix = BTreeMap::new();
        for ((_, asked), answered) in questions.into_iter().zip(answers) {
            for (ip, pair) in asked {
                let outcome = Outcome { expected: expected.contains(&pair), actual: answered.contains(&ip) };
                matrix.insert(pair, outcome);
            }
        }
        Ok(Self(matrix))
    }

    /// Pairs that are not as expected.
    pub fn mismatches(&self) -> Vec<&Pair> {
        self.0.iter().filter(|(_, outcome)| outcome.expected != outcome.actual).map(|(pair, _)| pair).collect()
    }

    /// # Panics
    /// With the table, if a pair is not as expected.
    pub fn assert_as_expected(&self) {
        let mismatches = self.mismatches().len();
        assert!(mismatches == 0, "{mismatches} pairs of guests are not as expected:\n{self}");
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&GuestName> = self.0.keys().flat_map(|pair| [&pair.from, &pair.to]).collect();
        let heads = names.iter().map(|name| name.to_string());
        let mut table = Table::new(std::iter::once("from \\ to".to_owned()).chain(heads));
        for from in &names {
            let cells = names.iter().map(|to| self.cell(from, to));
            table.row(std::iter::once(from.to_string()).chain(cells));
        }
        table.fmt(f)
    }
}

impl Matrix {
    /// Both families of a pair, IPv4 first.
    fn cell(&self, from: &GuestName, to: &GuestName) -> String {
        let words = [Family::V4, Family::V6].into_iter().filter_map(|family| {
            let outcome = self.0.get(&Pair { from: from.clone(), to: to.clone(), family })?;
            Some(match (outcome.expected, outcome.actual) {
                (true, true) => "ok",
                (false, false) => "-",
                (true, false) => "LOST",
                (false, true) => "LEAK",
            })
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// One guest's questions, by the address it asks.
fn questions(from: &Guest, guests: &[Guest]) -> BTreeMap<IpAddr, Pair> {
    let mut questions = BTreeMap::new();
    for to in guests.iter().filter(|to| to.name() != from.name()) {
        for family in [Family::V4, Family::V6] {
            if let (Some(_), Some(ip)) = (from.ip(family), to.ip(family)) {
                questions.insert(ip, Pair { from: from.name().clone(), to: to.name().clone(), family });
            }
        }
    }
    questions
}

fn ask(
    from: &Guest,
    asked: &BTreeMap<IpAddr, Pair>,
    expected: &BTreeSet<Pair>,
    patience: Duration,
    quiet: Duration,
) -> Result<BTreeSet<IpAddr>> {
    let (wanted, unwanted): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) =
        asked.keys().partition(|ip| asked.get(ip).is_some_and(|pair| expected.contains(pair)));
    thread::scope(|scope| {
        let silent = scope.spawn(|| from.sweep(&unwanted, quiet));
        let mut answered = from.sweep(&wanted, patience)?;
        answered.extend(silent.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        Ok(answered)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(outcomes: &[(&str, &str, Family, bool, bool)]) -> Matrix {
        let name = |word: &str| word.parse().expect("a name");
        let entries = outcomes.iter().map(|(from, to, family, expected, actual)| {
            let pair = Pair { from: name(from), to: name(to), family: *family };
            (pair, Outcome { expected: *expected, actual: *actual })
        });
        Matrix(entries.collect())
    }

    #[test]
    fn the_table_shows_what_differs() {
        let matrix = matrix(&[
            ("a", "b", Family::V4, true, true),
            ("a", "b", Family::V6, true, false),
            ("b", "a", Family::V4, false, true),
            ("b", "a", Family::V6, false, false),
        ]);
        let expected = "from \\ to  a       b\na                  ok LOST\nb          LEAK -\n";
        assert_eq!(matrix.to_string(), expected);
        assert_eq!(matrix.mismatches().len(), 2);
    }

    #[test]
    #[should_panic(expected = "1 pairs of guests are not as expected")]
    fn a_leak_is_a_failure() {
        matrix(&[("a", "b", Family::V4, false, true)]).assert_as_expected();
    }
}
