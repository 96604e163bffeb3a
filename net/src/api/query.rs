//! What a list is asked for: paging, fields, relations and filters, read from a query string.
//!
//! A filter's value may begin with an operator: `=` and `!=` compare whole values, `~` and `!~` match a pattern (a
//! glob over the whole value if it has a `*`, else a substring). No operator means equal. A field asked for several
//! times may have any of the positive values and none of the negative ones. `tag` and `tag_scope` are and-ed: every
//! scope must be on the object, and every tag must be in one of those scopes, or in any if none is asked for.
//!
//! `last_modified` compares times, in seconds since 1970, with `=`, `!=`, `<`, `<=`, `>` or `>=`; `identifier` is a uuid or a
//! name; `alert` asks for what does not work though it should, `alert_changed_since` when that may have changed last.
//!
//! A filter that the kind does not have is refused: left out silently, it would return what was not asked for.
//! Start at [`ListQuery::parse`].

use super::error::ApiError;
use super::kinds::{Filter, Find, Row, Under};
use super::{Authenticated, status};
use crate::controller::State;
use axum::extract::Query;
use axum::http::Uri;
use selvedge_core::nib::Tag;
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use uuid::Uuid;

/// What lists of all kinds can be filtered by; `tag` and `tag_scope` where there are tags.
pub(super) const COMMON: [&str; 8] =
    ["uuid", "display_name", "identifier", "alert", "alert_changed_since", "last_modified", "tag", "tag_scope"];
/// Objects on a page if the query does not say.
pub(super) const PAGE_LENGTH_DEFAULT: usize = 1000;
/// Most objects on a page; more are not refused, only not sent at once.
pub(super) const PAGE_LENGTH_MAX: usize = 5000;

/// The pairs of a query string. Empty ones and lone `&` are nothing.
pub(super) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, ApiError> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
    query.map(|Query(pairs)| pairs).map_err(|error| ApiError::Invalid(format!("the query cannot be read: {error}")))
}

/// Which fields of an object are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Fields {
    /// Nothing was asked.
    #[default]
    Unsaid,
    /// All.
    All,
    /// These, if they exist.
    Named(BTreeSet<String>),
}

/// What each object is sent with, whatever was asked for.
const ALWAYS: [&str; 3] = ["_href", "_schema", "type"];

impl Fields {
    fn add(&mut self, value: &str) {
        let names: BTreeSet<String> = words(value).map(String::from).collect();
        match self {
            _ if names.contains("*") => *self = Fields::All,
            Fields::All => {}
            Fields::Unsaid => *self = Fields::Named(names),
            Fields::Named(known) => known.extend(names),
        }
    }

    /// Keeps what was asked for; for a list, nothing asked means the uuid.
    pub(super) fn keep(&self, map: &mut Map<String, Value>) {
        match self {
            Fields::All => {}
            Fields::Unsaid => map.retain(|name, _| name == "uuid" || ALWAYS.contains(&name.as_str())),
            Fields::Named(names) => map.retain(|name, _| names.contains(name) || ALWAYS.contains(&name.as_str())),
        }
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// What is shown of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub fields: Fields,
    /// Names of relations, known or not.
    pub relations: BTreeSet<String>,
}

impl Shown {
    /// Reads it from a query.
    pub(super) fn of_list(pairs: &[(String, String)]) -> Shown {
        let mut shown = Shown::default();
        for (name, value) in pairs {
            shown.take(name, value);
        }
        shown
    }

    /// Reads it from a query; for one object, nothing asked means everything.
    pub(super) fn of_object(pairs: &[(String, String)]) -> Shown {
        let mut shown = Shown::of_list(pairs);
        if shown.fields == Fields::Unsaid {
            shown.fields = Fields::All;
        }
        shown
    }

    /// Takes a parameter if it is about what is shown.
    fn take(&mut self, name: &str, value: &str) -> bool {
        match name {
            "fields" => self.fields.add(value),
            "relations" => self.relations.extend(words(value).map(String::from)),
            _ => return false,
        }
        true
    }

    /// An object as it is sent.
    pub(super) fn render(&self, row: &Row, state: &State, uuid: &Uuid, sender: &Authenticated) -> Option<Value> {
        let mut map = row.render(&state.nib, uuid)?;
        self.fields.keep(&mut map);
        if !self.relations.is_empty() {
            let asked = row.relations.iter().filter(|relation| self.relations.contains(relation.name));
            // One client looks into what is not there: it gets an object without fields.
            let nothing = || Value::Object(Map::new());
            let found = asked.map(|relation| {
                let look = relation.look.at(row, state, uuid, sender);
                (relation.name.to_string(), look.unwrap_or_else(nothing))
            });
            map.insert("_relations".into(), Value::Object(found.collect()));
        }
        Some(Value::Object(map))
    }
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    negative: bool,
    pattern: bool,
    text: String,
}

impl Test {
    fn parse(value: &str) -> Test {
        let (negative, pattern, text) = match value {
            _ if value.starts_with("!=") => (true, false, &value[2..]),
            _ if value.starts_with("!~") => (true, true, &value[2..]),
            _ if value.starts_with('=') => (false, false, value.trim_start_matches('=')),
            _ if value.starts_with('~') => (false, true, &value[1..]),
            _ => (false, false, value),
        };
        Test { negative, pattern, text: text.to_string() }
    }

    /// Whether a value is what the text says, the sign left aside.
    fn fits(&self, value: &str) -> bool {
        match self.pattern {
            false => value == self.text,
            true if self.text.contains('*') => glob(self.text.as_bytes(), value.as_bytes()),
            true => value.contains(&self.text),
        }
    }
}

/// Whether a value is of a pattern in which `*` stands for anything. Linear in memory, and never worse than the
/// product of both lengths in time.
fn glob(pattern: &[u8], value: &[u8]) -> bool {
    let (mut p, mut v) = (0, 0);
    let mut retry = None;
    while v < value.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, v));
                p += 1;
            }
            Some(byte) if *byte == value[v] => (p, v) = (p + 1, v + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, v) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// All comparisons of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tests(Vec<Test>);

impl Tests {
    /// Whether a field with these values passes. An absent one has none.
    fn hold(&self, values: &[&str]) -> bool {
        let (negative, positive): (Vec<&Test>, Vec<&Test>) = self.0.iter().partition(|test| test.negative);
        let any = |test: &Test| values.iter().any(|value| test.fits(value));
        (positive.is_empty() || positive.iter().any(|test| any(test))) && !negative.iter().any(|test| any(test))
    }
}

/// How a time compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimeTest {
    /// What the time may be, seen from the one that is said.
    orders: &'static [Ordering],
    /// In seconds since 1970.
    said: u64,
}

impl TimeTest {
    fn parse(name: &str, value: &str) -> Result<TimeTest, ApiError> {
        use Ordering::{Equal, Greater, Less};
        let operators: [(&str, &[Ordering]); 6] = [
            ("!=", &[Less, Greater]),
            (">=", &[Greater, Equal]),
            ("<=", &[Less, Equal]),
            (">", &[Greater]),
            ("<", &[Less]),
            ("=", &[Equal]),
        ];
        let found = operators.into_iter().find_map(|(sign, orders)| Some((value.strip_prefix(sign)?, orders)));
        let (text, orders) = found.unwrap_or((value, &[Equal]));
        let why = || ApiError::Invalid(format!("{name}: it must be a time in seconds since 1970, after an operator"));
        Ok(TimeTest { orders, said: text.parse().map_err(|_| why())? })
    }

    /// A time that is not known is long ago.
    fn holds(&self, time: Option<u64>) -> bool {
        self.orders.contains(&time.unwrap_or(0).cmp(&self.said))
    }
}

/// Which objects a list holds.
#[derive(Default)]
pub(super) struct Conditions {
    uuid: Tests,
    display_name: Tests,
    identifier: Tests,
    alert: Tests,
    last_modified: Vec<TimeTest>,
    alert_changed: Vec<TimeTest>,
    scopes: Vec<Test>,
    tags: Vec<Test>,
    others: Vec<(&'static Filter, Tests)>,
}

impl Conditions {
    fn add(&mut self, row: &'static Row, name: &str, value: &str) -> Result<(), ApiError> {
        let test = Test::parse(value);
        match name {
            "uuid" => self.uuid.0.push(Test { text: test.text.to_lowercase(), ..test }),
            "display_name" => self.display_name.0.push(test),
            "identifier" => self.identifier.0.push(test),
            "alert" => self.alert.0.push(test),
            "last_modified" => self.last_modified.push(TimeTest::parse(name, value)?),
            "alert_changed_since" => self.alert_changed.push(TimeTest::parse(name, value)?),
            "tag" | "tag_scope" if !row.tagged => {}
            "tag" => self.tags.push(test),
            "tag_scope" => self.scopes.push(test),
            _ if name.starts_with('_') => {}
            _ => self.add_other(row, name, test)?,
        }
        Ok(())
    }

    /// Where guests are is not for tenants.
    fn may_ask(name: &str, sender: &Authenticated) -> Result<(), ApiError> {
        let tells = ["attachment_node_uuid", "attachment_node_name", "attachment_bridge_id", "attachment_zone_uuid"];
        match tells.contains(&name) && !sender.is_staff() {
            true => Err(ApiError::Forbidden(format!("{name}: it is for operators and administrators"))),
            false => Ok(()),
        }
    }

    fn add_other(&mut self, row: &'static Row, name: &str, test: Test) -> Result<(), ApiError> {
        let unknown = || {
            let shown: String = name.chars().take(64).collect();
            let known: Vec<&str> = row.filters.iter().map(|filter| filter.name).collect();
            let known = [&COMMON[..], &known].concat().join(", ");
            ApiError::Invalid(format!("{} lists cannot be filtered by '{shown}', only by {known}", row.segment))
        };
        let filter = row.filters.iter().find(|filter| filter.name == name).ok_or_else(unknown)?;
        match self.others.iter_mut().find(|(known, _)| known.name == name) {
            Some((_, tests)) => tests.0.push(test),
            None => self.others.push((filter, Tests(vec![test]))),
        }
        Ok(())
    }

    /// The only objects that can fit, if the query names them.
    pub(super) fn only(&self) -> Option<BTreeSet<Uuid>> {
        let positive = self.uuid.0.iter().filter(|test| !test.negative);
        let mut named = None;
        for test in positive {
            if test.pattern {
                return None;
            }
            let named: &mut BTreeSet<Uuid> = named.get_or_insert_default();
            named.extend(test.text.parse::<Uuid>().ok());
        }
        named
    }

    /// Whether an object fits. What is cheap comes first.
    pub(super) fn hold(&self, row: &Row, state: &State, under: Under, uuid: &Uuid) -> bool {
        let common = state.nib.common(row.kind, *uuid);
        let name = common.and_then(|common| common.display_name.as_deref());
        let tags = common.map_or(&[][..], |common| &common.tags);
        row.exists(&state.nib, under, uuid)
            && (self.uuid.0.is_empty() || self.uuid.hold(&[&uuid.to_string()]))
            && self.display_name.hold(&[name.unwrap_or_default()])
            && self.tags_hold(tags)
            && (self.identifier.0.is_empty() || self.identifier.hold(&[&uuid.to_string(), name.unwrap_or_default()]))
            && self.last_modified.iter().all(|test| test.holds(state.nib.modified_at(row.kind, *uuid)))
            && (self.others.is_empty() || self.others_hold(row, state, uuid))
            && self.alert_changed.iter().all(|test| test.holds(status::alert_changed(state, row.kind, *uuid)))
            && (self.alert.0.is_empty() || self.alert.hold(&[&status::alert(state, row.kind, *uuid).to_string()]))
    }

    fn tags_hold(&self, tags: &[Tag]) -> bool {
        let any = |test: &Test, texts: &mut dyn Iterator<Item = &str>| {
            let mut texts = texts.map(|text| test.fits(text));
            texts.any(|fits| fits) != test.negative
        };
        let asked = |tag: &&Tag| {
            let mut positive = self.scopes.iter().filter(|test| !test.negative).peekable();
            positive.peek().is_none() || positive.any(|test| test.fits(&tag.scope))
        };
        self.scopes.iter().all(|test| any(test, &mut tags.iter().map(|tag| tag.scope.as_str())))
            && self.tags.iter().all(|test| any(test, &mut tags.iter().filter(asked).map(|tag| tag.tag.as_str())))
    }

    fn others_hold(&self, row: &Row, state: &State, uuid: &Uuid) -> bool {
        let needs_fields = self.others.iter().any(|(filter, _)| !matches!(filter.find, Find::Look(_) | Find::All(_)));
        let fields = needs_fields.then(|| (row.fields)(&state.nib, uuid)).flatten().unwrap_or_default();
        self.others.iter().all(|(filter, tests)| {
            let values: Vec<String> = match &filter.find {
                Find::Field(name) => fields.get(*name).map(texts).unwrap_or_default(),
                Find::Each(list, name) => {
                    let items = fields.get(*list).and_then(Value::as_array).into_iter().flatten();
                    items.filter_map(|item| item.get(*name)).flat_map(texts).collect()
                }
                Find::Look(look) => look(state, uuid).into_iter().collect(),
                Find::All(look) => look(state, uuid),
            };
            tests.hold(&values.iter().map(String::as_str).collect::<Vec<_>>())
        })
    }
}

/// What a filter compares of a JSON value: strings as they are, numbers, booleans and null as JSON writes them.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Object(_) => Vec::new(),
    }
}

/// What a list is asked for.
#[derive(Default)]
pub(super) struct ListQuery {
    /// Most objects on the page; 0 asks only how many there are.
    pub page_length: usize,
    /// The page begins after this object; none is the first page.
    pub cursor: Option<Uuid>,
    pub shown: Shown,
    pub conditions: Conditions,
}

impl ListQuery {
    /// Reads what is asked of a list of a kind.
    ///
    /// # Errors
    /// Names the parameter that is wrong.
    pub(super) fn parse(
        row: &'static Row,
        pairs: &[(String, String)],
        sender: &Authenticated,
    ) -> Result<ListQuery, ApiError> {
        let mut query = ListQuery { page_length: PAGE_LENGTH_DEFAULT, ..ListQuery::default() };
        for (name, value) in pairs {
            match name.as_str() {
                "_page_length" => query.page_length = page_length(value)?,
                "_page_cursor" => query.cursor = Some(cursor(value)?),
                _ if query.shown.take(name, value) => {}
                _ => {
                    Conditions::may_ask(name, sender)?;
                    query.conditions.add(row, name, value)?;
                }
            }
        }
        Ok(query)
    }
}

fn page_length(value: &str) -> Result<usize, ApiError> {
    let number = value.parse::<u64>();
    let number = number.map_err(|_| ApiError::Invalid("_page_length: it must be a number, 0 or more".into()))?;
    Ok(usize::try_from(number).map_or(PAGE_LENGTH_MAX, |number| number.min(PAGE_LENGTH_MAX)))
}

/// A cursor is the last object of the page before, without hyphens.
fn cursor(value: &str) -> Result<Uuid, ApiError> {
    let uuid = (value.len() == 32).then(|| Uuid::try_parse(value).ok()).flatten();
    uuid.ok_or_else(|| ApiError::Invalid("_page_cursor: it is not one that a page of this list ended with".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn operators() {
        let check = |filters: &[&str], value: &str, want: bool| {
            let tests = Tests(filters.iter().map(|filter| Test::parse(filter)).collect());
            assert_eq!(tests.hold(&[value]), want, "{filters:?} {value}");
        };
        check(&["a"], "a", true);
        check(&["=a"], "a", true);
        check(&["==a"], "a", true);
        check(&["a"], "ab", false);
        check(&["!=a"], "b", true);
        check(&["!=a"], "a", false);
        check(&["~b"], "abc", true);
        check(&["~a*c"], "abc", true);
        check(&["~b*"], "abc", false);
        check(&["!~b"], "abc", false);
        check(&["a", "b"], "b", true);
        check(&["!=a", "!=b"], "b", false);
        check(&["~a", "!=ab"], "ab", false);
        check(&[], "x", true);
        check(&["~"], "x", true);
        assert!(!Tests(vec![Test::parse("a")]).hold(&[]), "an absent field equals nothing");
        assert!(Tests(vec![Test::parse("!=a")]).hold(&[]));
    }

    fn slow_glob(pattern: &[u8], value: &[u8]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some((b'*', rest)) => (0..=value.len()).any(|n| slow_glob(rest, &value[n..])),
            Some((byte, rest)) => value.first() == Some(byte) && slow_glob(rest, &value[1..]),
        }
    }

    proptest! {
        #[test]
        fn globs_match_like_their_definition(pattern in "[ab*]{0,8}", value in "[ab]{0,8}") {
            prop_assert_eq!(glob(pattern.as_bytes(), value.as_bytes()), slow_glob(pattern.as_bytes(), value.as_bytes()));
        }
    }
}
