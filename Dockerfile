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
HEALTHCHECK CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9527/healthz')"]
ENTRYPOINT ["teltonika"]
CMD ["serve"]
