//! Tables of what the API says, or the JSON itself. Start at [`table`].

use comfy_table::{Table, presets};
use serde_json::Value;

/// A column: its heading, and where the value is (a path of names with dots between).
pub(super) type Column = (&'static str, &'static str);

/// Prints objects as a table, or as they are.
pub(super) fn table(json: bool, columns: &[Column], objects: &[Value]) {
    match json {
        true => println!("{}", Value::Array(objects.to_vec())),
        false => println!("{}", rendered(columns, objects)),
    }
}

fn rendered(columns: &[Column], objects: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().map(|(heading, _)| *heading));
    for object in objects {
        table.add_row(columns.iter().map(|(_, path)| cell(object, path)));
    }
    table.trim_fmt()
}

/// A value for people: what stands at a path of names with dots between.
pub(super) fn cell(object: &Value, path: &str) -> String {
    path.split('.').try_fold(object, |value, name| value.get(name)).map_or_else(|| "-".to_string(), plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_string(),
        Value::Bool(true) => "yes".to_string(),
        Value::Bool(false) => "no".to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "-".to_string(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Prints one object field by field, or as it is.
pub(super) fn object(json: bool, fields: &[Column], object: &Value) {
    if json {
        return println!("{object}");
    }
    let width = fields.iter().map(|(heading, _)| heading.len()).max().unwrap_or(0);
    for (heading, path) in fields {
        println!("{heading:width$}  {}", cell(object, path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_show_what_is_there_and_a_dash_for_what_is_not() {
        let rows = [json!({"name": "hv1", "connection": {"connected": true}}), json!({"name": "hv2"})];
        let text = rendered(&[("NAME", "name"), ("UP", "connection.connected")], &rows);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [vec!["NAME", "UP"], vec!["hv1", "yes"], vec!["hv2", "-"]]);
    }

    #[test]
    fn lists_show_their_items() {
        let check = |value: Value, want: &str| assert_eq!(cell(&json!({ "list": value }), "list"), want);
        check(json!(["br-int is missing", "no tunnel to hv2"]), "br-int is missing, no tunnel to hv2");
        check(json!([{"at": "noon", "what": "a flow was gone"}]), "at=noon what=a flow was gone");
        check(json!([]), "-");
        check(json!({"bundles": 2, "repairs": 0}), "bundles=2 repairs=0");
    }
}
