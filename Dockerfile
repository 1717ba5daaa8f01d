# artifactapi for a fleet: its stores are elsewhere (DATABASE_URL, REDIS_URL, STORAGE_URL).
#   docker build -t artifactapi .
# With servers of its own for a single node, as `make run` starts them:
#   docker build -t artifactapi:embedded --build-arg EXTRAS=[embedded] .

ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ARG EXTRAS=
WORKDIR /src
COPY setup.cfg pyproject.toml README.md ./
COPY app app
RUN python -m venv /opt/artifactapi \
    && /opt/artifactapi/bin/pip install --no-cache-dir --disable-pip-version-check ".${EXTRAS}" \
    && /opt/artifactapi/bin/python -m compileall -q /opt/artifactapi/lib

FROM ${BASE}
COPY --from=build /opt/artifactapi /opt/artifactapi
COPY remotes.json /etc/artifactapi/remotes.json
# A number, so that Kubernetes can tell that it is not root; mode 0711 as the application would make it.
RUN mkdir -m 0711 /var/lib/artifactapi && chown 10001:10001 /var/lib/artifactapi
ENV PATH=/opt/artifactapi/bin:$PATH \
    HOST=0.0.0.0 \
    PORT=8080 \
    DATA_DIR=/var/lib/artifactapi \
    CONFIG_PATH=/etc/artifactapi/remotes.json \
    HOME=/var/lib/artifactapi \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/artifactapi
VOLUME /var/lib/artifactapi
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=240s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health/live\", timeout=4)"]
ENTRYPOINT ["artifactapi"]
CMD ["run"]
