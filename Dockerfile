# The server alone: `docker build -t teltonika .`
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/teltonika && /opt/teltonika/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/teltonika /opt/teltonika
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/teltonika teltonika
USER 10001
ENV PATH=/opt/teltonika/bin:$PATH \
    TELTONIKA_DATA_DIR=/var/lib/teltonika \
    TELTONIKA_METRICS=127.0.0.1:9527 \
    TELTONIKA_LOG_FORMAT=json
VOLUME /var/lib/teltonika
EXPOSE 5027
# A Valkey with much data loads it first; whatever proxy the container is told of, this is no way through it.
HEALTHCHECK --start-period=10m CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1:9527', timeout=10); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["teltonika"]
CMD ["serve"]
