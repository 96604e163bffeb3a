//! Something that can be asked of the API, and how the document says so. Start at [`Operation`].

use super::super::kinds::KINDS;
use super::operations::operations;
use serde_json::{Map, Value};

/// Something that can be asked of the API.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) summary: String,
    /// Names and meanings of what the query string may say.
    pub(super) query: Vec<(&'static str, &'static str)>,
    /// Schemas that the body may have.
    pub(super) body: Vec<&'static str>,
    /// What the body must say, since it makes an object and that has no default.
    pub(super) needed: Vec<Value>,
    pub(super) status: u16,
    pub(super) answer: Answer,
    /// Whether it needs a session.
    pub(super) session: bool,
}

pub(super) const PLAIN: &str = "text/plain";
pub(super) const BYTES: &str = "application/octet-stream";
pub(super) const EVENTS: &str = "text/event-stream";
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text";

/// What comes back.
pub(super) enum Answer {
    Nothing,
    /// Text of this media type.
    Text(&'static str),
    /// JSON without a schema of its own.
    Json,
    /// Something of one of these schemas.
    One(Vec<&'static str>),
    /// A page of these.
    List(Vec<&'static str>),
}

/// `GET` of something with a schema of its own.
pub(super) fn get_one(path: &str, summary: &str, type_name: &'static str) -> Operation {
    Operation {
        method: "get",
        path: path.to_string(),
        summary: summary.to_string(),
        query: Vec::new(),
        body: Vec::new(),
        needed: Vec::new(),
        status: 200,
        answer: Answer::One(vec![type_name]),
        session: true,
    }
}

/// A schema by its name.
pub(super) fn reference(name: &str) -> Value {
    serde_json::json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn any_of(names: &[&'static str]) -> Value {
    match names {
        [one] => reference(one),
        several => serde_json::json!({ "oneOf": several.iter().map(|name| reference(name)).collect::<Vec<_>>() }),
    }
}

impl Operation {
    /// As the document has it.
    pub(super) fn document(&self) -> Value {
        let mut document = serde_json::json!({
            "summary": self.summary,
            "operationId": self.id(),
            "parameters": self.parameters(),
            "responses": self.responses(),
            "security": if self.session { serde_json::json!([{ "session": [] }, { "basic": [] }]) } else { Value::Array(vec![]) },
        });
        if !self.body.is_empty() {
            let schema = match self.needed.is_empty() {
                true => any_of(&self.body),
                false => serde_json::json!({ "allOf": [any_of(&self.body), { "required": self.needed }] }),
            };
            document["requestBody"] = serde_json::json!({ "content": { "application/json": { "schema": schema } } });
        }
        document
    }

    /// The method and the words of the path.
    pub(super) fn id(&self) -> String {
        let words = self.path.split(['/', '{', '}', '.', '-']).filter(|word| !word.is_empty());
        [self.method].into_iter().chain(words).collect::<Vec<_>>().join("_")
    }

    fn parameters(&self) -> Vec<Value> {
        let string = serde_json::json!({ "type": "string" });
        let in_path = self.path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
        let in_path = in_path.map(|name| {
            let what = match name {
                "parent" => "The uuid of the object it belongs to; in lists, `*` means all.",
                "type" => "The name of a schema.",
                "name" => "Its name.",
                _ => "The object's uuid.",
            };
            serde_json::json!({ "name": name, "in": "path", "required": true, "description": what, "schema": string })
        });
        let in_query = self.query.iter().map(
            |(name, what)| serde_json::json!({ "name": name, "in": "query", "description": what, "schema": string }),
        );
        in_path.chain(in_query).collect()
    }

    /// How what it makes leads to others.
    fn links(&self) -> Map<String, Value> {
        if self.status != 201 {
            return Map::new();
        }
        let others = operations();
        let links = others.iter().filter_map(|to| Some((to.id(), leads(&self.path, to)?)));
        links
            .map(|(id, parameters)| {
                let link = serde_json::json!({ "operationId": id, "parameters": parameters });
                (id, link)
            })
            .collect()
    }

    fn responses(&self) -> Value {
        let json = |schema: Value| serde_json::json!({ "application/json": { "schema": schema } });
        let content = match &self.answer {
            Answer::Nothing => Value::Null,
            Answer::Text(media) => serde_json::json!({ *media: { "schema": { "type": "string" } } }),
            Answer::Json => json(serde_json::json!({ "type": "object" })),
            Answer::One(names) => json(any_of(names)),
            Answer::List(names) => json(page(names)),
        };
        let mut done = serde_json::json!({ "description": self.summary });
        let links = self.links();
        if !links.is_empty() {
            done["links"] = Value::Object(links);
        }
        if !content.is_null() {
            done["content"] = content;
        }
        let failed = serde_json::json!({ "description": "Why not.", "content": json(reference("Error")) });
        serde_json::json!({ self.status.to_string(): done, "default": failed })
    }
}

/// Where what was made can be used: of each method that takes it, what the placeholders of its path are then.
fn leads(path: &str, to: &Operation) -> Option<Map<String, Value>> {
    let row = KINDS.iter().find(|row| row.path() == path)?;
    let (own, made) = (row.kind, Value::from("$response.body#/uuid"));
    let of_kind = |path: &str| KINDS.iter().rev().find(|row| path.starts_with(&row.path()));
    let target = of_kind(&to.path)?.kind;
    let takes_uuid = to.path.contains("{uuid}");
    let pairs = match (target == own, target.parent() == Some(own)) {
        (true, _) if takes_uuid && own.parent().is_some() => {
            vec![("uuid", made), ("parent", "$request.path.parent".into())]
        }
        (true, _) if takes_uuid => vec![("uuid", made)],
        (_, true) if !takes_uuid => vec![("parent", made)],
        _ => return None,
    };
    Some(pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

/// A page of a list.
fn page(names: &[&'static str]) -> Value {
    serde_json::json!({
        "type": "object",
        "required": ["results"],
        "properties": {
            "results": { "type": "array", "items": any_of(names) },
            "result_count": {
                "type": "integer", "description": "How many there are over all pages; on the first page only."
            },
            "page_cursor": {
                "type": "string", "description": "For `_page_cursor` of the next page; absent on the last."
            },
        },
    })
}
