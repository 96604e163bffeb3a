//! Lists, held against what they are said to be: walks while things change, and filters against a model that is slow and plain.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

const SWITCHES: &str = "/ws.v1/lswitch";

/// Creates and deletes some; `there` is what is there.
async fn churn(server: &TestServer, random: &mut ChaCha8Rng, there: &mut BTreeSet<String>) {
    for _ in 0..random.random_range(0..4) {
        let victim = there.iter().nth(random.random_range(0..there.len().max(1))).cloned();
        match victim.filter(|_| random.random_bool(0.5)) {
            Some(victim) => {
                assert_eq!(server.status(Method::DELETE, &format!("{SWITCHES}/{victim}"), "").await, 204);
                there.remove(&victim);
            }
            None => _ = there.insert(server.create(SWITCHES, json!({})).await),
        }
    }
}

#[tokio::test]
async fn what_is_there_throughout_a_walk_is_shown_once_whatever_changes_meanwhile() {
    let server = TestServer::new().await;
    let mut there = BTreeSet::new();
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..5 {
            churn(&server, &mut random, &mut there).await;
        }
        let (mut throughout, mut ever) = (there.clone(), there.clone());
        let (mut shown, mut cursor) = (Vec::new(), String::new());
        loop {
            let length = random.random_range(1..5);
            let page = server.get(&format!("{SWITCHES}?_page_length={length}{cursor}")).await;
            let uuids = uuids(&page);
            assert!(uuids.len() <= length);
            assert_eq!(page.get("result_count").is_some(), cursor.is_empty(), "on the first page only");
            shown.extend(uuids);
            match page["page_cursor"].as_str() {
                Some(next) => cursor = format!("&_page_cursor={next}"),
                None => break,
            }
            churn(&server, &mut random, &mut there).await;
            throughout.retain(|uuid| there.contains(uuid));
            ever.extend(there.iter().cloned());
        }
        let once: BTreeSet<String> = shown.iter().cloned().collect();
        assert_eq!(once.len(), shown.len(), "seed {seed}: something was shown twice");
        assert!(throughout.is_subset(&once), "seed {seed}: something was skipped");
        assert!(once.is_subset(&ever), "seed {seed}: something was never there");
    }
}

/// One condition, as it is asked.
struct Condition {
    name: &'static str,
    value: String,
}

fn condition(random: &mut ChaCha8Rng, uuids: &[String]) -> Condition {
    let letter = ["a", "b", "ab", ""][random.random_range(0..4)];
    let operator = ["", "=", "!=", "~", "!~"][random.random_range(0..5)];
    match random.random_range(0..6) {
        0 => Condition { name: "display_name", value: format!("{operator}{letter}") },
        1 => Condition { name: "tag", value: format!("{operator}{letter}") },
        2 => Condition { name: "tag_scope", value: format!("{operator}{letter}") },
        3 => Condition { name: "admin_status_enabled", value: random.random_bool(0.5).to_string() },
        4 => Condition { name: "portno", value: format!("{operator}{}", random.random_range(1..30)) },
        _ => Condition { name: "uuid", value: uuids[random.random_range(0..uuids.len())].clone() },
    }
}

/// What one comparison says of a text: an operator in front, and the rest.
fn says(value: &str, text: &str) -> (bool, bool) {
    let (negative, value) = value.strip_prefix('!').map_or((false, value), |rest| (true, rest));
    match (value.strip_prefix('~'), value.strip_prefix('=')) {
        (Some(part), _) => (negative, text.contains(part)),
        (None, Some(whole)) => (negative, text == whole),
        (None, None) => (negative, text == value),
    }
}

/// Whether an object is one that is asked for, by the words of the documentation.
fn fits(object: &Value, conditions: &[Condition]) -> bool {
    let of = |name: &str| conditions.iter().filter(move |condition| condition.name == name).collect::<Vec<_>>();
    let fields = ["display_name", "admin_status_enabled", "portno", "uuid"];
    let fields_fit = fields.into_iter().all(|name| {
        let text = match &object[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let asked = of(name);
        let mut positive = asked.iter().filter(|condition| !says(&condition.value, "").0).peekable();
        let none_forbids = asked.iter().all(|condition| says(&condition.value, &text) != (true, true));
        let any_wants = positive.peek().is_none() || positive.any(|condition| says(&condition.value, &text).1);
        none_forbids && any_wants
    });
    let tags: Vec<(String, String)> = object["tags"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|tag| {
            let text = |name: &str| tag[name].as_str().expect("text").to_string();
            (text("scope"), text("tag"))
        })
        .collect();
    let has = |condition: &Condition, texts: Vec<&String>| {
        let negative = says(&condition.value, "").0;
        texts.into_iter().any(|text| says(&condition.value, text).1) != negative
    };
    let scopes_fit =
        of("tag_scope").into_iter().all(|condition| has(condition, tags.iter().map(|(scope, _)| scope).collect()));
    let asked: Vec<&Condition> =
        of("tag_scope").into_iter().filter(|condition| !says(&condition.value, "").0).collect();
    let within = |scope: &String| asked.is_empty() || asked.iter().any(|condition| says(&condition.value, scope).1);
    let tags_fit = of("tag")
        .into_iter()
        .all(|condition| has(condition, tags.iter().filter(|(scope, _)| within(scope)).map(|(_, tag)| tag).collect()));
    fields_fit && scopes_fit && tags_fit
}

#[tokio::test]
async fn filters_keep_what_a_plain_model_keeps() {
    let server = TestServer::new().await;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let switch = server.create(SWITCHES, json!({})).await;
    let ports = format!("{SWITCHES}/{switch}/lport");
    for _ in 0..60 {
        let letter = |random: &mut ChaCha8Rng| ["a", "b", "ab", "ba", ""][random.random_range(0..5)];
        let tags: Vec<Value> = (0..random.random_range(0..4))
            .map(|_| json!({"scope": letter(&mut random), "tag": letter(&mut random)}))
            .collect();
        let enabled = random.random_bool(0.5);
        let body = json!({"display_name": letter(&mut random), "tags": tags, "admin_status_enabled": enabled});
        server.create(&ports, body).await;
    }
    let all = server.get(&format!("{ports}?fields=*")).await;
    let objects = all["results"].as_array().expect("a list").clone();
    let everybody = uuids(&all);
    let (mut kept, mut some) = (0, 0);
    for _ in 0..1_500 {
        let count = random.random_range(1..4);
        let asked: Vec<Condition> = (0..count).map(|_| condition(&mut random, &everybody)).collect();
        let query = asked.iter().map(|condition| format!("{}={}", condition.name, condition.value.replace('=', "%3D")));
        let query = query.collect::<Vec<_>>().join("&");
        let wanted: Vec<String> = objects
            .iter()
            .filter(|object| fits(object, &asked))
            .map(|object| object["uuid"].as_str().expect("text").to_string())
            .collect();
        let listed = server.get(&format!("{ports}?{query}")).await;
        assert_eq!(uuids(&listed), wanted, "{query}");
        assert_eq!(listed["result_count"], wanted.len(), "{query}");
        kept += wanted.len();
        some += usize::from(!wanted.is_empty() && wanted.len() < objects.len());
    }
    assert!(kept > 1_000 && some > 500, "the questions say little: {kept} kept, {some} that tell apart");
}
