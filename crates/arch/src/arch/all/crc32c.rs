//! Slicing by eight: eight tables, eight bytes per round (Kounavis and Berry, 2005); and the code that all implementations
//! with a CRC instruction share.

const POLYNOMIAL: u32 = 0x82F6_3B78; // Castagnoli's polynomial, bits reversed

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    let mut crc = !crc;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in chunks.iter().copied() {
        let low = crc ^ u32::from_le_bytes([a, b, c, d]);
        let at = |table: usize, byte: u32| TABLES[table][(byte & 0xFF) as usize];
        crc = at(7, low) ^ at(6, low >> 8) ^ at(5, low >> 16) ^ at(4, low >> 24);
        crc ^= at(3, e.into()) ^ at(2, f.into()) ^ at(1, g.into()) ^ at(0, h.into());
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xFF) as usize];
    }
    !crc
}

/// Bytes of a stripe, for long inputs and for their remainder.
const LONG: usize = 1024;
const SHORT: usize = 128;

static AFTER_LONG: [[u32; 256]; 4] = zeros(LONG);
static AFTER_SHORT: [[u32; 256]; 4] = zeros(SHORT);

/// The state after `bytes` zero bytes, for each byte of the state. The results can be added, because the state's bits do
/// not influence each other.
const fn zeros(bytes: usize) -> [[u32; 256]; 4] {
    let mut table = [[0; 256]; 4];
    let mut bit = 0;
    while bit < 32 {
        let mut state: u32 = 1 << bit;
        let mut byte = 0;
        while byte < bytes {
            state = (state >> 8) ^ TABLES[0][(state & 0xFF) as usize];
            byte += 1;
        }
        let mut value = 0;
        while value < 256 {
            if value >> (bit % 8) & 1 == 1 {
                table[bit / 8][value] ^= state;
            }
            value += 1;
        }
        bit += 1;
    }
    table
}

/// Adds as much of `bytes` as possible to the state (the inverted checksum), in three parallel stripes: the instruction has
/// a latency of three cycles, but a CPU can start one in each cycle. Returns the state and the remaining bytes, fewer than
/// three short stripes. `word` is the instruction for eight bytes.
#[inline(always)]
pub fn striped(state: u32, bytes: &[u8], word: impl Fn(u32, u64) -> u32 + Copy) -> (u32, &[u8]) {
    let (state, bytes) = stripes::<LONG>(state, bytes, &AFTER_LONG, word);
    stripes::<SHORT>(state, bytes, &AFTER_SHORT, word)
}

#[inline(always)]
fn stripes<'a, const LENGTH: usize>(
    mut state: u32,
    mut bytes: &'a [u8],
    after: &[[u32; 256]; 4],
    word: impl Fn(u32, u64) -> u32 + Copy,
) -> (u32, &'a [u8]) {
    let shift = |state: u32| {
        state.to_le_bytes().iter().zip(after).fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)])
    };
    while let Some((block, rest)) = bytes.split_at_checked(3 * LENGTH) {
        let (a, bc) = block.split_at(LENGTH);
        let (b, c) = bc.split_at(LENGTH);
        let (mut first, mut second, mut third) = (state, 0, 0);
        for ((a, b), c) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).zip(c.as_chunks::<8>().0) {
            first = word(first, u64::from_le_bytes(*a));
            second = word(second, u64::from_le_bytes(*b));
            third = word(third, u64::from_le_bytes(*c));
        }
        state = shift(shift(first) ^ second) ^ third;
        bytes = rest;
    }
    (state, bytes)
}
