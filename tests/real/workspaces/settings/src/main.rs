fn main() {
    println!(
        "from_build={} from_env={:?} extra={} panic={}",
        cfg!(from_build),
        option_env!("FROM_ENV"),
        cfg!(feature = "extra"),
        if cfg!(panic = "abort") { "abort" } else { "unwind" }
    );
}
