#![allow(non_upper_case_globals, non_camel_case_types, dead_code)]
include!(concat!(env!("OUT_DIR"), "/value.rs"));

fn main() {
    println!("compiled={} read={}", unsafe { pointer_size() }, POINTER_SIZE_READ);
}
