# syntax=docker/dockerfile:1
# One image with muster-api, muster-worker and muster.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p muster-api -p muster-worker -p muster-cli \
 && install -D -t /out target/release/muster-api target/release/muster-worker target/release/muster

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home muster
COPY --from=build /out/ /usr/local/bin/
USER 10001
# No state in a process: everything is in the store and in Temporal.
CMD ["muster-worker", "run"]
