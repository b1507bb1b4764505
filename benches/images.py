"""One small service as an image for arm64, pushed to a registry on this machine, three ways: compiled here and assembled,
compiled in a container, and by the usual Dockerfile, which compiles under QEMU. Run by hand: `python benches/images.py`.

Cold: nothing of the workspace was compiled before; base images, crates' sources and std are there. Warm: one line changed.
It needs what the real tests need, and makes it in the same way.
"""

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "real")]

import engine  # noqa: E402
from bed import BUILDLIB, run  # noqa: E402

MANIFEST = """[package]
name = "small"
version = "0.1.0"
edition = "2021"

[dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = "1"
"""
SOURCE = """use std::io::Write;

#[derive(serde::Serialize)]
struct Health<'a> {
    status: &'a str,
}

fn main() -> std::io::Result<()> {
    if std::env::args().any(|word| word == "--version") {
        println!("small 0.1.0");
        return Ok(());
    }
    let listener = std::net::TcpListener::bind("0.0.0.0:8080")?;
    for stream in listener.incoming() {
        let body = serde_json::to_string(&Health { status: "ok" })?;
        let head = format!("HTTP/1.1 200 OK\\r\\nContent-Length: {}\\r\\n\\r\\n", body.len());
        let mut stream = stream?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
    }
    Ok(())
}
"""
USUAL = """FROM rust-for-arm64:1 AS build
WORKDIR /src
COPY . .
RUN --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt cargo build --release
FROM debian:trixie-slim
COPY --from=build /src/target/release/small /usr/bin/small
ENTRYPOINT ["/usr/bin/small"]
"""


def workspace(folder, settings):
    """A folder with the service, its lock file and its crates' sources fetched."""
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "src" / "main.rs").write_text(SOURCE)
    (folder / "buildlib.toml").write_text(settings)
    (folder / "Dockerfile").write_text(USUAL)
    (folder / ".dockerignore").write_text("target\ndist\n")
    done(run("cargo", "fetch", cwd=folder))
    return folder


def done(ran):
    if ran.code:
        sys.exit(repr(ran))
    return ran


def timed(title, act, folder):
    """Seconds of a cold run, and of one after a change of one line."""
    times = []
    for source in (SOURCE, SOURCE.replace('"ok"', '"well"')):
        (folder / "src" / "main.rs").write_text(source)
        began = time.monotonic()
        done(act(folder))
        times.append(time.monotonic() - began)
        print(f"{title}: {times[-1]:.1f} s", flush=True)
    return times


def main():
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        env, address = stack.enter_context(engine.whole(scratch))
        bed = engine.Bed(env=env, registry=address, mirrors={"docker.io": [address]})
        engine.compiler(bed, scratch / "bed")
        arm = engine.tree("compiler", "arm64", "rustc", "cargo", "gcc", "libc6-dev")
        engine.publish(env, address, scratch / "bed" / "arm", "library/rust-for-arm64:1", {"arm64": arm}, packed=False)

        def buildlib(*more):
            return lambda folder: run(BUILDLIB, "image", "--arch", "arm64", "--push", *more, cwd=folder, env=env)

        def usual(folder):
            secret = "id=certificates,src=/etc/ssl/certs/ca-certificates.crt"
            return run("docker", "buildx", "build", "--builder", engine.BUILDER, "--platform", "linux/arm64", "--push",
                       "--secret", secret, "--tag", f"{address}/acme/usual:latest", ".", cwd=folder, env=env)  # fmt: skip

        # Both ways of ours have std for arm64 from a first workspace, and their pips' packages.
        first = workspace(scratch / "first", bed.settings())
        done(buildlib("--in-docker")(first))
        shutil.rmtree(first / "dist")
        done(buildlib()(first))
        ways = {"assembled": buildlib(), "in a container": buildlib("--in-docker"), "under QEMU": usual}
        told = {title: timed(title, act, workspace(scratch / title, bed.settings())) for title, act in ways.items()}
        for title, (cold, warm) in told.items():
            slow = told["under QEMU"]
            print(
                f"{title:15} cold {cold:7.1f} s ({slow[0] / cold:.1f} times)  warm {warm:7.1f} s ({slow[1] / warm:.1f} times)"
            )
        run("docker", "buildx", "rm", engine.BUILDER, env=env)


if __name__ == "__main__":
    main()
