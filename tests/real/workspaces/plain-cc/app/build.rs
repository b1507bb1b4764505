fn main() {
    // The C code of a build dependency runs here, on the build machine.
    println!("cargo::rustc-env=ANSWER={}", hostlib::answer());
}
