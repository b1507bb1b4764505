"""One small service as an image for arm64, pushed to a registry on this machine, in three ways.

It is compiled on this machine and assembled, compiled in a container, or built by the usual Dockerfile, which compiles under
QEMU. Run it with `python benches/images.py`. A cold build has base images, the crates' sources and std, but nothing of the
workspace is compiled. A warm build has one changed line. The bench needs the tools of the real tests, and installs them in the
same way.
"""

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "real")]

import base_images  # noqa: E402
import containers  # noqa: E402
from testbed import BUILDLIB, run  # noqa: E402

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
USUAL_DOCKERFILE = f"""FROM rust-for-arm64:1 AS build
WORKDIR /src
COPY . .
RUN --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt cargo build --release
FROM {base_images.BASE}
COPY --from=build /src/target/release/small /usr/bin/small
ENTRYPOINT ["/usr/bin/small"]
"""


def workspace(folder, settings):
    """A directory with the service and its lock file; the sources of its crates are downloaded."""
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "src" / "main.rs").write_text(SOURCE)
    (folder / "buildlib.toml").write_text(settings)
    (folder / "Dockerfile").write_text(USUAL_DOCKERFILE)
    (folder / ".dockerignore").write_text("target\ndist\n")
    succeed(run("cargo", "fetch", cwd=folder))
    return folder


def succeed(result):
    if result.code:
        sys.exit(repr(result))


def measure(title, build, folder):
    """Seconds of a cold build, and of a build after one line has changed."""
    times = []
    for source in (SOURCE, SOURCE.replace('"ok"', '"well"')):
        (folder / "src" / "main.rs").write_text(source)
        began = time.monotonic()
        succeed(build(folder))
        times.append(time.monotonic() - began)
        print(f"{title}: {times[-1]:.1f} s", flush=True)
    return times


def main():
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        env, registry = stack.enter_context(containers.complete_engine(scratch))
        engine = containers.Engine(env=env, registry=registry, mirrors={"docker.io": [registry]})
        base_images.publish_compiler(engine, scratch)
        compiler = base_images.root_file_system("compiler", "arm64", "rustc", "cargo", "gcc", "libc6-dev")
        name = "library/rust-for-arm64:1"
        base_images.publish(env, registry, scratch / "rust-for-arm64", name, {"arm64": compiler}, compressed=False)

        def buildlib(*options):
            argv = (BUILDLIB, "image", "--arch", "arm64", "--push", *options)
            return lambda folder: run(*argv, cwd=folder, env=env)

        def usual(folder):
            secret = "id=certificates,src=/etc/ssl/certs/ca-certificates.crt"
            flags = ("--builder", containers.BUILDER, "--platform", "linux/arm64", "--push", "--secret", secret)
            argv = ("docker", "buildx", "build", *flags, "--tag", f"{registry}/acme/usual:latest", ".")
            return run(*argv, cwd=folder, env=env)

        # A first workspace puts std for arm64 and the packages of pip in place for both ways with buildlib.
        first = workspace(scratch / "first", engine.settings())
        succeed(buildlib("--in-docker")(first))
        shutil.rmtree(first / "dist")
        succeed(buildlib()(first))
        ways = {"assembled": buildlib(), "in a container": buildlib("--in-docker"), "under QEMU": usual}
        results = {
            title: measure(title, build, workspace(scratch / title, engine.settings())) for title, build in ways.items()
        }
        slow_cold, slow_warm = results["under QEMU"]
        for title, (cold, warm) in results.items():
            print(
                f"{title:15} cold {cold:7.1f} s ({slow_cold / cold:.1f} times)  "
                f"warm {warm:7.1f} s ({slow_warm / warm:.1f} times)"
            )
        run("docker", "buildx", "rm", containers.BUILDER, env=env)


if __name__ == "__main__":
    main()
