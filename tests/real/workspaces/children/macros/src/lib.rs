use proc_macro::TokenStream;

/// A function that returns 7.
/// ```
/// macros::seven!();
/// assert_eq!(seven(), 7);
/// ```
#[proc_macro]
pub fn seven(_: TokenStream) -> TokenStream {
    text().parse().unwrap()
}

fn text() -> &'static str {
    "fn seven() -> u32 { 7 }"
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_a_function() {
        assert!(super::text().starts_with("fn"));
    }

    /// As cargo runs it: on the host, which is the machine of the C compiler's `uname`.
    #[test]
    fn is_not_emulated() {
        assert!(std::env::var_os("BUILDLIB_EMULATED").is_none());
    }
}
