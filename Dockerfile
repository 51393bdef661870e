# One image for every process of Tandem: `docker run IMAGE serve --model ...`, or see deploy/compose.yaml.
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY deploy/install-packages.sh deploy/
RUN deploy/install-packages.sh build
COPY CMakeLists.txt ./
COPY engine engine
COPY proto proto
COPY scheduler scheduler
COPY server server
RUN cmake -G Ninja -S . -B build -DCMAKE_BUILD_TYPE=Release && ninja -C build tandem && strip build/tandem

FROM debian:bookworm-slim
COPY deploy/install-packages.sh /tmp/
RUN /tmp/install-packages.sh runtime && rm -rf /tmp/install-packages.sh /var/lib/apt/lists/*
COPY --from=build /src/build/tandem /usr/local/bin/tandem
USER 10001:10001
EXPOSE 8000 8001
ENTRYPOINT ["tandem"]
CMD ["--help"]
