fn main() {
    println!("cargo:rerun-if-env-changed=ARCHES_WAIT");
    if let Some(folder) = std::env::var_os("ARCHES_WAIT") {
        helper::wait(folder.as_ref());
    }
}
