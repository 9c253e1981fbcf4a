//! Tokens of definitions.

use std::borrow::Cow;

/// Where parsing stopped, and what it wanted there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::schema) struct Failure {
    /// Octets from the start of the text.
    pub(in crate::schema) offset: usize,
    pub(in crate::schema) expected: &'static str,
}

#[derive(Debug, PartialEq)]
pub(in crate::schema) enum Token<'t> {
    Open,
    Close,
    Dollar,
    Quoted(Cow<'t, str>),
    Word(&'t str),
    End,
}

/// Cuts a text into tokens. It only goes forward.
#[derive(Debug)]
pub(in crate::schema) struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// Where the last token started.
    token: usize,
    /// Whether `#` starts a comment where a token could start.
    comments: bool,
    /// How many octets were looked at, for the test that each is looked at once.
    #[cfg(test)]
    pub(in crate::schema) steps: usize,
}

impl<'t> Scanner<'t> {
    /// Over the value of an attribute.
    pub(in crate::schema) fn of_value(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            token: 0,
            comments: false,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Over an OpenLDAP `.schema` file.
    pub(in crate::schema) fn of_file(text: &'t str) -> Self {
        Self { comments: true, ..Self::of_value(text) }
    }

    pub(in crate::schema) fn token(&mut self) -> Result<Token<'t>, Failure> {
        self.skip_space();
        self.token = self.at;
        Ok(match self.peek() {
            None => Token::End,
            Some(b'(') => self.single(Token::Open),
            Some(b')') => self.single(Token::Close),
            Some(b'$') => self.single(Token::Dollar),
            Some(quote @ (b'\'' | b'"')) => {
                self.at += 1;
                let Some(text) = self.until(|octet| octet == quote) else {
                    return Err(self.expected("a closing quotation mark"));
                };
                self.at += 1;
                Token::Quoted(unquoted(text))
            }
            Some(_) => Token::Word(self.word()),
        })
    }

    pub(in crate::schema) fn expect_open(&mut self, what: &'static str) -> Result<(), Failure> {
        match self.token()? {
            Token::Open => Ok(()),
            _ => Err(self.expected(what)),
        }
    }

    /// Refuses anything but space from here on.
    pub(in crate::schema) fn finish(&mut self) -> Result<(), Failure> {
        match self.token()? {
            Token::End => Ok(()),
            _ => Err(self.expected("nothing after the definition")),
        }
    }

    /// Passes over `{n}` in front of a value (OpenLDAP's `cn=config`).
    pub(in crate::schema) fn skip_number(&mut self) {
        self.skip_space();
        self.braced();
    }

    /// What stands in braces, if those come next.
    pub(in crate::schema) fn braced(&mut self) -> Option<&'t str> {
        let after = self.rest().trim_ascii_start().strip_prefix('{')?;
        // The number has ten digits at most, so no more is searched for the other brace.
        let length = after.bytes().take(11).position(|octet| octet == b'}')?;
        let (inside, rest) = after.split_at_checked(length)?;
        self.at = self.text.len() - rest.len() + 1;
        Some(inside)
    }

    /// The failure of the last token.
    pub(in crate::schema) fn expected(&self, expected: &'static str) -> Failure {
        Failure { offset: self.token, expected }
    }

    /// Where the next token starts.
    pub(in crate::schema) fn next_offset(&mut self) -> usize {
        self.skip_space();
        self.at
    }

    /// The word the next directive of a file starts with; `None` at the end.
    pub(in crate::schema) fn directive(&mut self, what: &'static str) -> Result<Option<&'t str>, Failure> {
        match self.token()? {
            Token::Word(word) => Ok(Some(word)),
            Token::End => Ok(None),
            _ => Err(self.expected(what)),
        }
    }

    /// Goes to the next line that starts with neither space nor `)`: where the next definition of a file starts.
    pub(in crate::schema) fn recover(&mut self) {
        while let Some(octet) = self.peek() {
            self.at += 1;
            if octet == b'\n' && self.peek().is_some_and(|next| !next.is_ascii_whitespace() && next != b')') {
                return;
            }
            self.step();
        }
    }

    fn single(&mut self, token: Token<'t>) -> Token<'t> {
        self.at += 1;
        token
    }

    fn word(&mut self) -> &'t str {
        let start = self.at;
        let is_end =
            |octet: u8| octet.is_ascii_whitespace() || matches!(octet, b'(' | b')' | b'$' | b'\'' | b'"');
        if self.until(is_end).is_none() {
            self.at = self.text.len();
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// What comes before the first octet that is an end; stops there.
    fn until(&mut self, is_end: impl Fn(u8) -> bool) -> Option<&'t str> {
        let rest = self.rest();
        let length = rest.bytes().position(is_end);
        #[cfg(test)]
        {
            self.steps += length.unwrap_or(rest.len());
        }
        let text = rest.get(..length?)?;
        self.at += text.len();
        Some(text)
    }

    fn skip_space(&mut self) {
        while let Some(octet) = self.peek() {
            if octet == b'#' && self.comments {
                if self.until(|octet| octet == b'\n').is_none() {
                    self.at = self.text.len();
                }
            } else if octet.is_ascii_whitespace() {
                self.at += 1;
            } else {
                return;
            }
            self.step();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "counts in tests"))]
    fn step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}

/// A quoted text as it is meant: escapes undone, a line break and the spaces around it one space.
fn unquoted(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '\n']) {
        return Cow::Borrowed(text);
    }
    let mut meant = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        let line = if number > 0 {
            meant.truncate(meant.trim_end().len());
            meant.push(' ');
            line.trim_start()
        } else {
            line
        };
        unescape(line, &mut meant);
    }
    Cow::Owned(meant)
}

/// RFC 4512 §4.1: `\27` and `\5C`. Any other backslash is one, as servers in the field mean it.
fn unescape(text: &str, meant: &mut String) {
    let mut parts = text.split('\\');
    meant.push_str(parts.next().unwrap_or_default());
    for part in parts {
        if let Some(rest) = part.strip_prefix("27") {
            meant.push('\'');
            meant.push_str(rest);
        } else if let Some(rest) = part.strip_prefix("5c").or_else(|| part.strip_prefix("5C")) {
            meant.push('\\');
            meant.push_str(rest);
        } else {
            meant.push('\\');
            meant.push_str(part);
        }
    }
}
