//! Changes are told in order, none twice to who comes back, and none is missed in silence.

use super::*;
use http_body_util::BodyExt;
use std::collections::VecDeque;

/// An event as it was read.
#[derive(Clone, Debug)]
struct Event {
    id: Option<u64>,
    name: String,
    data: Value,
}

/// A reader of a stream.
struct Reader {
    body: Body,
    events: VecDeque<Event>,
}

impl Reader {
    async fn new(server: &TestServer, query: &str, headers: &[(&str, &str)]) -> Reader {
        let mut request = Request::get(format!("/ws.v1/watch{query}")).header("cookie", &server.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = server.router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Reader { body: response.into_body(), events: VecDeque::new() }
    }

    async fn next(&mut self) -> Event {
        while self.events.is_empty() {
            let frame = self.body.frame().await.expect("it goes on").expect("it is whole");
            let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text");
            self.events.extend(text.split_terminator("\n\n").map(read));
        }
        self.events.pop_front().expect("there is one")
    }
}

fn read(text: &str) -> Event {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Event {
        id: field("id").map(|id| id.parse().expect("a number")),
        name: field("event").expect("a name").to_string(),
        data: serde_json::from_str(field("data").expect("data")).expect("JSON"),
    }
}

#[tokio::test]
async fn changes_are_told_as_they_come_and_to_who_comes_back() {
    let server = TestServer::new().await;
    let mut live = Reader::new(&server, "", &[]).await;
    let start = live.next().await;
    assert_eq!((start.name.as_str(), start.id), ("current", start.data["revision"].as_u64()));
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let port = server.create(&ports, json!({})).await;
    let queue = server.create("/ws.v1/lqueue", json!({})).await;
    server.put(&format!("{ports}/{port}/attachment"), json!({"type": "VifAttachment", "vif_uuid": "v"})).await;
    assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/lswitch/{switch}"), "").await, 204);
    let told = |event: &Event| {
        let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_string();
        (text("kind"), text("uuid"), text("change"))
    };
    let is = |kind: &str, uuid: &str, change: &str| (kind.to_string(), uuid.to_string(), change.to_string());
    let wanted = [
        is("lswitch", &switch, "set"),
        is("lswitch/lport", &port, "set"),
        is("lqueue", &queue, "set"),
        is("lswitch/lport", &port, "set"),
        is("lswitch/lport", &port, "deleted"),
        is("lswitch", &switch, "deleted"),
    ];
    let mut seen = Vec::new();
    while seen.len() < wanted.len() {
        let event = live.next().await;
        assert_eq!(event.name, "change");
        seen.push(event);
    }
    assert_eq!(seen.iter().map(told).collect::<Vec<_>>(), wanted);
    assert_eq!(seen[4].id, None, "the revision goes on");
    assert_eq!(seen[5].id, seen[5].data["revision"].as_u64());
    assert_eq!(seen[2].data["_href"], format!("/ws.v1/lqueue/{queue}"));

    let third = seen[2].id.expect("it ends a revision").to_string();
    let mut back = Reader::new(&server, "?since=0&kinds=lswitch/lport", &[("last-event-id", &third)]).await;
    let rest = [back.next().await, back.next().await];
    assert_eq!(rest.iter().map(told).collect::<Vec<_>>(), wanted[3..5]);
}

#[tokio::test]
async fn who_cannot_be_told_all_is_told_so() {
    let server = TestServer::new().await;
    let mut of_another_database = Reader::new(&server, "?since=1000000", &[]).await;
    let reset = of_another_database.next().await;
    assert_eq!((reset.name.as_str(), reset.id), ("reset", reset.data["revision"].as_u64()));
    for query in ["?since=x", "?kinds=nonsense"] {
        assert_eq!(server.status(Method::GET, &format!("/ws.v1/watch{query}"), "").await, 400, "{query}");
    }
    let answer = server.send_with(Method::GET, "/ws.v1/watch", "", &[]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
