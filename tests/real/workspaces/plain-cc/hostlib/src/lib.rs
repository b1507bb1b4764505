extern "C" {
    fn hostlib_answer() -> i32;
}

pub fn answer() -> i32 {
    unsafe { hostlib_answer() }
}
