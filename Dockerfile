# Inkdigit in a container, to read and to serve: no training library, no compiler, no root, nothing that it needs to write.
#
#   docker build -t inkdigit --build-arg VERSION=1.0.0 .
#   docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp inkdigit
#   docker run --rm --read-only -v "$PWD:/data:ro" inkdigit read picture.png
#   docker run --rm --read-only -i inkdigit predict - < picture.png
#
# What stands behind the name of the image is a command of Inkdigit with its options; without one the service starts:
# docker run … inkdigit serve --host 0.0.0.0 --model tiny

# The index of python:3.13-slim for all processors: Python 3.13.15 on Debian 13. To renew it:
# docker buildx imagetools inspect python:3.13-slim, and take the line "Digest".
FROM python:3.13-slim@sha256:8d9d0b8bcf6506481eae4907c18f5e3e7902e629f5f6d684f9e7c32e85e3ddf0 AS base

FROM base AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/inkdigit
# Wheels alone: what would have to be compiled fails here.
COPY pyproject.toml constraints.txt README.md LICENSE THIRD_PARTY.md ./
COPY src src
RUN /opt/inkdigit/bin/pip install --only-binary :all: -c constraints.txt '.[serve]'

FROM base
# The number is fixed, so that a mounted folder can be given to it. /data is there for pictures and for
# --collect /data/corrections.db.
RUN groupadd --gid 10001 inkdigit \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin inkdigit \
 && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/inkdigit /opt/inkdigit
ENV PATH=/opt/inkdigit/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# Who builds it says what it is.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Inkdigit" \
      org.opencontainers.image.description="Recognises handwritten digits and reads numbers, on the command line and over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The Inkdigit authors" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /data
EXPOSE 8000
# SIGTERM lets it finish what is in flight.
STOPSIGNAL SIGTERM
# Asks at the port that the command of the container names with --port.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import re; from http.client import HTTPConnection as C; port = ['8000', *re.findall(r'--port.(\\d+)', open('/proc/1/cmdline').read())][-1]; c = C('127.0.0.1', int(port), timeout=2); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["inkdigit"]
CMD ["serve", "--host", "0.0.0.0"]
