fn main() {
    let built = cmake::build("c");
    println!("cargo::rustc-link-search=native={}/lib", built.display());
    println!("cargo::rustc-link-lib=static=value");
    let bindings = bindgen::Builder::default().header("c/value.h").generate().unwrap();
    bindings.write_to_file(format!("{}/value.rs", std::env::var("OUT_DIR").unwrap())).unwrap();
}
