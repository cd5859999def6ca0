//! Rows of comma-separated text with their lines, and the names of its columns.

use std::collections::HashSet;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::super::read::{Header, ReadOptions};
use crate::error::{Error, Result};

/// Comma-separated text.
pub(super) struct Text<'a> {
    bytes: &'a [u8],
    pub(super) file: &'a str,
    separator: u8,
    /// True if the first row has the names.
    header: bool,
    pub(super) names: Vec<String>,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8], file: &'a str, separator: u8, options: &ReadOptions) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut text = Text { bytes, file, separator, header: false, names: Vec::new() };
        let mut first = Vec::new();
        text.each_row(|_, record| {
            first = record.iter().map(String::from).collect();
            Ok(false)
        })?;
        if first.is_empty() {
            let expected = "a header that names the columns, and rows below it";
            return Err(Error::data(format!("{file}, line 1"), "no text", expected, ""));
        }
        text.header = options.header != Header::Absent;
        text.names = match options.header {
            Header::Absent => (0..first.len()).map(|j| format!("x{j}")).collect(),
            Header::Sniff | Header::Present => first,
        };
        if options.header == Header::Sniff {
            text.check_header()?;
        }
        text.name_columns()?;
        Ok(text)
    }

    /// Refuses a first row that may be data.
    fn check_header(&self) -> Result<()> {
        let numbers: Vec<&String> = self.names.iter().filter(|n| n.parse::<f64>().is_ok()).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let found = if numbers.len() == self.names.len() {
            "numbers only".to_string()
        } else {
            let list: Vec<String> = numbers.iter().take(3).map(|n| format!("'{n}'")).collect();
            let more = if numbers.len() > 3 { ", …" } else { "" };
            format!("the number(s) {}{more} among the names", list.join(", "))
        };
        Err(Error::data(
            format!("{}, line 1", self.file),
            found,
            "a header that names the columns",
            "If the first line is data, use `no_header`; if these are names, use `header`.",
        ))
    }

    /// Names columns without a name by their index, and refuses a name that occurs twice.
    fn name_columns(&mut self) -> Result<()> {
        for (j, name) in self.names.iter_mut().enumerate().filter(|(_, name)| name.is_empty()) {
            *name = format!("column {j}");
        }
        let mut seen = HashSet::new();
        match self.names.iter().find(|n| !seen.insert(n.as_str())) {
            None => Ok(()),
            Some(name) => Err(Error::data(
                format!("{}, line 1", self.file),
                format!("column '{name}' twice"),
                "distinct names",
                "Rename one of them; if the first line is data, use `no_header`.",
            )),
        }
    }

    /// Passes the line and the cells of every row of data to `each`, until that returns false.
    pub(super) fn rows(&self, mut each: impl FnMut(u64, &StringRecord) -> Result<bool>) -> Result<()> {
        let (mut header, expected) = (self.header, self.names.len());
        let mut found = false;
        self.each_row(|line, record| {
            if std::mem::take(&mut header) {
                return Ok(true);
            }
            found = true;
            if record.len() != expected {
                let place = if self.header { "in the header" } else { "in the first row" };
                return Err(Error::data(
                    format!("{}, line {line}", self.file),
                    format!("{} cells", record.len()),
                    format!("{expected}, as {place}"),
                    "Check for a missing or surplus separator.",
                ));
            }
            each(line, record)
        })?;
        if found {
            return Ok(());
        }
        Err(Error::data(self.file, "a header and no rows", "at least one row below the header", ""))
    }

    fn each_row(&self, mut each: impl FnMut(u64, &StringRecord) -> Result<bool>) -> Result<()> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .delimiter(self.separator)
            .from_reader(self.bytes);
        let mut record = StringRecord::new();
        let (mut line, mut counted) = (1, 0);
        loop {
            let more = reader.read_record(&mut record).map_err(|e| {
                Error::data(self.file, e.to_string(), "comma-separated text in UTF-8", "").with_source(e)
            })?;
            if !more {
                return Ok(());
            }
            // The reader begins a record before the second byte of `\r\n` and before blank lines.
            let begin = record.position().map_or(counted, |p| p.byte() as usize);
            let blank = self.bytes[begin..].iter().take_while(|b| matches!(**b, b'\r' | b'\n')).count();
            line += line_ends(self.bytes, counted, begin + blank);
            counted = begin + blank;
            if !each(line, &record)? {
                return Ok(());
            }
        }
    }
}

/// The number of line ends between two places: `\n`, `\r\n`, or a lone `\r`.
fn line_ends(bytes: &[u8], from: usize, to: usize) -> u64 {
    let lone = |i: usize| bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n');
    (from..to).filter(|i| bytes[*i] == b'\n' || lone(*i)).count() as u64
}
