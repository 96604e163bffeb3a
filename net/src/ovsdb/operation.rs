//! Transactions: the operations of RFC 7047 section 5.2, and what a server answers to them.
//!
//! Build a [`Transaction`], send its [`params`](Transaction::params), and let [`read_reply`] tell whether
//! all of it holds or none. Rows that a transaction inserts are referred to by named UUIDs, which it hands out, so they
//! are unique by construction.

use super::value::{Atom, Value, excerpt, parse_uuid};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Columns and what to put in them.
pub type Columns = BTreeMap<&'static str, Value>;

/// Operations that a database does in order, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    database: &'static str,
    operations: Vec<Operation>,
    rows_named: usize,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes a row.
    Insert {
        /// Where.
        table: &'static str,
        /// What the rest of the transaction calls it.
        uuid_name: String,
        /// Columns that shall not have their default.
        row: Columns,
    },
    /// Reads rows.
    Select {
        /// Where.
        table: &'static str,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
        /// What of them.
        columns: Vec<&'static str>,
    },
    /// Replaces columns.
    Update {
        /// Where.
        table: &'static str,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
        /// The new values.
        row: Columns,
    },
    /// Changes part of columns.
    Mutate {
        /// Where.
        table: &'static str,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
        /// Done in order.
        mutations: Vec<Mutation>,
    },
    /// Deletes rows.
    Delete {
        /// Where.
        table: &'static str,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
    },
    /// Fails the transaction, at once, unless the selected rows are these.
    Wait {
        /// Where.
        table: &'static str,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
        /// The rows, in any order: each with the same columns.
        rows: Vec<Columns>,
    },
    /// Goes to the database's log.
    Comment(String),
}

/// What a row must meet to be meant (RFC 7047 section 5.1, `<condition>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Of this column, or `_uuid`.
    pub column: &'static str,
    /// How to compare.
    pub function: Function,
    /// With what.
    pub value: Value,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The column is the value.
    Equal,
    /// The column is not the value.
    NotEqual,
    /// The column has all that the value has.
    Includes,
    /// The column has nothing that the value has.
    Excludes,
}

/// A change to part of a column (RFC 7047 section 5.1, `<mutation>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// Of this column.
    pub column: &'static str,
    /// What to do.
    pub mutator: Mutator,
    /// With what.
    pub value: Value,
}

/// What a mutation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutator {
    /// Adds to a number.
    Add,
    /// Adds atoms to a set, or those pairs to a map whose keys it lacks.
    Insert,
    /// Removes atoms from a set, or from a map: a set of keys, or pairs.
    Delete,
}

impl Transaction {
    /// A transaction that does nothing yet.
    pub fn new(database: &'static str) -> Self {
        Self { database, operations: Vec::new(), rows_named: 0 }
    }

    /// Makes a row. What is returned refers to it, in this transaction only.
    ///
    /// A row in a table that is not a root of the schema vanishes unless something refers to it.
    pub fn insert(&mut self, table: &'static str, row: Columns) -> Atom {
        let uuid_name = format!("row{}", self.rows_named);
        self.rows_named += 1;
        self.operations.push(Operation::Insert { table, uuid_name: uuid_name.clone(), row });
        Atom::NamedUuid(uuid_name)
    }

    /// Adds any operation that names no new row.
    pub fn push(&mut self, operation: Operation) {
        assert!(!matches!(operation, Operation::Insert { .. }), "rows are named by `insert`");
        self.operations.push(operation);
    }

    /// Replaces columns of one row, which may be one inserted before.
    pub fn update(&mut self, table: &'static str, row: &Atom, columns: Columns) {
        self.push(Operation::Update { table, conditions: vec![Condition::is_row(row)], row: columns });
    }

    /// Changes part of columns of one row, which may be one inserted before.
    pub fn mutate(&mut self, table: &'static str, row: &Atom, mutations: Vec<Mutation>) {
        self.push(Operation::Mutate { table, conditions: vec![Condition::is_row(row)], mutations });
    }

    /// The operations so far.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The parameters of the request `transact` (RFC 7047 section 4.1.3).
    pub fn params(&self) -> Vec<Json> {
        let operations = self.operations.iter().map(Operation::encode);
        std::iter::once(json!(self.database)).chain(operations).collect()
    }
}

impl Condition {
    /// Meets one row.
    pub fn is_row(row: &Atom) -> Self {
        Self { column: "_uuid", function: Function::Equal, value: row.clone().into() }
    }

    fn encode(&self) -> Json {
        let function = match self.function {
            Function::Equal => "==",
            Function::NotEqual => "!=",
            Function::Includes => "includes",
            Function::Excludes => "excludes",
        };
        json!([self.column, function, self.value.encode()])
    }
}

impl Mutation {
    /// Adds to a set or to a map, see [`Mutator::Insert`].
    pub fn insert(column: &'static str, value: Value) -> Self {
        Self { column, mutator: Mutator::Insert, value }
    }

    /// Removes from a set or from a map, see [`Mutator::Delete`].
    pub fn delete(column: &'static str, value: Value) -> Self {
        Self { column, mutator: Mutator::Delete, value }
    }

    /// Adds to a number.
    pub fn add(column: &'static str, number: i64) -> Self {
        Self { column, mutator: Mutator::Add, value: number.into() }
    }

    fn encode(&self) -> Json {
        let mutator = match self.mutator {
            Mutator::Add => "+=",
            Mutator::Insert => "insert",
            Mutator::Delete => "delete",
        };
        json!([self.column, mutator, self.value.encode()])
    }
}

impl Operation {
    fn encode(&self) -> Json {
        match self {
            Self::Insert { table, uuid_name, row } => {
                json!({ "op": "insert", "table": table, "uuid-name": uuid_name, "row": encode_row(row) })
            }
            Self::Select { table, conditions, columns } => {
                json!({ "op": "select", "table": table, "where": encode_where(conditions), "columns": columns })
            }
            Self::Update { table, conditions, row } => {
                json!({ "op": "update", "table": table, "where": encode_where(conditions), "row": encode_row(row) })
            }
            Self::Mutate { table, conditions, mutations } => {
                let mutations: Vec<Json> = mutations.iter().map(Mutation::encode).collect();
                json!({ "op": "mutate", "table": table, "where": encode_where(conditions), "mutations": mutations })
            }
            Self::Delete { table, conditions } => {
                json!({ "op": "delete", "table": table, "where": encode_where(conditions) })
            }
            Self::Wait { table, conditions, rows } => encode_wait(table, conditions, rows),
            Self::Comment(comment) => json!({ "op": "comment", "comment": comment }),
        }
    }
}

fn encode_wait(table: &str, conditions: &[Condition], rows: &[Columns]) -> Json {
    let columns: Vec<&str> = rows.first().map(|row| row.keys().copied().collect()).unwrap_or_default();
    let rows: Vec<Json> = rows.iter().map(encode_row).collect();
    json!({
        "op": "wait", "table": table, "where": encode_where(conditions),
        "columns": columns, "until": "==", "rows": rows, "timeout": 0,
    })
}

fn encode_row(row: &Columns) -> Json {
    row.iter().map(|(column, value)| ((*column).to_owned(), value.encode())).collect::<Map<_, _>>().into()
}

fn encode_where(conditions: &[Condition]) -> Json {
    conditions.iter().map(Condition::encode).collect()
}

/// What an operation of a transaction that succeeded did.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// It inserted this row.
    Inserted(Uuid),
    /// It touched so many rows.
    Count(u64),
    /// It read these rows: columns as JSON, of types that only the caller knows.
    Rows(Vec<Map<String, Json>>),
    /// It did what it does, without more to say.
    Nothing,
}

/// Why nothing of a transaction was done, or is known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactError {
    /// An operation failed. `timed out` means that a `wait` did not hold.
    #[error("operation {index}: {error}")]
    Operation {
        /// Which, counted from 0.
        index: usize,
        /// The server's words.
        error: DatabaseError,
    },
    /// Every operation went well, but their result may not be committed.
    #[error("commit: {0}")]
    Commit(DatabaseError),
    /// The request as a whole was refused.
    #[error("transaction refused: {0}")]
    Refused(DatabaseError),
    /// The connection ended before the answer: it may have been done, or not.
    #[error("outcome unknown: the session closed first")]
    Unknown,
}

/// An `<error>` of RFC 7047 section 3.1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}{}", .details.as_deref().map(|details| format!(" ({details})")).unwrap_or_default())]
pub struct DatabaseError {
    /// A fixed word or two, such as `constraint violation`.
    pub error: String,
    /// For people.
    pub details: Option<String>,
}

impl DatabaseError {
    /// Reads a JSON-RPC error: an object, or a plain string as for an unknown method. Anything else is quoted.
    pub fn read(json: &Json) -> Self {
        let string = |json: &Json| json.as_str().map(str::to_owned);
        let error = string(json).or_else(|| string(&json["error"])).unwrap_or_else(|| excerpt(json));
        Self { error, details: string(&json["details"]) }
    }
}

/// A reply that no server would give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nonsense in reply to a transaction of {operations} operations: {excerpt}")]
pub struct ReplyError {
    operations: usize,
    excerpt: String,
}

/// Understands the answer to a transaction of so many `operations` (RFC 7047 section 4.1.3): one result for each,
/// or one error and whatever surrounds it. An error found at commit comes as one element more.
pub fn read_reply(
    operations: usize,
    outcome: &Result<Json, Json>,
) -> Result<Result<Vec<Done>, TransactError>, ReplyError> {
    let result = match outcome {
        Ok(result) => result,
        Err(error) => return Ok(Err(TransactError::Refused(DatabaseError::read(error)))),
    };
    let nonsense = || ReplyError { operations, excerpt: excerpt(result) };
    let elements = result.as_array().ok_or_else(nonsense)?;
    if let Some(index) = elements.iter().position(|element| element.get("error").is_some()) {
        let error = DatabaseError::read(&elements[index]);
        return match index < operations {
            true => Ok(Err(TransactError::Operation { index, error })),
            false => Ok(Err(TransactError::Commit(error))),
        };
    }
    let done = elements.iter().map(read_done).collect::<Option<Vec<_>>>().ok_or_else(nonsense)?;
    match done.len() == operations {
        true => Ok(Ok(done)),
        false => Err(nonsense()),
    }
}

fn read_done(element: &Json) -> Option<Done> {
    let members = element.as_object()?;
    if let Some(uuid) = members.get("uuid") {
        let uuid = uuid.get(1)?.as_str()?;
        return parse_uuid(uuid).map(Done::Inserted);
    }
    if let Some(count) = members.get("count") {
        return count.as_u64().map(Done::Count);
    }
    match members.get("rows") {
        Some(rows) => {
            let rows = rows.as_array()?.iter().map(|row| row.as_object().cloned());
            rows.collect::<Option<Vec<_>>>().map(Done::Rows)
        }
        None => Some(Done::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Uuid = Uuid::from_u128(0x01234567_89ab_cdef_0123_456789abcdef);

    fn json(text: &str) -> Json {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn operations_are_written_as_the_standard_has_them() {
        let mut transaction = Transaction::new("Open_vSwitch");
        let condition = Condition { column: "name", function: Function::NotEqual, value: "br".into() };
        transaction.push(Operation::Wait {
            table: "Bridge",
            conditions: vec![condition.clone()],
            rows: vec![[("name", "x".into())].into()],
        });
        let port = transaction.insert("Port", [("name", "p".into())].into());
        let second = transaction.insert("Port", Columns::new());
        assert_ne!(port, second, "each row has a name of its own");
        transaction.mutate("Bridge", &ROW.into(), vec![Mutation::insert("ports", port.clone().into())]);
        transaction.update("Port", &port, [("tag", 5.into())].into());
        transaction.push(Operation::Delete { table: "Port", conditions: vec![condition.clone()] });
        transaction.push(Operation::Select { table: "Port", conditions: vec![], columns: vec!["tag"] });
        transaction.push(Operation::Comment("why".to_owned()));
        let expected = json(
            r#"["Open_vSwitch",
            {"op":"wait","table":"Bridge","where":[["name","!=","br"]],"columns":["name"],"until":"==","rows":[{"name":"x"}],"timeout":0},
            {"op":"insert","table":"Port","uuid-name":"row0","row":{"name":"p"}},
            {"op":"insert","table":"Port","uuid-name":"row1","row":{}},
            {"op":"mutate","table":"Bridge","where":[["_uuid","==",["uuid","01234567-89ab-cdef-0123-456789abcdef"]]],
             "mutations":[["ports","insert",["named-uuid","row0"]]]},
            {"op":"update","table":"Port","where":[["_uuid","==",["named-uuid","row0"]]],"row":{"tag":5}},
            {"op":"delete","table":"Port","where":[["name","!=","br"]]},
            {"op":"select","table":"Port","where":[],"columns":["tag"]},
            {"op":"comment","comment":"why"}]"#,
        );
        assert_eq!(Json::from(transaction.params()), expected);
    }

    fn check_reply(operations: usize, result: &str, expected: Result<Vec<Done>, &str>) {
        let reply = read_reply(operations, &Ok(json(result))).expect("sensible");
        assert_eq!(reply.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{result}");
    }

    #[test]
    fn replies_of_each_kind() {
        check_reply(
            4,
            r#"[{"uuid":["uuid","01234567-89ab-cdef-0123-456789abcdef"]},{"count":1},{},{"rows":[{"a":1}]}]"#,
            Ok(vec![
                Done::Inserted(ROW),
                Done::Count(1),
                Done::Nothing,
                Done::Rows(vec![json(r#"{"a":1}"#).as_object().expect("object").clone()]),
            ]),
        );
        check_reply(
            3,
            r#"[{},{"details":"\"where\" clause test failed","error":"timed out"},null]"#,
            Err("operation 1: timed out (\"where\" clause test failed)"),
        );
        check_reply(1, r#"[{"count":1},{"error":"constraint violation"}]"#, Err("commit: constraint violation"));
    }

    #[test]
    fn a_refused_request_is_told_in_its_own_words() {
        let check = |error: &str, expected: &str| {
            let reply = read_reply(1, &Err(json(error))).expect("sensible");
            assert_eq!(reply.expect_err("refused").to_string(), expected);
        };
        check(r#""canceled""#, "transaction refused: canceled");
        check(r#"{"error":"unknown database","details":"x"}"#, "transaction refused: unknown database (x)");
        check("[7]", "transaction refused: [7]");
    }

    #[test]
    fn nonsense_is_no_reply() {
        for result in ["null", "{}", "[]", "[1]", "[null]", "[{},{}]", r#"[{"count":-1}]"#, r#"[{"uuid":1}]"#] {
            assert!(read_reply(1, &Ok(json(result))).is_err(), "{result}");
        }
    }
}
