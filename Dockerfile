# The same steps as ./dev run, then only what is needed at run time.
#   docker build -t vidx .            torch comes from the package index that pip is set up with
FROM debian:12 AS build
# pip reads these; PyTorch's own CPU index as the extra index makes a smaller image without CUDA.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3
WORKDIR /src
COPY . .
RUN ./dev image /opt/vidx

FROM debian:12
COPY --from=build /opt/vidx /opt/vidx
# packages.txt: the Debian packages of the shared libraries that the binary loads.
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates curl $(cat /opt/vidx/packages.txt) && \
    rm -rf /var/lib/apt/lists/*
RUN useradd --system --user-group --no-create-home vidx && install -d -o vidx -g vidx /data
USER vidx
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=10m CMD curl -fsS http://127.0.0.1:8000/v1/health/ready
ENTRYPOINT ["/opt/vidx/bin/vidx"]
CMD ["serve", "--listen", "0.0.0.0:8000", "--data", "/data", "--models", "/opt/vidx/models"]
