//! JSON-RPC 1.0 as OVSDB speaks it (RFC 7047 section 4): objects one after another, with nothing between them.
//!
//! Bytes go into a [`Decoder`], [`Message`]s come out; [`encode`] is the other way. Both directions of
//! every message are covered, so a client and a server can each use this.
//!
//! A frame's end is found by counting brackets outside strings. The scan remembers where it stopped, so each byte
//! is looked at once however the stream is cut, and only a complete frame is parsed. What holds: between
//! calls that drain it, a decoder keeps no more than one unfinished frame, itself within [`Limits`].
//! Start at [`Decoder::next`].

use serde_json::{Map, Value as Json};

/// The deepest nesting that serde_json parses.
const PARSER_DEPTH_MAX: usize = 127;

/// A buffer that was needed once for a large frame is given back when empty, if larger than this, in bytes.
const IDLE_CAPACITY_MAX: usize = 64 * 1024;

/// What a peer may make us hold.
///
/// A parsed frame takes at worst some hundred times the memory of its bytes, in objects of one short member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame, in bytes.
    pub frame_len_max: usize,
    /// Deepest nesting of arrays and objects, the message's own object included. At most 127.
    pub depth_max: usize,
}

/// Why a byte stream is not JSON-RPC within our limits. Offsets count from the first byte of the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something other than an object where a message should start.
    #[error("byte {offset}: a message starts with '{{', this with {found:?}")]
    NotAnObject {
        /// Where the message should have started.
        offset: u64,
        /// What was there.
        found: char,
    },
    /// A frame did not end in time.
    #[error("byte {offset}: message longer than the limit of {limit} bytes")]
    FrameTooLong {
        /// Where the message started.
        offset: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many brackets open at once.
    #[error("byte {offset}: nested deeper than the limit of {limit}")]
    TooDeep {
        /// Where the bracket too many was.
        offset: u64,
        /// The limit.
        limit: usize,
    },
    /// The brackets match in number, but the text is not JSON.
    #[error("byte {offset}: not JSON: {reason}")]
    NotJson {
        /// Where the message started.
        offset: u64,
        /// What the parser said; its line and column count from there.
        reason: String,
    },
    /// JSON, but neither a request nor a notification nor a response.
    #[error("byte {offset}: not a JSON-RPC message: {reason}")]
    NotAMessage {
        /// Where the message started.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// One JSON-RPC message. Which of them a peer may send is the session's affair.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Wants an answer with the same id, which is not null.
    Request {
        /// Chosen by the sender, any JSON but null.
        id: Json,
        /// What is asked for.
        method: String,
        /// Its arguments.
        params: Vec<Json>,
    },
    /// A request with id null: wants no answer.
    Notification {
        /// What is told.
        method: String,
        /// Its arguments.
        params: Vec<Json>,
    },
    /// Answers a request.
    Response {
        /// That of the request.
        id: Json,
        /// `result`, or a non-null `error`: a string or an object (RFC 7047 section 4.1).
        outcome: Result<Json, Json>,
    },
}

/// Cuts a byte stream into messages.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where in `buffer` the current frame starts.
    start: usize,
    /// How much of `buffer` the scanner has seen.
    scanned: usize,
    /// Offset in the stream of `buffer[0]`.
    origin: u64,
    scanner: Scanner,
    failed: Option<Error>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        assert!(limits.depth_max <= PARSER_DEPTH_MAX, "the parser follows as deep as the scanner");
        Self { limits, buffer: Vec::new(), start: 0, scanned: 0, origin: 0, scanner: Scanner::default(), failed: None }
    }

    /// Takes the next bytes of the stream. After an error they are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        self.discard_consumed();
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message that is complete, or `None` until more bytes come.
    ///
    /// An error is final: where the next message starts is unknown, so the same error is returned from then on.
    #[expect(clippy::should_implement_trait, reason = "fallible and resumable, which an iterator is not")]
    pub fn next(&mut self) -> Result<Option<Message>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let next = self.advance();
        if let Err(error) = &next {
            self.failed = Some(error.clone());
            self.buffer = Vec::new();
        }
        next
    }

    /// How many bytes are held for messages that are not complete or not taken yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    fn advance(&mut self) -> Result<Option<Message>, Error> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            let offset = self.origin + self.scanned as u64;
            let step = self.scanner.step(byte);
            self.scanned += 1;
            match step {
                Step::Between => self.start = self.scanned,
                Step::Inside if self.scanner.depth > self.limits.depth_max => {
                    return Err(Error::TooDeep { offset, limit: self.limits.depth_max });
                }
                Step::Inside | Step::End if self.scanned - self.start > self.limits.frame_len_max => {
                    let offset = self.origin + self.start as u64;
                    return Err(Error::FrameTooLong { offset, limit: self.limits.frame_len_max });
                }
                Step::Inside => {}
                Step::End => return self.take_frame().map(Some),
                Step::Stray => {
                    return Err(Error::NotAnObject { offset, found: char::from(byte) });
                }
            }
        }
        Ok(None)
    }

    fn take_frame(&mut self) -> Result<Message, Error> {
        let offset = self.origin + self.start as u64;
        let frame = &self.buffer[self.start..self.scanned];
        self.start = self.scanned;
        let json =
            serde_json::from_slice(frame).map_err(|error| Error::NotJson { offset, reason: error.to_string() })?;
        message(json).map_err(|reason| Error::NotAMessage { offset, reason })
    }

    fn discard_consumed(&mut self) {
        self.buffer.drain(..self.start);
        self.origin += self.start as u64;
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(IDLE_CAPACITY_MAX);
        }
    }
}

/// What a byte means to framing.
enum Step {
    /// White space between frames.
    Between,
    /// Part of a frame.
    Inside,
    /// The last byte of a frame.
    End,
    /// Cannot start a frame.
    Stray,
}

/// Counts brackets outside strings; whether they are of matching kinds is left to the parser.
#[derive(Debug, Default)]
struct Scanner {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    fn step(&mut self, byte: u8) -> Step {
        if self.in_string {
            self.step_in_string(byte);
            return Step::Inside;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return Step::Between,
            b'{' => self.depth += 1,
            _ if self.depth == 0 => return Step::Stray,
            b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    return Step::End;
                }
            }
            b'"' => self.in_string = true,
            _ => {}
        }
        Step::Inside
    }

    fn step_in_string(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }
}

/// Sorts a JSON object into the kinds of messages. Open vSwitch leaves out `result` beside an error, and `id`
/// may be absent for null; members beyond the standard's are ignored.
fn message(json: Json) -> Result<Message, &'static str> {
    let Json::Object(mut members) = json else {
        return Err("not an object");
    };
    let id = members.remove("id").unwrap_or(Json::Null);
    match members.remove("method") {
        Some(Json::String(method)) => match (id, members.remove("params")) {
            (Json::Null, Some(Json::Array(params))) => Ok(Message::Notification { method, params }),
            (id, Some(Json::Array(params))) => Ok(Message::Request { id, method, params }),
            (_, _) => Err("\"params\" is not an array"),
        },
        Some(_) => Err("\"method\" is not a string"),
        None => Ok(Message::Response { id, outcome: outcome(members)? }),
    }
}

fn outcome(mut members: Map<String, Json>) -> Result<Result<Json, Json>, &'static str> {
    let error = members.remove("error").unwrap_or(Json::Null);
    match (members.remove("result"), error) {
        (Some(result), Json::Null) => Ok(Ok(result)),
        (None, Json::Null) => Err("neither \"method\" nor \"result\" nor \"error\""),
        (None | Some(Json::Null), error) => Ok(Err(error)),
        (Some(_), _) => Err("both \"result\" and \"error\""),
    }
}

/// The bytes of a message. A response whose error is null cannot be told from a null result.
pub fn encode(message: &Message) -> Vec<u8> {
    let json = match message {
        Message::Request { id, method, params } => {
            serde_json::json!({ "id": id, "method": method, "params": params })
        }
        Message::Notification { method, params } => {
            serde_json::json!({ "id": null, "method": method, "params": params })
        }
        Message::Response { id, outcome: Ok(result) } => {
            serde_json::json!({ "id": id, "result": result, "error": null })
        }
        Message::Response { id, outcome: Err(error) } => {
            serde_json::json!({ "id": id, "result": null, "error": error })
        }
    };
    json.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LIMITS: Limits = Limits { frame_len_max: 64, depth_max: 4 };

    /// Every message in `bytes`, then what stopped the decoder.
    fn decode(bytes: &[u8]) -> (Vec<Message>, Option<Error>) {
        let mut decoder = Decoder::new(LIMITS);
        decoder.push(bytes);
        let mut messages = Vec::new();
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(error) => return (messages, Some(error)),
            }
        }
    }

    fn check(text: &str, expected: Message) {
        assert_eq!(decode(text.as_bytes()), (vec![expected.clone()], None), "{text}");
        assert_eq!(decode(&encode(&expected)), (vec![expected], None), "{text}, encoded again");
    }

    fn check_error(text: &str, expected: &str) {
        let (_, error) = decode(text.as_bytes());
        assert_eq!(error.expect("must fail").to_string(), expected, "{text}");
    }

    #[test]
    fn messages_of_each_kind() {
        let params = vec![json!(["x\"}\\", {}])];
        let method = "echo".to_owned();
        check(
            r#"{"method":"echo","params":[["x\"}\\",{}]],"id":"a"}"#,
            Message::Request { id: json!("a"), method: method.clone(), params: params.clone() },
        );
        check(r#"{"method":"echo","params":[["x\"}\\",{}]]}"#, Message::Notification { method, params });
        check(
            r#"{"id":5,"error":"unknown method"}"#,
            Message::Response { id: json!(5), outcome: Err(json!("unknown method")) },
        );
        check(r#" {"id":5,"result":null,"error":null} "#, Message::Response { id: json!(5), outcome: Ok(json!(null)) });
    }

    #[test]
    fn errors_name_the_place_and_the_limit() {
        check_error("  ]", "byte 2: a message starts with '{', this with ']'");
        check_error(r#"{"id":1,"result":1} x"#, "byte 20: a message starts with '{', this with 'x'");
        check_error(r#"{"a":[[[["#, "byte 8: nested deeper than the limit of 4");
        let long = format!(r#" {{"id":"{}"#, "a".repeat(60));
        check_error(&long, "byte 1: message longer than the limit of 64 bytes");
        check_error("{]", "byte 0: not JSON: key must be a string at line 1 column 2");
        check_error(r#"{"method":1}"#, "byte 0: not a JSON-RPC message: \"method\" is not a string");
        check_error(r#"{"method":"m"}"#, "byte 0: not a JSON-RPC message: \"params\" is not an array");
        check_error(r#"{"id":1}"#, "byte 0: not a JSON-RPC message: neither \"method\" nor \"result\" nor \"error\"");
        check_error(r#"{"result":1,"error":1}"#, "byte 0: not a JSON-RPC message: both \"result\" and \"error\"");
    }

    #[test]
    fn a_frame_of_exactly_the_limit_passes() {
        let frame = format!(r#"{{"id":1,"result":"{}"}}"#, "a".repeat(LIMITS.frame_len_max - 20));
        assert_eq!(frame.len(), LIMITS.frame_len_max);
        assert_eq!(decode(frame.as_bytes()).0.len(), 1);
        check_error(&frame.replace("aa", "aaa"), "byte 0: message longer than the limit of 64 bytes");
    }

    #[test]
    fn an_error_is_final_and_holds_nothing() {
        let mut decoder = Decoder::new(LIMITS);
        decoder.push(b"x");
        let error = decoder.next().expect_err("not an object");
        decoder.push(br#"{"id":1,"result":1}"#);
        assert_eq!(decoder.next(), Err(error));
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn offsets_count_from_the_start_of_the_stream() {
        let mut decoder = Decoder::new(LIMITS);
        for _ in 0..3 {
            decoder.push(br#"{"id":1,"result":1}"#);
            assert!(decoder.next().expect("valid").is_some());
        }
        decoder.push(b"?");
        assert_eq!(decoder.next(), Err(Error::NotAnObject { offset: 57, found: '?' }));
    }
}
