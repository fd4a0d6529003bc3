# An image with vidx, the libraries it loads, and the models of ./dev run.
#   docker build -t vidx .                                             for the CPU
#   docker build -t vidx-gpu --build-arg PIP_EXTRA_INDEX_URL= .        for NVIDIA GPUs
FROM debian:12 AS build
# pip reads these. PyTorch's CPU index has torch without CUDA, which saves several GB; pip prefers it there
# because its version, 2.13.0+cpu for example, sorts after 2.13.0. Without that index torch comes with CUDA.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3
WORKDIR /src
COPY . .
RUN ./dev image /opt/vidx

FROM debian:12
COPY --from=build /opt/vidx /opt/vidx
# packages.txt lists the Debian packages of the libraries that vidx loads; curl is for the health check,
# sqlite3 for backups.
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates curl sqlite3 $(cat /opt/vidx/packages.txt) && \
    rm -rf /var/lib/apt/lists/*
# The numbers are fixed, so that files in a volume keep their owner when the image is built again.
RUN groupadd --gid 10001 vidx && useradd --uid 10001 --gid 10001 --no-create-home vidx && \
    install -d -o 10001 -g 10001 /data
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=10m CMD curl -fsS http://127.0.0.1:8000/v1/health/ready
ENTRYPOINT ["/opt/vidx/bin/vidx"]
CMD ["serve", "--listen", "0.0.0.0:8000", "--data", "/data", "--models", "/opt/vidx/models"]
