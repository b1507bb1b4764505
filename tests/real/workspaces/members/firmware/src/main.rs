#[cfg(unix)]
compile_error!("firmware has no operating system");

fn main() {}
