"""Whole Dockerfiles in the idioms that one meets in public repositories, with all that the first seven rules find in each."""

from pathlib import Path

import pytest

from buildlib.lint.check import check

# fmt: off
D, P, B, T, G, W, M = SEVEN = (
    "hardcoded-arch-download", "hardcoded-platform", "arch-specific-base", "hardcoded-target-triple", "arg-lost-after-from",
    "wrong-arch-mapping", "missing-arch-case",
)  # fmt: skip
CASES = [
    (
        """FROM node:18
RUN ARCH= && dpkgArch="$(dpkg --print-architecture)" \\
  && case "${dpkgArch##*-}" in \\
    amd64) ARCH='x64' OPENSSL_ARCH='linux-x86_64';; \\
    ppc64el) ARCH='ppc64le' OPENSSL_ARCH='linux-ppc64le';; \\
    arm64) ARCH='arm64' OPENSSL_ARCH='linux-aarch64';; \\
    armhf) ARCH='armv7l' OPENSSL_ARCH='linux-armv4';; \\
    i386) ARCH='x86' OPENSSL_ARCH='linux-elf';; \\
    *) echo "unsupported architecture"; exit 1 ;; \\
  esac \\
  && curl -fsSLO --compressed "https://nodejs.org/dist/v$NODE_VERSION/node-v$NODE_VERSION-linux-$ARCH.tar.xz"
""",
        {},
    ),
    (
        """FROM buildpack-deps:bookworm-scm AS build
ENV GOLANG_VERSION 1.22.1
RUN set -eux; \\
	arch="$(dpkg --print-architecture)"; arch="${arch##*-}"; \\
	url=; \\
	case "$arch" in \\
		'amd64') \\
			url='https://dl.google.com/go/go1.22.1.linux-amd64.tar.gz'; \\
			sha256='aab'; \\
			;; \\
		'armhf') \\
			url='https://dl.google.com/go/go1.22.1.linux-armv6l.tar.gz'; \\
			;; \\
		'arm64') url='https://dl.google.com/go/go1.22.1.linux-arm64.tar.gz';; \\
		'i386') url='https://dl.google.com/go/go1.22.1.linux-386.tar.gz';; \\
		'mips64el') url='https://dl.google.com/go/go1.22.1.linux-mips64le.tar.gz';; \\
		*) echo >&2 "error: unsupported architecture '$arch' (likely packaging update needed)"; exit 1 ;; \\
	esac; \\
	wget -O go.tgz "$url" --progress=dot:giga
""",
        {},
    ),
    (
        """FROM debian:bookworm-slim
RUN set -eux; \\
    dpkgArch="$(dpkg --print-architecture)"; \\
    case "${dpkgArch##*-}" in \\
        amd64) rustArch='x86_64-unknown-linux-gnu'; rustupSha256='a' ;; \\
        armhf) rustArch='armv7-unknown-linux-gnueabihf' ;; \\
        *) echo >&2 "unsupported architecture: ${dpkgArch}"; exit 1 ;; \\
    esac; \\
    url="https://static.rust-lang.org/rustup/archive/1.26.0/${rustArch}/rustup-init"; wget "$url"
""",
        {},
    ),
    (
        """FROM python:3.11
ENV TINI_VERSION v0.19.0
ADD https://github.com/krallin/tini/releases/download/${TINI_VERSION}/tini-static-amd64 /tini
RUN wget -O /usr/local/bin/dumb-init https://github.com/Yelp/dumb-init/releases/download/v1.2.5/dumb-init_1.2.5_x86_64
RUN curl "https://awscli.amazonaws.com/awscli-exe-linux-x86_64.zip" -o "awscliv2.zip" && unzip awscliv2.zip
ENV JAVA_HOME /usr/lib/jvm/java-8-openjdk-amd64
ENV LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2
""",
        {D: [3, 4, 5], T: [6, 7]},
    ),
    (
        """FROM ubuntu
RUN wget -q -O - https://dl-ssl.google.com/linux/linux_signing_key.pub | apt-key add - && sh -c 'echo "deb [arch=amd64] http://dl.google.com/linux/chrome/deb/ stable main" >> /etc/apt/sources.list.d/google.list'
RUN apt-get update && apt-get install -y google-chrome-stable
RUN CHROMEDRIVER_VERSION=`curl -sS chromedriver.storage.googleapis.com/LATEST_RELEASE` && wget https://chromedriver.storage.googleapis.com/$CHROMEDRIVER_VERSION/chromedriver_linux64.zip
""",
        {D: [2, 4]},
    ),
    (
        """FROM maven AS b
RUN wget https://github.com/adoptium/temurin17-binaries/releases/download/jdk-17/OpenJDK17U-jdk_x64_linux_hotspot_17.tar.gz
RUN curl -L https://ziglang.org/download/0.11.0/zig-linux-x86_64-0.11.0.tar.xz | tar xJ
RUN wget https://developer.arm.com/-/media/Files/downloads/gnu-rm/10-2020q4/gcc-arm-none-eabi-10-2020-q4-major-x86_64-linux.tar.bz2
RUN wget https://static.dev.sifive.com/dev-tools/riscv64-unknown-elf-gcc-8.3.0-2020.04.1-x86_64-linux-ubuntu14.tar.gz
""",
        {D: [2, 3, 4, 5]},
    ),
    (
        """FROM alpine
RUN arch=$(arch | sed s/aarch64/arm64/ | sed s/x86_64/amd64/) && wget "https://x.test/a-${arch}.tgz"
RUN wget "https://x.test/gosu-$(dpkg --print-architecture)"
""",
        {},
    ),
    (
        """FROM ghcr.io/linuxserver/baseimage-alpine:arm64v8-3.19
RUN apk add curl
""",
        {B: [1]},
    ),
    (
        """ARG ALPINE=3.19
FROM alpine:${ALPINE}
ARG TARGETARCH
ARG TARGETVARIANT
COPY dist/linux/${TARGETARCH}${TARGETVARIANT}/app /app
ENTRYPOINT ["/app"]
""",
        {},
    ),
    (
        """FROM golang:1.20 as builder
WORKDIR /workspace
COPY . .
RUN CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GO111MODULE=on go build -a -o manager main.go
FROM gcr.io/distroless/static:nonroot
COPY --from=builder /workspace/manager .
""",
        {T: [4]},
    ),
    (
        """FROM golang:1.20 as builder
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} go build -a -o manager main.go
""",
        {},
    ),
    (
        """FROM ekidd/rust-musl-builder:stable AS builder
RUN cargo build --release
FROM alpine
COPY --from=builder /home/rust/src/target/x86_64-unknown-linux-musl/release/app /usr/local/bin/
""",
        {T: [4]},
    ),
    (
        """FROM ubuntu:22.04
ARG TARGETPLATFORM
RUN case ${TARGETPLATFORM} in \\
         "linux/amd64")  ARCH=amd64  ;; \\
         "linux/arm64")  ARCH=arm64  ;; \\
         "linux/arm/v7") ARCH=armhf  ;; \\
    esac \\
 && wget -q https://x.test/a-${ARCH}.deb
""",
        {M: [3]},
    ),
    (
        """FROM ubuntu:22.04
ARG TARGETPLATFORM
RUN if [ "$TARGETPLATFORM" = "linux/amd64" ]; then ARCHITECTURE=amd64; elif [ "$TARGETPLATFORM" = "linux/arm/v7" ]; then ARCHITECTURE=arm; elif [ "$TARGETPLATFORM" = "linux/arm64" ]; then ARCHITECTURE=aarch64; else ARCHITECTURE=amd64; fi \\
    && curl -sS -L -O --output-dir /tmp/ --create-dirs "https://x.test/influxdb2-client-2-linux-${ARCHITECTURE}.tar.gz"
""",
        {M: [3]},
    ),
    (
        """FROM --platform=linux/amd64 ubuntu:20.04 as build
RUN apt-get install -y build-essential
""",
        {P: [1]},
    ),
    (
        """FROM centos:7
RUN yum -y install glibc.i686 libstdc++.i686 && yum install -y https://dl.fedoraproject.org/pub/epel/epel-release-latest-7.noarch.rpm
""",
        {D: [2, 2]},
    ),
    (
        """FROM scratch
ADD alpine-minirootfs-3.19.0-x86_64.tar.gz /
CMD ["/bin/sh"]
""",
        {D: [2]},
    ),
    (
        """FROM nvidia/cuda:11.8.0-devel-ubuntu22.04
ENV DEBIAN_FRONTEND=noninteractive
RUN wget https://repo.anaconda.com/miniconda/Miniconda3-latest-Linux-x86_64.sh && bash Miniconda3-latest-Linux-x86_64.sh -b -p /opt/conda && rm Miniconda3-latest-Linux-x86_64.sh
RUN ln -s /usr/lib/x86_64-linux-gnu/libcuda.so /usr/lib/libcuda.so
""",
        {D: [3], T: [4]},
    ),
    (
        """ARG GO_VERSION=1.21
FROM golang:${GO_VERSION}-alpine AS base
RUN echo ${GO_VERSION}
FROM base AS dev
ARG GO_VERSION
RUN echo ${GO_VERSION}
""",
        {G: [3]},
    ),
    (
        """FROM openjdk:8
ARG ARCH
RUN if [ "x$ARCH" = "xarm64" ]; then wget https://x.test/a_arm64.deb; else wget https://x.test/a_amd64.deb; fi
""",
        {M: [3]},
    ),
    (
        """FROM debian
RUN ARCH=$(uname -m) && \\
    if [ "$ARCH" = "x86_64" ]; then \\
        curl -L https://x.test/a-x86_64.tgz | tar xz; \\
    elif [ "$ARCH" = "aarch64" ]; then \\
        curl -L https://x.test/a-x86_64.tgz | tar xz; \\
    else \\
        echo "Unsupported"; exit 1; \\
    fi
""",
        {W: [6]},
    ),
    (
        """FROM ubuntu
RUN curl -fsSL https://bazel.build/bazel-release.pub.gpg | gpg --dearmor > bazel.gpg && echo "deb [arch=amd64] https://storage.googleapis.com/bazel-apt stable jdk1.8" | tee /etc/apt/sources.list.d/bazel.list
RUN add-apt-repository "deb [arch=amd64] https://download.docker.com/linux/ubuntu $(lsb_release -cs) stable"
""",
        {D: [2, 3]},
    ),
    (
        """FROM python:3.9
COPY ./bin/app-linux-amd64 /usr/bin/app
COPY ["files/tool_amd64.deb", "/tmp/"]
RUN dpkg -i /tmp/tool_amd64.deb
""",
        {D: [2, 3]},
    ),
    (
        """FROM debian
ENV ARCH amd64
ENV KUBECTL_URL https://x.test/bin/linux/${ARCH}/kubectl
RUN curl -LO ${KUBECTL_URL}
""",
        {D: [2]},
    ),
    (
        """FROM debian
RUN apt-get update && apt-get install -y \\
    curl \\
    linux-headers-amd64 \\
    gcc-multilib
""",
        {D: [4]},
    ),
    (
        """FROM debian as x86_64
RUN curl -L https://x.test/a-x86_64.tgz | tar xz
FROM debian as aarch64
RUN curl -L https://x.test/a-aarch64.tgz | tar xz
ARG ARCH
FROM ${ARCH}
""",
        {G: [6]},
    ),
    (
        """FROM --platform=$BUILDPLATFORM tonistiigi/xx AS xx
FROM --platform=$BUILDPLATFORM golang:alpine AS build
COPY --from=xx / /
ARG TARGETPLATFORM
RUN xx-go build -o /out/app
FROM scratch
COPY --from=build /out/app /
""",
        {},
    ),
    (
        """FROM debian
RUN curl -LO https://github.com/x/y/releases/download/v1/y_$(uname -s)_$(uname -m).tar.gz
RUN curl -LO "https://github.com/x/y/releases/download/v1/y-${TARGETARCH}.tar.gz"
""",
        {G: [3]},
    ),
    (
        """FROM debian
ARG TARGETARCH
ENV ARCH=${TARGETARCH:-amd64}
RUN curl -LO https://x.test/$ARCH.tgz
""",
        {},
    ),
    (
        """FROM mcr.microsoft.com/dotnet/sdk:8.0 AS build
RUN dotnet publish -c Release -r linux-x64 -o /app
FROM mcr.microsoft.com/dotnet/runtime-deps:8.0-jammy-amd64
COPY --from=build /app /app
""",
        {B: [3]},
    ),
]
# fmt: on


@pytest.mark.parametrize(("text", "want"), CASES, ids=range(len(CASES)))
def test_an_idiom(text, want):
    found = {}
    for one in check(Path("Dockerfile"), text.encode(), {}):
        if one.rule in SEVEN:
            found.setdefault(one.rule, []).append(one.line)
    assert found == want
