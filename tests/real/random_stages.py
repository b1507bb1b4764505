"""Random Dockerfiles whose stages and images depend on arguments, platforms and each other."""

import json

VALUES = [
    "debian", "1", "a", "a:b", "${A}", "$B", "${A:-x}", "${A-x}", "${B:+y}", "${B+y}", "${A#d*}", "${A##*e}", "${B%?}", "${B%%b*}",
    "${A/e/E}", "${A//b/x}", "${A/b?/}", "$TARGETARCH", "${TARGETVARIANT}", "$BUILDARCH", "-", ".", "'q'", '"q"', '"${A}"', "\\a",
    "${C:-${A:-z}}", "${TARGETARCH%64}", "${A/\\//x}", "${A#\\*}", "",
]  # fmt: skip
IMAGES = [
    "debian", "alpine:3", "ghcr.io/x/y:1", "scratch", "s1", "s2", "S1", "s-$TARGETARCH", "s-amd64", "$TARGETARCH", "${A:-debian}",
    "alpine:${A:-3}", "acme/${B:-b}-$BUILDARCH", "registry.test:5000/${TARGETARCH}${TARGETVARIANT:+/}${TARGETVARIANT}", "$A",
    "debian:$A",
]  # fmt: skip
PLATFORMS = [
    "", "", "", "--platform=$BUILDPLATFORM ", "--platform=$TARGETPLATFORM ", "--platform=linux/amd64 ", "--platform=arm64 ",
    "--platform=linux/$TARGETARCH ", "--platform=linux/arm ", "--platform='linux/arm64/v8' ", "--platform=linux ",
]  # fmt: skip
# No stage is named scratch: BuildKit 0.25.1 takes it for the source of every mount, and two of them end it with a full stack.
NAMES = ["", "", " AS s1", " as s2", " AS s-amd64", " AS s-arm64", " AS S1"]
SOURCES = ["s1", "s2", "S1", "s-amd64", "s-arm64", "0", "alpine:3", "scratch", "ghcr.io/x/y"]
MOUNTS = [
    "from=alpine,target=/x", "type=bind,from=s1,target=/x", "type=cache,target=/c", "type=secret,id=$E", "type=secret,id=t,env=T",
    "type=secret,target=/a/b,required", "type=secret,src=z,required=true", "type=ssh", "type=ssh,id=k,required", '"type=secret,id=q"',
    "type=SECRET,ID=u,required=T", "type=secret,id=x\\\n ,required=1",
]  # fmt: skip
COMMANDS = [
    "ls", '["ls", "a"]', "cat <<EOF\nFROM no\nEOF", "cat << 'EOF'\n$X\nEOF", "cat 3<<-E\n\tRUN no\n\tE", "ls \\\n # comment\n\n  a",
    'echo "<<EOF"', "echo $X \\", "cat <<A <<B\n1\nA\n2\nB", "cat <<<a",
]  # fmt: skip
OTHERS = [
    "WORKDIR /x", "USER a", "CMD x", "run x", "# comment", "", "   ", "COPY <<EOF /x\nFROM no\nEOF",
    "COPY --chmod=755 <<\"E\" /x\n$A\nE",
    "ONBUILD COPY --from=busybox / /", "ONBUILD RUN --mount=type=secret,id=later ls", "ONBUILD ENV E=later", "HEALTHCHECK CMD x",
    "COPY --from=busybox [\"a\", \"b\"]", "ENV E=env", "ENV A 1 2", "ARG E=default", "ARG A", "ARG C=${A:-c}",
]  # fmt: skip


def request(generator):
    """A Dockerfile with the arguments, target and platform of a build, as JSON."""
    lines = ["# escape=`"] if generator.random() < 0.05 else []
    for _ in range(generator.randint(0, 3)):
        default = "".join(generator.choice(VALUES) for _ in range(generator.randint(1, 2)))
        lines.append(f"ARG {generator.choice('ABC')}{generator.choice(['', f'={default}', f'={default} C=c'])}")
    for _ in range(generator.randint(1, 4)):
        lines.append(f"FROM {generator.choice(PLATFORMS)}{generator.choice(IMAGES)}{generator.choice(NAMES)}")
        lines += [_instruction(generator) for _ in range(generator.randint(0, 4))]
    text = "\n".join(lines)
    if generator.random() < 0.1:
        text = text.replace("\n", "\r\n")
    build = {
        "text": text,
        "args": generator.choice([{}, {}, {"A": "debian"}, {"B": "b", "TARGETARCH": "arm64"}, {"A": ""}]),
        "target": generator.choice(["", "", "", "s1", "S2"]),
        "platform": generator.choice(["linux/arm64", "linux/arm/v7", "linux/amd64"]),
    }
    return json.dumps(build)


def _instruction(generator):
    kind = generator.random()
    if kind < 0.3:
        return f"COPY {generator.choice(['', '--link ', '--chmod=644 '])}--from={generator.choice(SOURCES)} /a /b"
    if kind < 0.6:
        return f"RUN --mount={generator.choice(MOUNTS)} {generator.choice(COMMANDS)}"
    return generator.choice(OTHERS)
