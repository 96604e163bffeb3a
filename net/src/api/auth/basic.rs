//! HTTP Basic authentication (RFC 7617), which one command-line tool uses. Start at [`credentials`].

use axum::http::{HeaderMap, header};

/// User and password of a request, if it carries them this way.
pub(super) fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(base64(encoded.trim())?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_string(), password.to_string()))
}

/// The bytes behind base64 (RFC 4648, section 4), padding optional.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let six = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    (held < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn rfc_4648_vectors() {
        let check = |text: &str, want: &str| assert_eq!(base64(text).as_deref(), Some(want.as_bytes()));
        check("", "");
        check("Zg==", "f");
        check("Zm8=", "fo");
        check("Zm9v", "foo");
        check("Zm9vYg==", "foob");
        check("Zm9vYmE=", "fooba");
        check("Zm9vYmFy", "foobar");
        assert_eq!(base64("Z"), None);
        assert_eq!(base64("Zm9\u{e9}"), None);
    }

    #[test]
    fn credentials_are_read_and_nonsense_is_none() {
        let check = |value: &str, want: Option<(&str, &str)>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
            let want = want.map(|(user, password)| (user.to_string(), password.to_string()));
            assert_eq!(credentials(&headers), want, "{value}");
        };
        check("Basic YWRtaW46c2VjcmV0", Some(("admin", "secret")));
        check("basic YWRtaW46YTpi", Some(("admin", "a:b")));
        check("Bearer YWRtaW46c2VjcmV0", None);
        check("Basic YWRtaW4=", None);
        check("Basic", None);
    }
}
