//! What an interface counted: the column `statistics` of the table `Interface`, asked for when somebody wants to know.
//!
//! It is not watched, since Open vSwitch rewrites it every few seconds (`other_config:stats-update-interval`, 5 s if
//! unset): so old is the answer at most. Start at [`question`] and [`answer`].

use super::operation::{Condition, Done, Function, Operation, Transaction};
use super::vswitch::DATABASE;
use selvedge_core::nib::Counters;
use serde_json::{Map, Value as Json};

/// What to ask a switch of an interface of that name.
pub fn question(interface: &str) -> Transaction {
    let mut transaction = Transaction::new(DATABASE);
    transaction.push(Operation::Select {
        table: "Interface",
        conditions: vec![Condition { column: "name", function: Function::Equal, value: interface.into() }],
        columns: vec!["statistics"],
    });
    transaction
}

/// What it answered; nothing if there is no such interface. What it does not count, or counts as less than nothing, is 0.
pub fn answer(done: &[Done]) -> Option<Counters> {
    let Some(Done::Rows(rows)) = done.first() else { return None };
    let statistics = rows.first()?.get("statistics");
    let pairs = statistics.and_then(|map| map.get(1)).and_then(Json::as_array);
    let named = pairs.into_iter().flatten().filter_map(|pair| Some((pair.get(0)?.as_str()?, pair.get(1)?.as_i64()?)));
    let counts: Map<String, Json> =
        named.map(|(name, count)| (name.to_string(), u64::try_from(count).unwrap_or(0).into())).collect();
    serde_json::from_value(Json::Object(counts)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_of_switches_are_read() {
        let row = |statistics: Json| {
            let row = json!({ "statistics": statistics });
            answer(&[Done::Rows(vec![row.as_object().expect("an object").clone()])])
        };
        let counted = json!(["map", [["rx_packets", 3], ["tx_bytes", 90], ["rx_errors", -1], ["collisions", 7]]]);
        let expected = Counters { rx_packets: 3, tx_bytes: 90, ..Counters::default() };
        assert_eq!(row(counted), Some(expected));
        assert_eq!(row(json!(["map", []])), Some(Counters::default()), "nothing is counted yet");
        assert_eq!(row(json!("nonsense")), Some(Counters::default()));
        assert_eq!(answer(&[Done::Rows(vec![])]), None, "there is no such interface");
        assert_eq!(answer(&[Done::Nothing]), None);
        assert_eq!(answer(&[]), None);
    }

    #[test]
    fn the_question_is_a_select() {
        let params = Json::from(question("tap0").params());
        let select =
            json!({"op": "select", "table": "Interface", "where": [["name", "==", "tap0"]], "columns": ["statistics"]});
        assert_eq!(params, json!(["Open_vSwitch", select]));
    }
}
