"""Single lines with words for architectures, harmless ones and problems; and downloads by every tool with every spelling."""

from itertools import product
from pathlib import Path

import pytest

from buildlib.lint.check import check

HARMLESS = r"""
# curl https://e.com/x-linux-amd64.tgz
RUN echo "see https://e.com/x-linux-amd64.tgz"
RUN echo "built for amd64 and arm64"
LABEL arch="amd64"
LABEL org.opencontainers.image.description="for amd64"
ENV GOAMD64=v3
ENV GOARM=7
ENV GOFLAGS=-tags=amd64
RUN gcc -march=x86-64-v3 -mtune=generic -o x x.c
RUN RUSTFLAGS="-C target-cpu=x86-64-v2" cargo build
RUN curl -LO https://e.com/arm64-notes.md
RUN curl -LO https://e.com/x-amd64.sha256
RUN curl -LO https://e.com/manifest-amd64.json
RUN curl -LO https://raw.githubusercontent.com/a/b/main/install-amd64.patch
RUN git clone https://github.com/acme/amd64-tools.git
RUN git clone --branch v1-x86_64 https://github.com/acme/tools
COPY config.amd64.yaml /etc/app.yaml
COPY tests/data/arm64.txt /t/
COPY src/arch/x86_64.rs /src/
COPY src/asm_amd64.s /src/
RUN grep -q amd64 /x
RUN test -f /usr/share/doc/amd64
RUN rm -rf /usr/share/doc/amd64-docs
RUN sed -i 's/amd64/arm64/' /x.md || true
RUN apt-get install -y qemu-user-static qemu-system-x86 qemu-system-arm gcc-aarch64-linux-gnu binutils-x86-64-linux-gnu
RUN apt-get install -y curl ca-certificates libc6-dev
RUN pip download --platform manylinux2014_x86_64 --platform manylinux2014_aarch64 --only-binary=:all: x
RUN pip install "x86-sphinx-style" || true
RUN npm install --os=linux --cpu=x64 --cpu=arm64 sharp
RUN docker buildx build --platform linux/amd64,linux/arm64 .
RUN docker run --rm --privileged tonistiigi/binfmt --install arm64
RUN for a in amd64 arm64 arm; do GOARCH=$a go build -o /out/x-$a .; done
RUN for t in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu; do rustup target add $t; done
RUN rustup target add wasm32-unknown-unknown
RUN rustup target add x86_64-pc-windows-gnu
RUN GOOS=windows GOARCH=amd64 go build -o x.exe .
RUN GOOS=darwin GOARCH=arm64 go build -o x .
RUN GOOS=linux go build -o x .
RUN curl -LO https://e.com/x-$(uname -m).tgz
RUN curl -LO https://e.com/x-$(dpkg --print-architecture).tgz
RUN curl -LO https://e.com/x-`uname -m`.tgz
RUN curl -LO https://e.com/x-$(uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/').tgz
RUN curl -LO https://e.com/x-$(arch).tgz
RUN curl -LO "https://e.com/x-linux-$(go env GOARCH).tgz"
RUN A=$(uname -m); A=${A/x86_64/amd64}; A=${A/aarch64/arm64}; curl -LO https://e.com/x-$A.tgz
RUN A="$(dpkg --print-architecture)"; curl -LO https://e.com/x-$A.deb; dpkg -i x-$A.deb
RUN cp /usr/lib/$(uname -m)-linux-gnu/libz.so /out
RUN cp /usr/lib/$(gcc -print-multiarch)/libz.so /out
RUN cp /usr/lib/*-linux-gnu/libz.so /out
RUN ln -s /usr/lib/jvm/java-17-openjdk-$(dpkg --print-architecture) /usr/lib/jvm/default
ENV JAVA_HOME=/usr/lib/jvm/default-java
ENV PATH=/usr/local/x64tools/bin:$PATH
RUN curl https://x64dbg.com/notes.html -o /x.html
RUN curl -LO https://arm64.example.com/tool.tgz
RUN curl -LO https://e.com/tool-noarch.rpm
RUN curl -LO https://e.com/tool-all.deb
RUN curl -LO https://e.com/tool-universal.jar
RUN curl -LO https://e.com/tool-armadillo-1.2.tgz
RUN curl -LO https://e.com/alarm-1.2.tgz
RUN curl -LO https://e.com/charm-crafting-1.0.tar.gz
RUN curl -LO https://e.com/v386/tool.tgz
RUN helm upgrade --set image.arch=amd64 x ./chart
RUN kubectl label node x kubernetes.io/arch=amd64
RUN echo "kubernetes.io/arch: amd64" > /x.yaml
RUN echo 'APT::Architectures "amd64,arm64";' > /etc/apt/apt.conf.d/a
RUN echo "deb [arch=amd64,arm64 signed-by=/x] https://e.com/apt stable main" > /etc/apt/sources.list.d/x.list
RUN echo "deb [signed-by=/x] https://e.com/apt stable main" > /etc/apt/sources.list.d/x.list
RUN [ "$(uname -m)" = x86_64 ] && apt-get install -y intel-mkl || true
RUN if [ "$(uname -m)" = "x86_64" ]; then pip install intel-extension; fi
RUN if [ "$(uname -m)" = "aarch64" ]; then export CFLAGS=-mno-outline-atomics; fi; make
RUN make ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- defconfig
RUN cmake -DCMAKE_SYSTEM_PROCESSOR=$(uname -m) .
RUN bazel build --config=linux_x86 //...
RUN qemu-img create -f qcow2 disk-amd64.img 1G
RUN tar czf /out/app-linux-amd64.tgz /app
RUN mv target/release/app /out/app-x86_64
RUN go build -o /out/app-linux-amd64 .
RUN strip --strip-all /out/app && file /out/app | grep x86-64
RUN sha256sum /out/app-amd64 > /out/app-amd64.sha256
CMD ["app", "--arch", "amd64"]
ENTRYPOINT ["/usr/bin/app", "https://e.com/x-amd64.tgz"]
RUN useradd -m x64user && su - x64user -c ls
WORKDIR /src/arm64
USER amd64
EXPOSE 8664
STOPSIGNAL SIGTERM
RUN cross build --target aarch64-unknown-linux-gnu --target x86_64-unknown-linux-gnu
RUN conda install -y -c conda-forge mamba
RUN mkdir -p /out/linux/amd64 /out/linux/arm64
RUN --mount=type=cache,target=/root/.cache/amd64 ls
ARG TARGETS="x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu"
ARG DEFAULT_ARCH=amd64
RUN test "$(uname -m)" = x86_64 || exit 1
RUN dpkg --print-architecture | grep -E 'amd64|arm64'
RUN case "$(uname -s)" in Linux) ls;; *) exit 1;; esac
RUN uname -m | grep -q aarch64 && apt-get install -y libatomic1 || true
""".strip().splitlines()
PROBLEMS = {
    "hardcoded-platform": r"""
FROM --platform=linux/amd64 a
FROM --platform=amd64 a
FROM --platform=linux/arm64/v8 a:1 AS b
FROM --platform="linux/amd64" a
from --platform=linux/arm/v7 a
FROM --platform=linux/x86_64 a
""".strip().splitlines(),
    "arch-specific-base": r"""
FROM amd64/debian
FROM arm64v8/debian:12
FROM arm32v7/node:20
FROM i386/debian
FROM ppc64le/ubuntu
FROM s390x/alpine
FROM riscv64/debian:sid
FROM x:1-amd64
FROM reg.io/x/y:1.2-arm64
FROM x/y-amd64
FROM x/y-arm64:1
FROM multiarch/alpine:arm64-v3.12
FROM gcr.io/distroless/base:latest-amd64
FROM k8s.gcr.io/debian-base-amd64:v1
FROM x:amd64-1.0
FROM x:linux-amd64-1
FROM x:1_x86_64
FROM docker.io/amd64/alpine
FROM x:aarch64
FROM x/y-aarch64:2 AS z
FROM balenalib/raspberry-pi-debian
FROM x-armhf:1
FROM resin/rpi-raspbian
FROM arm32v5/debian
FROM mips64le/debian
FROM quay.io/pypa/manylinux2014_x86_64
FROM nvcr.io/nvidia/l4t-base:r32-arm64
""".strip().splitlines(),
    "hardcoded-target-triple": r"""
RUN cargo build --target x86_64-unknown-linux-musl
RUN cargo build --target=aarch64-unknown-linux-gnu
RUN rustup target add x86_64-unknown-linux-musl
ENV CARGO_BUILD_TARGET=x86_64-unknown-linux-gnu
ENV GOARCH=amd64
ENV GOOS=linux GOARCH=arm64
RUN GOARCH=amd64 go build
RUN CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -o x
RUN env GOARCH=arm64 go build
RUN export GOARCH=amd64; go build
ENV JAVA_HOME=/usr/lib/jvm/java-11-openjdk-amd64
ENV JAVA_HOME /usr/lib/jvm/java-8-openjdk-amd64/
ENV LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu:/x
RUN cp /usr/lib/x86_64-linux-gnu/libz.so.1 /out
RUN ln -s /lib/x86_64-linux-gnu/libc.so.6 /x
COPY --from=a /usr/lib/x86_64-linux-gnu/libz.so /usr/lib/
COPY --from=a /lib64/ld-linux-x86-64.so.2 /lib64/
COPY --from=b /src/target/x86_64-unknown-linux-musl/release/app /app
RUN ./configure --host=x86_64-linux-gnu
RUN ./configure --build=x86_64-unknown-linux-gnu
RUN update-alternatives --set java /usr/lib/jvm/java-8-openjdk-amd64/bin/java
CMD ["/usr/lib/x86_64-linux-gnu/x"]
ENTRYPOINT ["/target/x86_64-unknown-linux-musl/release/x"]
ENV PKG_CONFIG_PATH=/usr/lib/x86_64-linux-gnu/pkgconfig
RUN echo /usr/lib/x86_64-linux-gnu > /etc/ld.so.conf.d/x.conf
RUN make GOARCH=amd64
RUN go env -w GOARCH=amd64
ENV TARGET=x86_64-unknown-linux-musl
RUN cargo zigbuild --target aarch64-unknown-linux-musl
RUN strip target/aarch64-unknown-linux-musl/release/x
COPY --from=b /go/bin/linux_amd64/x /x
RUN cmake -DOPENSSL_LIB=/usr/lib/x86_64-linux-gnu/libssl.so .
WORKDIR /target/x86_64-unknown-linux-musl
ENV LD_PRELOAD=/usr/lib/aarch64-linux-gnu/libjemalloc.so.2
""".strip().splitlines(),
}
FILES = """
x-{v}-linux-amd64.tar.gz
x_{v}_linux_x86_64.zip
x-linux-x64.tar.xz
x_{v}_amd64.deb
x-{v}.x86_64.rpm
x-linux64.tgz
x-linux-64bit.tgz
x-x86_64-unknown-linux-gnu.tar.gz
x-Linux-x86_64.sh
x.linux-amd64
x-linux-arm64.tgz
x-aarch64.AppImage
x-armv7-unknown-linux-gnueabihf.tgz
x_linux_armhf.tar.gz
x-linux-386.zip
x-i686.tar.gz
x-ppc64le.tgz
x-s390x.tgz
x-linux-riscv64.gz
x_linux_amd64
linux/amd64/x
linux-x86_64/x
Linux_x86_64.tar.gz
x-x86-64-linux.tgz
x64/x.tgz
x-{v}-linux-x64-musl.tar.gz
x-static-x86_64
x_{v}_Linux-64bit.tar.gz
x-amd64-linux-{v}.tgz
amd64/x-{v}.tgz
x-linux-arm.tgz
x-linux_aarch64.gz
""".strip().splitlines()
DOWNLOADS = [
    "RUN curl -fsSL https://e.com/d/FILE -o /tmp/f",
    'RUN curl -fsSLo /tmp/f "https://e.com/d/FILE"',
    "RUN curl -L -o /tmp/f 'https://e.com/d/FILE'",
    "RUN curl -sL https://e.com/d/FILE | tar xz -C /opt",
    "RUN wget https://e.com/d/FILE",
    'RUN wget -qO- "https://e.com/d/FILE" | tar xz',
    "RUN wget --quiet --output-document=/x https://e.com/d/FILE",
    "ADD https://e.com/d/FILE /tmp/",
    "ADD --chmod=755 https://e.com/d/FILE /usr/bin/x",
    "RUN aria2c https://e.com/d/FILE",
    "RUN set -eux; apt-get update; \\\n    curl -fLO https://e.com/d/FILE; \\\n    ls",
    "RUN [ -f /x ] || curl -LO https://e.com/d/FILE",
    "RUN bash <(curl -s https://e.com/d/FILE)",
    "RUN X=$(curl -s https://e.com/d/FILE) && echo $X",
    "RUN until curl -LO https://e.com/d/FILE; do sleep 1; done",
    "RUN for u in https://e.com/d/FILE; do curl -LO $u; done",
    'RUN U=https://e.com/d/FILE; curl -LO "$U"',
    'RUN F=FILE && curl -LO "https://e.com/d/$F" && tar xf $F',
    "ENV F=FILE\nRUN curl -LO https://e.com/d/$F",
    "ENV F FILE\nRUN curl -LO https://e.com/d/${F}",
    "ENV U=https://e.com/d/FILE\nRUN curl -LO $U",
    "ENV B=https://e.com/d\nRUN curl -LO $B/FILE",
    "ARG U=https://e.com/d/FILE\nRUN curl -LO $U",
    "ARG F=FILE\nADD https://e.com/d/${F} /x",
    "RUN cd /tmp && (curl -LO https://e.com/d/FILE && ls)",
    "RUN if ! curl -LO https://e.com/d/FILE; then exit 1; fi",
    'RUN ["curl", "-LO", "https://e.com/d/FILE"]',
    'RUN sh -c "curl -LO https://e.com/d/FILE"',
    "RUN <<EOF\nset -e\ncurl -LO https://e.com/d/FILE\nEOF",
    'RUN <<EOF\n#!/bin/bash\nif [ -n "$x" ]; then\n  curl -LO https://e.com/d/FILE\nfi\nEOF',
    "RUN --mount=type=cache,target=/x \\\n    curl -LO https://e.com/d/FILE",
    'RUN get() { curl -LO "$1"; }; get https://e.com/d/FILE',
    "RUN curl -LO https://e.com/d/FILE https://e.com/d/sums.txt",
    "RUN sudo curl -LO https://e.com/d/FILE",
    "RUN pip install https://e.com/d/FILE",
    "RUN python3 -c \"import urllib.request as r; r.urlretrieve('https://e.com/d/FILE', 'x')\"",
    "RUN busybox wget https://e.com/d/FILE",
    "RUN /usr/bin/curl -LO https://e.com/d/FILE",
    "ONBUILD RUN curl -LO https://e.com/d/FILE",
    "RUN mkdir -p /a && curl -LO https://e.com/d/FILE && rm -rf /var/{a,b}",
    'RUN curl -LO "https://e.com/d/${V:-1}/FILE"',
    "RUN curl -LO https://e.com/d/$(curl -s https://e.com/latest)/FILE",
    "RUN git lfs install; curl -LO http://user:pw@e.com:8080/d/FILE",
    "RUN curl -LO https://e.com/d/FILE?raw=true",
    "COPY ./vendor/FILE /tmp/",
]


def rules_found(text):
    start = "" if text.lower().startswith("from") else "FROM debian:12\n"
    findings = check(Path("Dockerfile"), f"{start}{text}\n".encode(), {})
    return [finding.rule for finding in findings if finding.severity != "info"]


@pytest.mark.parametrize("line", HARMLESS)
def test_a_harmless_line_has_no_findings(line):
    assert rules_found(line) == []


@pytest.mark.parametrize(("rule", "line"), [(rule, line) for rule, lines in PROBLEMS.items() for line in lines])
def test_a_problem_is_reported_once(rule, line):
    assert rules_found(line) == [rule]


def test_every_file_is_reported_with_every_download():
    texts = [
        download.replace("FILE", file.format(v="1.2" if download.startswith(("ENV", "ARG")) else "${V}"))
        for download, file in product(DOWNLOADS, FILES)
    ]
    assert {text: rules for text in texts if (rules := rules_found(text)) != ["hardcoded-arch-download"]} == {}
