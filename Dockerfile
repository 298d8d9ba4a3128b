# Inkdigit's service in a container: no training library, no compiler, no root, nothing that it needs to write.
#
#   docker build -t inkdigit .
#   docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp inkdigit
#
# What stands behind the name of the image is added to the command: docker run … inkdigit --host 0.0.0.0 --model tiny

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/inkdigit
# Wheels alone: what would have to be compiled fails here.
COPY pyproject.toml constraints.txt README.md LICENSE THIRD_PARTY.md ./
COPY src src
RUN /opt/inkdigit/bin/pip install --only-binary :all: -c constraints.txt '.[serve]'

FROM python:3.12-slim
# The number is fixed, so that a mounted folder can be given to it. /data is there for --collect /data/corrections.db.
RUN groupadd --gid 10001 inkdigit \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin inkdigit \
 && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/inkdigit /opt/inkdigit
ENV PATH=/opt/inkdigit/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
EXPOSE 8000
# SIGTERM lets it finish what is in flight.
STOPSIGNAL SIGTERM
# Asks at the port that the command of the container names with --port.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import re; from http.client import HTTPConnection as C; port = ['8000', *re.findall(r'--port.(\\d+)', open('/proc/1/cmdline').read())][-1]; c = C('127.0.0.1', int(port), timeout=2); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["inkdigit", "serve"]
CMD ["--host", "0.0.0.0"]
