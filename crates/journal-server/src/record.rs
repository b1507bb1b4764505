//! A record on disk; all numbers are little-endian on every machine:
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | CRC-32C of everything after it |
//! | 4..8 | length of key and value together |
//! | 8..16 | offset |
//! | 16..24 | milliseconds since 1970 |
//! | 24..28 | length of the key |
//! | 28.. | key (UTF-8), value |

use arch::{crc32c, text};

/// Bytes before the key.
pub const HEADER: usize = 28;

/// The maximum of bytes of key and value together. A larger length is damage, and is not allocated.
pub const LONGEST: usize = 16 << 20;

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Vec<u8>,
}

impl Entry {
    /// Bytes of key and value, at most [`LONGEST`].
    pub fn len(&self) -> usize {
        self.key.len() + self.value.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A record as read from disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: u64,
    pub time_ms: u64,
    pub key: String,
    pub value: Vec<u8>,
}

/// The result of decoding the first bytes of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A record, and the number of its bytes.
    Record(Record, usize),
    /// The beginning of a record, and the number of its bytes as far as it is known.
    Partial(usize),
    /// Not a record, with the reason.
    Damaged(&'static str),
}

/// Appends the encoded `entry` to `out`.
///
/// # Panics
/// If the entry is longer than [`LONGEST`].
pub fn encode(out: &mut Vec<u8>, offset: u64, time_ms: u64, entry: &Entry) {
    assert!(entry.len() <= LONGEST, "an entry of {} bytes", entry.len());
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let start = out.len();
    out.extend([0; 4]);
    out.extend(length(entry.len()));
    out.extend(offset.to_le_bytes());
    out.extend(time_ms.to_le_bytes());
    out.extend(length(entry.key.len()));
    out.extend(entry.key.as_bytes());
    out.extend(&entry.value);
    let sum = crc32c::checksum(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&sum.to_le_bytes());
}

/// Decodes the record at the start of `bytes`.
pub fn decode(bytes: &[u8]) -> Decoded {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else {
        return Decoded::Partial(HEADER);
    };
    let [body, key] = [4, 24].map(|at| number::<4>(header, at) as usize);
    if body > LONGEST || key > body {
        return Decoded::Damaged("invalid lengths");
    }
    let size = HEADER + body;
    let Some(record) = bytes.get(..size) else {
        return Decoded::Partial(size);
    };
    if u64::from(crc32c::checksum(&record[4..])) != number::<4>(header, 0) {
        return Decoded::Damaged("wrong checksum");
    }
    let (key, value) = record[HEADER..].split_at(key);
    let Ok(key) = text::utf8(key) else {
        return Decoded::Damaged("the key is not UTF-8");
    };
    let [offset, time_ms] = [8, 16].map(|at| number::<8>(header, at));
    Decoded::Record(Record { offset, time_ms, key: key.to_owned(), value: value.to_owned() }, size)
}

/// The number in `N` bytes from `at`.
fn number<const N: usize>(header: &[u8; HEADER], at: usize) -> u64 {
    header[at..at + N].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_format_does_not_change() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 0x0102, 0x0304, &Entry { key: "k".into(), value: vec![0xFF, 0] });
        let expected = [
            &[0x5C, 0x97, 0x35, 0xEB][..],
            &[3, 0, 0, 0],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[4, 3, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0],
            b"k\xFF\0",
        ];
        assert_eq!(bytes, expected.concat());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(offset: u64, time_ms: u64, key in ".{0,40}", value: Vec<u8>, after: Vec<u8>) {
            let mut bytes = Vec::new();
            encode(&mut bytes, offset, time_ms, &Entry { key: key.clone(), value: value.clone() });
            let size = bytes.len();
            bytes.extend(after);
            prop_assert_eq!(decode(&bytes), Decoded::Record(Record { offset, time_ms, key, value }, size));
            for end in 0..size {
                prop_assert!(matches!(decode(&bytes[..end]), Decoded::Partial(more) if more > end && more <= size));
            }
        }

        #[test]
        fn one_wrong_bit_is_noticed(key in ".{0,9}", value: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = Vec::new();
            encode(&mut bytes, 7, 7, &Entry { key, value });
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(decode(&bytes), Decoded::Record(..)));
        }

        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            decode(&bytes);
        }
    }
}
