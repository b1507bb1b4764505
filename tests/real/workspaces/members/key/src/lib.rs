/// A function for other languages.
#[no_mangle]
pub extern "C" fn key_of(value: u32) -> u32 {
    value.rotate_left(7)
}

#[test]
fn key_is_tested() {
    assert_eq!(key_of(1), 128);
}
