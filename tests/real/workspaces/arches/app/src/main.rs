#[cfg(all(feature = "broken", target_arch = "arm"))]
compile_error!("there is no version for this architecture");

fn main() {
    println!("{} {} {}", std::env::consts::ARCH, macros::answer!(), extra::FOR_ARM);
}
