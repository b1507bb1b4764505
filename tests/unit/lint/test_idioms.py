"""Whole Dockerfiles with the idioms of public repositories, and everything that the first seven rules report in each."""

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
        {B: [3], T: [2]},
    ),
    (
        """FROM jenkins/jenkins:lts
USER root
RUN apt-get update -qq && apt-get install -qqy apt-transport-https ca-certificates curl gnupg2 software-properties-common
RUN curl -fsSL https://download.docker.com/linux/debian/gpg | apt-key add -
RUN add-apt-repository \\
   "deb [arch=amd64] https://download.docker.com/linux/debian \\
   $(lsb_release -cs) \\
   stable"
RUN curl -L https://github.com/docker/compose/releases/download/1.29.2/docker-compose-$(uname -s)-$(uname -m) -o /usr/local/bin/docker-compose
""",
        {D: [6]},
    ),
    (
        """FROM amazonlinux:2
ARG TERRAFORM_VERSION=1.5.7
ARG KUBECTL_VERSION=1.27.3
RUN yum install -y unzip \\
 && curl -sLo tf.zip https://releases.hashicorp.com/terraform/${TERRAFORM_VERSION}/terraform_${TERRAFORM_VERSION}_linux_amd64.zip \\
 && unzip tf.zip \\
 && curl -sLO https://dl.k8s.io/release/v${KUBECTL_VERSION}/bin/linux/amd64/kubectl \\
 && curl -sL "https://get.helm.sh/helm-v3.12.1-linux-amd64.tar.gz" | tar xz --strip-components=1 linux-amd64/helm
""",
        {D: [5, 7, 8]},
    ),
    (
        """FROM ubuntu:20.04 AS builder
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y wget && \\
    wget -O- https://apt.llvm.org/llvm-snapshot.gpg.key | apt-key add - && \\
    wget https://github.com/Kitware/CMake/releases/download/v3.24.1/cmake-3.24.1-Linux-x86_64.sh -q -O /tmp/cmake-install.sh && \\
    sh /tmp/cmake-install.sh --skip-license --prefix=/usr
WORKDIR /src
COPY . .
RUN mkdir build && cd build && cmake .. && make -j$(nproc)
FROM ubuntu:20.04
COPY --from=builder /src/build/server /usr/bin/server
COPY --from=builder /usr/lib/x86_64-linux-gnu/libboost_system.so.1.71.0 /usr/lib/x86_64-linux-gnu/
""",
        {D: [5], T: [12]},
    ),
    (
        """# syntax=docker/dockerfile:1.4
ARG RUST_VERSION=1.70
FROM rust:${RUST_VERSION}-slim-bookworm AS build
ARG APP_NAME
WORKDIR /app
RUN --mount=type=bind,source=src,target=src <<EOF
set -e
cargo build --locked --release
cp ./target/release/$APP_NAME /bin/server
EOF
FROM debian:bookworm-slim AS final
COPY --from=build /bin/server /bin/
CMD ["/bin/server"]
""",
        {},
    ),
    (
        """FROM --platform=$BUILDPLATFORM node:18 AS web
WORKDIR /web
RUN npm ci && npm run build
FROM --platform=$BUILDPLATFORM golang:1.21 AS build
ARG TARGETOS TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /app .
FROM gcr.io/distroless/static-debian12
COPY --from=build /app /
""",
        {},
    ),
    (
        """FROM debian:11
ENV GO_VERSION=1.19
RUN if [ "$(uname -m)" = "x86_64" ]; then export GOARCH=amd64; else export GOARCH=arm64; fi && \\
    wget https://golang.org/dl/go${GO_VERSION}.linux-${GOARCH}.tar.gz
""",
        {M: [3]},
    ),
    (
        """FROM alpine:3.18
ARG S6_OVERLAY_VERSION=3.1.5.0
ADD https://github.com/just-containers/s6-overlay/releases/download/v${S6_OVERLAY_VERSION}/s6-overlay-noarch.tar.xz /tmp
RUN tar -C / -Jxpf /tmp/s6-overlay-noarch.tar.xz
ADD https://github.com/just-containers/s6-overlay/releases/download/v${S6_OVERLAY_VERSION}/s6-overlay-x86_64.tar.xz /tmp
RUN tar -C / -Jxpf /tmp/s6-overlay-x86_64.tar.xz
ENTRYPOINT ["/init"]
""",
        {D: [5]},
    ),
    (
        """FROM python:3.10-slim
ENV PYTHONUNBUFFERED=1
ARG TARGETPLATFORM
RUN echo "Building for $TARGETPLATFORM" && \\
    case ${TARGETPLATFORM} in \\
      linux/arm64) pip install https://x.test/whl/torch-2.0-cp310-cp310-manylinux2014_aarch64.whl ;; \\
      linux/amd64) pip install https://x.test/whl/torch-2.0-cp310-cp310-manylinux2014_x86_64.whl ;; \\
      *) pip install torch ;; \\
    esac
""",
        {},
    ),
    (
        """FROM ubuntu:22.04
RUN apt-get update && apt-get install -y openjdk-17-jdk
ENV JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64
ENV PATH=$JAVA_HOME/bin:$PATH
ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64:/usr/lib/x86_64-linux-gnu
""",
        {T: [3, 5]},
    ),
    (
        """ARG PHP_VERSION=8.2
ARG COMPOSER_VERSION=2
FROM composer:${COMPOSER_VERSION} AS composer
FROM php:${PHP_VERSION}-fpm-alpine
COPY --from=composer /usr/bin/composer /usr/bin/composer
LABEL php.version=${PHP_VERSION}
ARG WWWUSER
RUN adduser -D -u ${WWWUSER} sail && echo ${COMPOSER_VERSION}
""",
        {G: [8]},
    ),
    (
        """FROM alpine
ARG HELM_VERSION
RUN wget -qO- https://get.helm.sh/helm-v${HELM_VERSION}-linux-$(case $(uname -m) in x86_64) echo amd64;; aarch64) echo arm64;; *) exit 1;; esac).tar.gz | tar xz
""",
        {},
    ),
    (
        """FROM rust:1.72 AS builder
RUN apt-get update && apt-get install -y musl-tools && rustup target add x86_64-unknown-linux-musl
WORKDIR /app
COPY . .
RUN cargo build --release --target=x86_64-unknown-linux-musl
RUN strip target/x86_64-unknown-linux-musl/release/app
FROM scratch
COPY --from=builder /app/target/x86_64-unknown-linux-musl/release/app /app
""",
        {T: [2, 8]},
    ),
    (
        """FROM rust:1.72 AS builder
ARG TARGETPLATFORM
RUN case "$TARGETPLATFORM" in \\
  "linux/arm/v7") echo armv7-unknown-linux-musleabihf > /rust_target.txt ;; \\
  "linux/arm64") echo aarch64-unknown-linux-musl > /rust_target.txt ;; \\
  "linux/amd64") echo x86_64-unknown-linux-musl > /rust_target.txt ;; \\
  *) exit 1 ;; \\
esac
RUN rustup target add $(cat /rust_target.txt)
RUN cargo build --release --target $(cat /rust_target.txt)
""",
        {},
    ),
    (
        """FROM centos:7
RUN yum install -y wget && \\
    wget https://dl.influxdata.com/telegraf/releases/telegraf-1.20.0-1.x86_64.rpm && \\
    yum localinstall -y telegraf-1.20.0-1.x86_64.rpm
COPY conf/telegraf.x86_64.conf /etc/telegraf/telegraf.conf
""",
        {D: [3]},
    ),
    (
        """FROM arm32v7/python:3.9-slim-buster
COPY qemu-arm-static /usr/bin
RUN pip install RPi.GPIO
""",
        {B: [1]},
    ),
    (
        """ARG ARCH=
FROM ${ARCH}debian:buster-slim
RUN apt-get update && apt-get install -y curl
""",
        {},
    ),
    (
        """FROM golang:1.17 AS build
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -ldflags "-X main.version=$VERSION" -o /bin/app
FROM alpine
LABEL version=$VERSION
COPY --from=build /bin/app /bin/app
""",
        {G: [5]},
    ),
    (
        """FROM debian:bullseye
ENV NODE_ARCH x64
ENV NODE_VERSION 16.0.0
RUN curl -SLO "https://nodejs.org/dist/v$NODE_VERSION/node-v$NODE_VERSION-linux-$NODE_ARCH.tar.xz"
""",
        {D: [2]},
    ),
    (
        """FROM debian:bullseye
ARG TARGETARCH
ARG TARGETVARIANT
RUN set -eux; \\
    case "${TARGETARCH}${TARGETVARIANT}" in \\
        amd64) PKG=linux-x64 ;; \\
        arm64) PKG=linux-arm64 ;; \\
        armv7) PKG=linux-arm64 ;; \\
        *) echo "unsupported"; exit 1 ;; \\
    esac; \\
    curl -fsSL "https://x.test/$PKG.tar.gz" | tar xz
""",
        {W: [8]},
    ),
    (
        """FROM nginx:1.25
ARG TARGETARCH
COPY bin/exporter-${TARGETARCH} /usr/bin/exporter
RUN curl -Lo /usr/bin/confd https://github.com/kelseyhightower/confd/releases/download/v0.16.0/confd-0.16.0-linux-amd64 && chmod +x /usr/bin/confd
""",
        {D: [4]},
    ),
    (
        """FROM mcr.microsoft.com/vscode/devcontainers/base:ubuntu
RUN ARCH="$(dpkg --print-architecture)" \\
    && curl -fsSL "https://x.test/tool_${ARCH}.deb" -o /tmp/t.deb && dpkg -i /tmp/t.deb
""",
        {},
    ),
    (
        """FROM public.ecr.aws/lambda/provided:al2-arm64
COPY bootstrap /var/runtime/
""",
        {B: [1]},
    ),
    (
        """FROM --platform=linux/x86_64 python:3.8
RUN pip install tensorflow
""",
        {P: [1]},
    ),
    (
        """FROM alpine
ARG TARGETARCH
RUN apk add --no-cache curl && \\
    if [ "$TARGETARCH" = "amd64" ]; then ARCH=x86_64; fi && \\
    if [ "$TARGETARCH" = "arm64" ]; then ARCH=aarch64; fi && \\
    curl -LO "https://x.test/minio-$ARCH"
""",
        {M: [4]},
    ),
    (
        """FROM debian
RUN wget https://packages.x.test/pool/foo_1.0_amd64.deb https://packages.x.test/pool/bar_2.0_all.deb && dpkg -i *.deb
RUN ln -sf /usr/lib/$(uname -m)-linux-gnu/libssl.so.3 /usr/lib/libssl.so
""",
        {D: [2]},
    ),
    (
        """FROM ubuntu:18.04
RUN echo 'deb http://ports.ubuntu.com/ubuntu-ports bionic main' > /etc/apt/sources.list.d/ports.list
RUN wget "https://downloads.x.test/mongodb-linux-x86_64-ubuntu1804-4.2.tgz"
""",
        {D: [3]},
    ),
    (
        """FROM golang AS b
RUN GOARCH=arm64 GOOS=linux go build -o /arm64/app && GOARCH=amd64 GOOS=linux go build -o /amd64/app
FROM alpine
ARG TARGETARCH
COPY --from=b /${TARGETARCH}/app /app
""",
        {},
    ),
    (
        """FROM ruby:3.2
ARG BUNDLER_VERSION
RUN gem install bundler -v $BUNDLER_VERSION
RUN wget https://x.test/wkhtmltox_0.12.6-1.buster_amd64.deb && apt-get install -y ./wkhtmltox_0.12.6-1.buster_amd64.deb
RUN npm install -g @esbuild/linux-x64
""",
        {D: [4, 5]},
    ),
    (
        """FROM openresty/openresty:1.21-alpine
ENV LUAROCKS_VERSION 3.9
HEALTHCHECK CMD curl -f http://localhost:$PORT/ || exit 1
RUN --mount=type=cache,target=/var/cache/apk,id=apk-$TARGETARCH apk add lua
""",
        {G: [4]},
    ),
    (
        """FROM ubuntu:22.04
ARG ARCH=x86_64
ARG TOOLCHAIN=arm-gnu-toolchain-12.2.rel1-x86_64-arm-none-eabi
RUN wget https://developer.arm.com/-/media/Files/downloads/gnu/12.2.rel1/binrel/${TOOLCHAIN}.tar.xz && tar xf ${TOOLCHAIN}.tar.xz
ENV PATH=/${TOOLCHAIN}/bin:$PATH
""",
        {D: [3]},
    ),
]
# fmt: on


@pytest.mark.parametrize(("text", "expected"), CASES, ids=range(len(CASES)))
def test_all_findings_in_an_idiom(text, expected):
    lines = {}
    for finding in check(Path("Dockerfile"), text.encode(), {}):
        if finding.rule in SEVEN:
            lines.setdefault(finding.rule, []).append(finding.line)
    assert lines == expected
