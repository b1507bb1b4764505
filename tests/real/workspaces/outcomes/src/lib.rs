//! Tests with every outcome that a test can have.

/// Adds two numbers.
///
/// ```
/// assert_eq!(outcomes::add(1, 2), 3);
/// ```
pub fn add(left: u64, right: u64) -> u64 {
    left + right
}

#[cfg(test)]
mod good {
    #[test]
    fn adds() {
        assert_eq!(super::add(1, 1), 2);
    }

    #[test]
    fn knows_whether_it_is_emulated() {
        assert_eq!(std::env::var("BUILDLIB_EMULATED").is_ok(), std::env::var_os("EXPECT_EMULATION").is_some());
    }

    #[test]
    #[ignore]
    fn is_ignored() {}
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
    fn crashes() {
        let unmapped = std::hint::black_box(8 as *mut u64);
        // SAFETY: none; the write ends the program with SIGSEGV, as the test requires.
        unsafe { unmapped.write_volatile(1) };
    }
}
