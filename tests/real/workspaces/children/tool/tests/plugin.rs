//! A library that is loaded from where cargo puts it: LD_LIBRARY_PATH names that directory.

use std::ffi::{c_char, c_int, c_void};

#[link(name = "dl")]
extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

#[test]
fn loads_a_library() {
    unsafe {
        let handle = dlopen(c"libplugin.so".as_ptr(), 2);
        assert!(!handle.is_null());
        let answer: extern "C" fn() -> c_int = std::mem::transmute(dlsym(handle, c"answer".as_ptr()));
        assert_eq!((answer(), plugin::answer()), (42, 42));
    }
}
