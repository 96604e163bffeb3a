//! What an operator carries from a controller to the machine that is to be the next one: an invitation, where members are,
//! and by what to know them. Start at [`Token`].

use super::wire::Secret;
use crate::tls::Fingerprint;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use uuid::Uuid;

/// An invitation on its way. In words: addresses, with commas between, a slash, and 128 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where members are.
    pub members: Vec<SocketAddr>,
    /// The authority that their certificates are of.
    pub authority: Fingerprint,
    /// The invitation.
    pub invitation: Uuid,
    /// What proves that one has it.
    pub secret: Secret,
}

/// Bytes of a fingerprint, an invitation's name and a secret.
const PARTS: [usize; 3] = [32, 16, 16];

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<String> = self.members.iter().map(ToString::to_string).collect();
        let authority = self.authority.to_string().replace(':', "").to_lowercase();
        write!(f, "{}/{authority}{}{}", members.join(","), self.invitation.simple(), self.secret.0)
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Token, String> {
        let (members, rest) = text.split_once('/').ok_or("a token reads ADDR:PORT[,ADDR:PORT...]/<hex digits>")?;
        let member = |text: &str| text.parse().map_err(|_| format!("'{text}' is no ADDR:PORT"));
        let members = members.split(',').map(member).collect::<Result<Vec<SocketAddr>, String>>()?;
        let digits = 2 * PARTS.iter().sum::<usize>();
        if rest.len() != digits || !rest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let cut = if rest.len() < digits { ": it is cut short" } else { "" };
            return Err(format!("behind the slash it must have {digits} hex digits{cut}"));
        }
        let (authority, rest) = rest.split_at(2 * PARTS[0]);
        let (invitation, secret) = rest.split_at(2 * PARTS[1]);
        let mut bytes = [0; PARTS[0]];
        for (byte, pair) in bytes.iter_mut().zip(authority.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|error| error.to_string())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|error| error.to_string())?;
        }
        let invitation = Uuid::try_parse(invitation).map_err(|error| error.to_string())?;
        Ok(Token { members, authority: Fingerprint::from(bytes), invitation, secret: Secret(secret.to_string()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_being_written_and_damage_is_named() {
        let token = Token {
            members: vec!["192.0.2.1:7440".parse().expect("one"), "[2001:db8::1]:7440".parse().expect("one")],
            authority: Fingerprint::of(b"abc"),
            invitation: Uuid::from_u128(7),
            secret: Secret("0123456789abcdef0123456789abcdef".into()),
        };
        let text = token.to_string();
        assert!(text.starts_with("192.0.2.1:7440,[2001:db8::1]:7440/ba7816bf"), "{text}");
        assert_eq!(text.parse(), Ok(token));
        let check = |text: &str, why: &str| {
            let error = text.parse::<Token>().expect_err("no token");
            assert!(error.contains(why), "{error}");
        };
        check("", "a token reads");
        check("here/12", "'here' is no ADDR:PORT");
        check(&text[..text.len() - 1], "128 hex digits: it is cut short");
        check(&text.replace("ba78", "zz78"), "128 hex digits");
    }
}
