extern "C" {
    fn targetlib_answer() -> i32;
}

pub fn answer() -> i32 {
    unsafe { targetlib_answer() }
}
