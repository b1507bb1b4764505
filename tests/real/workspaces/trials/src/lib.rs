//! Tests that end in every way that a test can.

/// Adds.
///
/// ```
/// assert_eq!(trials::add(1, 2), 3);
/// ```
pub fn add(one: u64, other: u64) -> u64 {
    one + other
}

#[cfg(test)]
mod good {
    #[test]
    fn adds() {
        assert_eq!(super::add(1, 1), 2);
    }

    #[test]
    fn knows_that_it_is_emulated() {
        assert_eq!(std::env::var("BUILDLIB_EMULATED").is_ok(), std::env::var_os("WANTED").is_some());
    }

    #[test]
    #[ignore]
    fn is_left_out() {}
}

#[cfg(test)]
mod bad {
    #[test]
    fn connection_reset() {
        assert_eq!(super::add(1, 1), 3, "one and one");
    }

    #[test]
    fn hangs() {
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn dies() {
        let nowhere = std::hint::black_box(8 as *mut u64);
        // SAFETY: it is not; this is how a program dies of SIGSEGV.
        unsafe { nowhere.write_volatile(1) };
    }
}
