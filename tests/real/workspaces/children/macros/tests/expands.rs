macros::seven!();

#[test]
fn expands() {
    assert_eq!(seven(), 7);
}
