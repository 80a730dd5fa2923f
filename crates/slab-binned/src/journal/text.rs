//! The text form of a log: one operation a line, made to be read, compared and committed.

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::{FromStr, SplitWhitespace};

use thiserror::Error;

use super::fingerprint::{FREE, TRIM, alloc_kind};
use super::{Fingerprinted, OpLog, Operation};
use crate::classes::PAGE_BYTES;
use crate::{ALIGN_MAX, BLOCK_BYTES_MAX, BlockId, Config, SizeClasses};

const TITLE: &str = "slab-binned log 3";

/// The reason for which a text is no log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogError {
    /// A line has another form than expected.
    #[error("line {line}: expected {expected}, found `{found}`")]
    Syntax {
        /// Number of the line, counted from 1.
        line: usize,
        /// The expected text.
        expected: &'static str,
        /// At most 40 characters of the line.
        found: String,
    },
    /// The text was changed after it was written.
    #[error(
        "line {line}: the log was written with checksum {expected:016x}; its contents have {found:016x}"
    )]
    Checksum {
        /// Number of the line of the checksum, counted from 1.
        line: usize,
        /// The checksum that the log was written with.
        expected: u64,
        /// The checksum of its contents.
        found: u64,
    },
    /// There is no memory for the log.
    #[error("line {line}: no memory for {bytes} bytes")]
    OutOfMemory {
        /// Number of the line, counted from 1.
        line: usize,
        /// Bytes asked for.
        bytes: usize,
    },
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Alloc { size, align, zeroed, id } => {
                let verb = if zeroed { "alloc" } else { "dirty" };
                write!(f, "{verb} {size} align {align} -> {id}")
            }
            Self::Free { id } => write!(f, "free {id}"),
            Self::Write { id, offset, bytes } => {
                write!(f, "write {id} ")?;
                if offset != 0 {
                    write!(f, "at {offset} ")?;
                }
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Trim { released_pages } => write!(f, "trim -> {released_pages}"),
        }
    }
}

impl fmt::Display for OpLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { classes, chunk_pages, cap_pages } = self.config;
        let classes = match classes {
            SizeClasses::Standard => "standard",
            SizeClasses::Fine => "fine",
        };
        let chunk = chunk_pages as usize * PAGE_BYTES;
        write!(f, "{TITLE}\nclasses {classes} chunk {chunk}")?;
        if let Some(pages) = cap_pages {
            write!(f, " cap {}", u64::from(pages) * PAGE_BYTES as u64)?;
        }
        writeln!(f, "\nstart {:016x}", self.start)?;
        for operation in self.operations() {
            writeln!(f, "{operation}")?;
        }
        writeln!(f, "end {:016x}", self.end_fingerprint())?;
        writeln!(f, "checksum {:016x}", self.checksum())
    }
}

impl FromStr for OpLog {
    type Err = LogError;

    /// Reads the text form. *O*(length); memory is bounded by the text's.
    fn from_str(text: &str) -> Result<Self, LogError> {
        let mut lines = text.lines().enumerate().map(|(at, text)| Line::new(at + 1, text));
        let mut next = |expected| {
            lines.next().ok_or_else(|| Line::new(text.lines().count() + 1, "").wrong(expected))
        };
        let title = next(TITLE)?;
        if title.text != TITLE {
            return Err(title.wrong(TITLE));
        }
        let config = next("classes NAME chunk BYTES")?.config()?;
        let mut line = next("start FINGERPRINT")?;
        line.word("start")?;
        let mut log = OpLog::empty(config, line.fingerprint()?);
        line.end()?;
        let mut line = loop {
            let mut line = next("an operation or `end`")?;
            if line.words.clone().next() == Some("end") {
                break line;
            }
            line.operation(&mut log)?;
        };
        line.word("end")?;
        log.end = Fingerprinted::at(line.fingerprint()?);
        line.end()?;
        let mut line = next("checksum NUMBER")?;
        line.word("checksum")?;
        let (expected, found) = (line.fingerprint()?, log.checksum());
        line.end()?;
        if expected != found {
            return Err(LogError::Checksum { line: line.number, expected, found });
        }
        let more = lines.find(|line| !line.text.trim().is_empty());
        more.map_or(Ok(log), |line| Err(line.wrong("nothing after the checksum")))
    }
}

/// A line that is being read.
struct Line<'a> {
    number: usize,
    text: &'a str,
    words: SplitWhitespace<'a>,
}

impl<'a> Line<'a> {
    fn new(number: usize, text: &'a str) -> Self {
        Self { number, text, words: text.split_whitespace() }
    }

    fn wrong(&self, expected: &'static str) -> LogError {
        let found = self.text.chars().take(40).collect();
        LogError::Syntax { line: self.number, expected, found }
    }

    /// Refuses a word that is left.
    fn end(&mut self) -> Result<(), LogError> {
        self.words.next().map_or(Ok(()), |_| Err(self.wrong("the end of the line")))
    }

    fn word(&mut self, expected: &'static str) -> Result<(), LogError> {
        match self.words.next() {
            Some(word) if word == expected => Ok(()),
            _ => Err(self.wrong(expected)),
        }
    }

    fn parse<T: FromStr>(&mut self, expected: &'static str) -> Result<T, LogError> {
        let word = self.words.next().and_then(|word| word.parse().ok());
        word.ok_or_else(|| self.wrong(expected))
    }

    fn fingerprint(&mut self) -> Result<u64, LogError> {
        let word = self.words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
        word.ok_or_else(|| self.wrong("a number of hexadecimal digits"))
    }

    fn id(&mut self) -> Result<BlockId, LogError> {
        let id = self.words.next().and_then(|word| {
            let (index, generation) = word.split_once(':')?;
            BlockId::new(index.parse().ok()?, generation.parse().ok()?)
        });
        id.ok_or_else(|| self.wrong("a block, INDEX:GENERATION"))
    }

    fn config(&mut self) -> Result<Config, LogError> {
        self.word("classes")?;
        let classes = match self.words.next() {
            Some("standard") => SizeClasses::Standard,
            Some("fine") => SizeClasses::Fine,
            _ => return Err(self.wrong("`standard` or `fine`")),
        };
        self.word("chunk")?;
        let chunk = self.parse("the bytes of a chunk")?;
        let mut config = Config::new().classes(classes).chunk_bytes(chunk);
        if config.chunk_pages as usize * PAGE_BYTES != chunk {
            return Err(self.wrong("bytes that a chunk can have"));
        }
        if self.words.clone().next() == Some("cap") {
            self.word("cap")?;
            let pages = self.parse::<u64>("the bytes of the cap")? / PAGE_BYTES as u64;
            let pages = u32::try_from(pages).map_err(|_| self.wrong("fewer bytes"))?;
            config.cap_pages = Some(pages);
        }
        self.end()?;
        Ok(config)
    }

    fn operation(&mut self, log: &mut OpLog) -> Result<(), LogError> {
        let line = self.number;
        let no_memory = |bytes| LogError::OutOfMemory { line, bytes };
        let pushed = match self.words.next() {
            Some(verb @ ("alloc" | "dirty")) => {
                let size = self.parse::<u32>("bytes")?;
                self.word("align")?;
                let align = self.parse::<usize>("an alignment")?;
                self.word("->")?;
                let id = self.id()?;
                let possible = align.is_power_of_two() && align <= ALIGN_MAX;
                if !possible || size as usize > BLOCK_BYTES_MAX {
                    return Err(self.wrong("a size and an alignment that a block can have"));
                }
                log.push(alloc_kind(align.trailing_zeros(), verb == "alloc"), size, Some(id))
            }
            Some("free") => {
                let id = self.id()?;
                log.push(FREE, 0, Some(id))
            }
            Some("write") => {
                let id = self.id()?;
                let mut offset = 0;
                if self.words.clone().next() == Some("at") {
                    self.word("at")?;
                    offset = self.parse("the offset of a write")?;
                    if offset == 0 || offset as usize > BLOCK_BYTES_MAX {
                        return Err(self.wrong("an offset inside a block, other than 0"));
                    }
                }
                let digits = self.words.next().unwrap_or_default();
                if !digits.len().is_multiple_of(2)
                    || !digits.bytes().all(|digit| digit.is_ascii_hexdigit())
                {
                    return Err(self.wrong("pairs of hexadecimal digits"));
                }
                let len = digits.len() / 2;
                if len > BLOCK_BYTES_MAX {
                    return Err(self.wrong("no more bytes than a block can have"));
                }
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(len).map_err(|_| no_memory(len))?;
                let pairs = digits.as_bytes().chunks_exact(2);
                bytes.extend(pairs.map(|pair| hex(pair[0]) << 4 | hex(pair[1])));
                log.reserve(len.max(1)).map_err(no_memory)?;
                log.push_write(id, offset, &bytes);
                Ok(())
            }
            Some("trim") => {
                self.word("->")?;
                let pages = self.parse("a number of pages")?;
                log.push(TRIM, pages, None)
            }
            _ => return Err(self.wrong("an operation or `end`")),
        };
        pushed.map_err(no_memory)?;
        self.end()
    }
}

/// Returns the value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
