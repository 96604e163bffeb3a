//! The replica against each dialect, and against peers that contradict themselves.

use super::super::schema::Base;
use super::*;

static SCHEMA: Schema = Schema {
    database: "db",
    tables: &[Table {
        name: "Bridge",
        columns: &[
            Column::one("name", Base::String),
            Column::optional("tag", Base::Integer),
            Column::set("ports", Base::Uuid),
            Column::string_map("ids"),
        ],
    }],
};

const ROW: &str = "00000000-0000-0000-0000-00000000000a";
const PORT: &str = "00000000-0000-0000-0000-00000000000b";

fn json(text: &str) -> Json {
    serde_json::from_str(&text.replace("ROW", ROW).replace("PORT", PORT)).expect("JSON")
}

fn apply(replica: &mut Replica, dialect: Dialect, rows: &str) -> Result<(), String> {
    replica.apply(dialect, &json(rows)).map(|_| ()).map_err(|error| error.to_string())
}

/// Applies notices one after another and expects the only row to be `expected`, or no row for the empty string.
fn check(dialect: Dialect, notices: &[&str], expected: &str) {
    let mut replica = Replica::new(&SCHEMA, 4096);
    for rows in notices {
        let rows = format!(r#"{{"Bridge":{{"ROW":{rows}}}}}"#);
        apply(&mut replica, dialect, &rows).expect(&rows);
    }
    let rows: Vec<&Row> = replica.table("Bridge").values().collect();
    if expected.is_empty() {
        assert!(rows.is_empty(), "{notices:?}: {rows:?}");
        assert_eq!(replica.weight, 0, "what is gone weighs nothing");
        return;
    }
    let [row] = rows.as_slice() else { panic!("{notices:?}: {rows:?}") };
    let json_of = |column: &Column| (column.name.to_owned(), row.get(column.name).encode());
    let told: Map<String, Json> = SCHEMA.tables[0].columns.iter().map(json_of).collect();
    assert_eq!(Json::from(told), json(expected), "{notices:?}");
}

fn check_error(dialect: Dialect, rows: &str, expected: &str) {
    let mut replica = Replica::new(&SCHEMA, 4096);
    apply(&mut replica, dialect, r#"{"Bridge":{}}"#).expect("empty");
    let expected = expected.replace("ROW", ROW).replace("PORT", PORT);
    assert_eq!(apply(&mut replica, dialect, rows), Err(expected), "{rows}");
}

#[test]
fn columns_that_are_not_told_have_their_default() {
    let defaults = r#"{"name":"","tag":["set",[]],"ports":["set",[]],"ids":["map",[]]}"#;
    check(Dialect::CondSince, &[r#"{"initial":{}}"#], defaults);
    check(Dialect::Cond, &[r#"{"insert":{}}"#], defaults);
    check(Dialect::Plain, &[r#"{"new":{}}"#], defaults);
}

#[test]
fn differences_become_values() {
    for dialect in [Dialect::CondSince, Dialect::Cond] {
        check(
            dialect,
            &[
                r#"{"initial":{"name":"a","tag":1,"ports":["uuid","PORT"],"ids":["map",[["x","y"],["k","v"]]]}}"#,
                r#"{"modify":{"name":"b","tag":["set",[]],"ports":["set",[["uuid","PORT"],["uuid","ROW"]]],"ids":["map",[["x","z"],["k","v"]]]}}"#,
            ],
            r#"{"name":"b","tag":["set",[]],"ports":["uuid","ROW"],"ids":["map",[["x","z"]]]}"#,
        );
        check(dialect, &[r#"{"insert":{"name":"a"}}"#, r#"{"delete":null}"#], "");
    }
}

#[test]
fn plain_updates_carry_whole_rows() {
    check(
        Dialect::Plain,
        &[
            r#"{"new":{"name":"a","ports":["uuid","PORT"]}}"#,
            r#"{"old":{"ports":["uuid","PORT"]},"new":{"name":"a","ports":["uuid","ROW"]}}"#,
        ],
        r#"{"name":"a","tag":["set",[]],"ports":["uuid","ROW"],"ids":["map",[]]}"#,
    );
    check(Dialect::Plain, &[r#"{"new":{"name":"a"}}"#, r#"{"old":{"name":"a"}}"#], "");
}

#[test]
fn contradictions_are_told() {
    let check = |rows, expected| check_error(Dialect::CondSince, rows, expected);
    check("[]", "table updates is not an object");
    check(r#"{"Bridge":1}"#, "updates of Bridge is not an object");
    check(r#"{"Port":{}}"#, "table Port is not watched");
    check(r#"{"Bridge":{"x":{"delete":null}}}"#, r#"Bridge has a row "x", which is no UUID"#);
    check(r#"{"Bridge":{"ROW":{"insert":{"x":1}}}}"#, "column x of Bridge is not watched");
    check(r#"{"Bridge":{"ROW":{"insert":{"name":1}}}}"#, "Bridge.name has a value of the wrong type");
    check(r#"{"Bridge":{"ROW":{"insert":{"name":null}}}}"#, "Bridge.name: not a value: null");
    check(r#"{"Bridge":{"ROW":{"insert":1}}}"#, "row of Bridge is not an object");
    check(r#"{"Bridge":{"ROW":{"new":{}}}}"#, "Bridge row ROW: not a change to a row");
    check(r#"{"Bridge":{"ROW":{"insert":{},"delete":null}}}"#, "Bridge row ROW: not a change to a row");
    check(r#"{"Bridge":{"ROW":{"modify":{}}}}"#, "Bridge row ROW is told to change or go, but is unknown");
    check(r#"{"Bridge":{"ROW":{"delete":null}}}"#, "Bridge row ROW is told to change or go, but is unknown");
    check_error(Dialect::Plain, r#"{"Bridge":{"ROW":{"insert":{}}}}"#, "Bridge row ROW: not a change to a row");
}

#[test]
fn a_row_cannot_be_new_twice() {
    let mut replica = Replica::new(&SCHEMA, 4096);
    let insert = r#"{"Bridge":{"ROW":{"insert":{"name":"a"}}}}"#;
    apply(&mut replica, Dialect::Cond, insert).expect("new");
    let error = apply(&mut replica, Dialect::Cond, insert).expect_err("exists");
    assert_eq!(error, format!("Bridge row {ROW} is told to be new, but exists"));
}

#[test]
fn growth_ends_at_the_limit() {
    let mut replica = Replica::new(&SCHEMA, 1024);
    apply(&mut replica, Dialect::Cond, r#"{"Bridge":{"ROW":{"insert":{"name":"a"}}}}"#).expect("small");
    let modify = format!(r#"{{"Bridge":{{"ROW":{{"modify":{{"name":"{}"}}}}}}}}"#, "a".repeat(1024));
    let error = apply(&mut replica, Dialect::Cond, &modify).expect_err("too large");
    assert_eq!(error, "the watched tables take more than 1024 bytes");
}

#[test]
fn requests_and_their_answers() {
    let expected = json(
        r#"["db","selvedge",{"Bridge":[{"columns":["name","tag","ports","ids"]}]},"00000000-0000-0000-0000-000000000000"]"#,
    );
    assert_eq!(Json::from(Dialect::CondSince.params(&SCHEMA)), expected);
    assert_eq!(Dialect::Plain.params(&SCHEMA).as_slice(), &expected.as_array().expect("array")[..3]);

    let rows = r#"{"Bridge":{"ROW":{"initial":{"name":"a"}}}}"#;
    let mut replica = Replica::new(&SCHEMA, 4096);
    replica.apply_reply(Dialect::CondSince, &json(&format!(r#"[false,"0",{rows}]"#))).expect("reply");
    assert_eq!(replica.table("Bridge").len(), 1);
    let continued = json(&format!(r#"[true,"0",{rows}]"#));
    assert_eq!(replica.apply_reply(Dialect::CondSince, &continued), Err(ReplicaError::Reply));

    let notice = |text: &str| json(text).as_array().expect("array").clone();
    let changed = replica.apply_notice(Dialect::Cond, &notice(r#"["selvedge",{"Bridge":{"ROW":{"delete":null}}}]"#));
    assert_eq!(changed, Ok(BTreeSet::from(["Bridge"])));
    let foreign = replica.apply_notice(Dialect::Cond, &notice(r#"["other",{}]"#));
    assert_eq!(foreign, Err(ReplicaError::Notice { method: "update2" }));
    let other_dialect = replica.apply_notice(Dialect::CondSince, &notice(r#"["selvedge",{}]"#));
    assert_eq!(other_dialect, Err(ReplicaError::Notice { method: "update3" }));
}
