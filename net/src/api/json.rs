//! JSON as it goes over the wire: reading bodies within bounds, naming what is wrong in them, and writing answers
//! on one line with a space after each colon and comma, which shell scripts cut values out of.
//!
//! Start at [`body`], [`decode`] and [`response`].

use super::error::ApiError;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::Formatter;
use serde_json::{Map, Value};
use std::io;

/// Longest request body, in bytes.
pub(super) const BODY_MAX: usize = 1 << 20;
/// Longest part of a message that repeats what a client sent, in characters.
const MESSAGE_MAX: usize = 200;

/// One line, with a space after each colon and comma.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}

/// A value as it is sent.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, Spaced);
    value.serialize(&mut serializer).expect("our own types always serialise, and memory takes them");
    line
}

/// An answer with a JSON body.
pub(super) fn response(status: StatusCode, value: &impl Serialize) -> Response {
    let mut response = (status, line(value)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The bytes of a request's body, at most `limit` of them.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::TooLarge { limit });
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge { limit }),
        Err(error) => Err(ApiError::Invalid(format!("the body did not arrive whole: {error}"))),
    }
}

/// The object in a request's body; one without fields if there is no body.
pub(super) async fn body(body: Body) -> Result<Map<String, Value>, ApiError> {
    let bytes = bytes(body, BODY_MAX).await?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(ApiError::Invalid("the body must be a JSON object".into())),
        Err(error) => Err(ApiError::Invalid(format!("the body is not JSON: {error}"))),
    }
}

/// Our own type as a JSON object.
pub(super) fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value).expect("our own types always serialise") {
        Value::Object(map) => map,
        other => unreachable!("resources are objects, and this is {other}"),
    }
}

/// Reads a value of our own type from a client's object.
///
/// # Errors
/// Names the path of the field that is wrong, and what is wrong with it.
pub(super) fn decode<T: DeserializeOwned>(from: Map<String, Value>) -> Result<T, ApiError> {
    let from = Value::Object(from);
    T::deserialize(&from).map_err(|error| {
        let path = culprit(&from, &|value| T::deserialize(&value).err().map(|error| error.to_string()));
        let why: String = error.to_string().chars().take(MESSAGE_MAX).collect();
        let path = path.strip_prefix('.').unwrap_or(&path);
        match path {
            "" => ApiError::Invalid(why),
            _ => ApiError::Invalid(format!("{path}: {why}")),
        }
    })
}

/// The path of the innermost value that the complaint is about.
///
/// Our types flatten and tag, which hides positions from serde; so the question is asked of the types themselves:
/// the innermost part without which the complaint would be another. `complaint` says what is wrong when `value`
/// is replaced.
fn culprit(value: &Value, complaint: &dyn Fn(Value) -> Option<String>) -> String {
    let message = complaint(value.clone());
    match value {
        Value::Array(items) => {
            let alone = |item: Value| complaint(Value::Array(vec![item]));
            match items.iter().position(|item| alone(item.clone()) == message) {
                Some(i) => format!("[{i}]{}", culprit(&items[i], &alone)),
                None => String::new(),
            }
        }
        Value::Object(fields) => culprit_field(fields, &message, complaint),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => String::new(),
    }
}

/// Fields are taken away from the front until the complaint changes; halving finds the place.
fn culprit_field(
    fields: &Map<String, Value>,
    message: &Option<String>,
    complaint: &dyn Fn(Value) -> Option<String>,
) -> String {
    // The type goes last: without it every complaint is another.
    let mut ordered: Vec<(&String, &Value)> = fields.iter().collect();
    ordered.sort_by_key(|(name, _)| *name == "type");
    let after = |n: usize| ordered.iter().skip(n).map(|(k, v)| ((*k).clone(), (*v).clone())).collect::<Map<_, _>>();
    let (mut same, mut other) = (0, fields.len());
    if complaint(Value::Object(after(other))) == *message {
        return String::new();
    }
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        match complaint(Value::Object(after(middle))) == *message {
            true => same = middle,
            false => other = middle,
        }
    }
    let Some((name, inner)) = ordered.get(same).copied() else { return String::new() };
    let rest = after(other);
    let replaced = |value: Value| {
        let mut fields = rest.clone();
        fields.insert(name.clone(), value);
        complaint(Value::Object(fields))
    };
    let shown: String = name.chars().take(MESSAGE_MAX).collect();
    format!(".{shown}{}", culprit(inner, &replaced))
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_core::nib::{LogicalPort, LogicalSwitch, TransportNode};

    #[test]
    fn answers_are_one_line_with_spaces() {
        let value = serde_json::json!({"a": [1, 2], "b": {"c": "x", "d": null}, "e": {}});
        assert_eq!(
            String::from_utf8(line(&value)).expect("UTF-8"),
            r#"{"a": [1, 2], "b": {"c": "x", "d": null}, "e": {}}"#
        );
    }

    fn wrong<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
        let Value::Object(map) = serde_json::from_str(text).expect("JSON") else { panic!("an object") };
        decode::<T>(map).expect_err("wrong").to_string()
    }

    #[test]
    fn the_path_of_what_is_wrong_is_named() {
        let check = |got: String, want: &str| assert!(got.starts_with(want), "{got}");
        check(wrong::<LogicalPort>(r#"{"admin_status_enabled": "yes"}"#), "admin_status_enabled: invalid type: string");
        check(wrong::<LogicalPort>(r#"{"tags": [{"tag": "a"}, {"tag": 5}]}"#), "tags[1].tag: invalid type: integer");
        check(wrong::<LogicalPort>(r#"{"tags": "a", "zz": 1}"#), "tags: invalid type: string");
        check(wrong::<LogicalPort>(r#"{"portno": -1}"#), "portno: invalid value: integer `-1`");
        check(wrong::<LogicalPort>(r#"{"portno": 1e300}"#), "portno: invalid type: floating point");
        let pairs = r#"{"allowed_address_pairs": [{"mac_address": "x", "ip_address": "10.0.0.1"}]}"#;
        check(wrong::<LogicalPort>(pairs), "allowed_address_pairs[0].mac_address: 'x' is not a MAC address");
        check(wrong::<LogicalSwitch>(r#"{"transport_zones": [{}]}"#), "transport_zones[0]: missing field `zone_uuid`");
        let vlan = r#"{"transport_zones": [{"zone_uuid": "00000000-0000-0000-0000-000000000001",
                       "binding_config": {"vlan_translation": [{"transport": "a"}]}}]}"#;
        let path = "transport_zones[0].binding_config.vlan_translation[0].transport: invalid type";
        check(wrong::<LogicalSwitch>(vlan), path);
        let credential = r#"{"credential": {"type": "MgmtAddrCredential", "mgmt_address": "here"}}"#;
        check(wrong::<TransportNode>(credential), "credential.mgmt_address: invalid IP address");
        check(wrong::<TransportNode>(r#"{"credential": {"type": "X"}}"#), "credential.type: unknown variant `X`");
    }

    #[test]
    fn a_long_value_is_not_sent_back_whole() {
        let text = format!(r#"{{"portno": "{}"}}"#, "a".repeat(100_000));
        assert!(wrong::<LogicalPort>(&text).len() < 300);
    }
}
