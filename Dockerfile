# One image for every process: gateway (the default), router, deliverer, ledger, console, and all other `nrc` commands.

# The same image each time: BASE by its digest (python:3.13-slim@sha256:…), and
# docker buildx build --build-arg BASE=… --build-arg SOURCE_DATE_EPOCH=… --output type=image,rewrite-timestamp=true .
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY tools/make-image-venv tools/
COPY schemas schemas
COPY runtime runtime
COPY store store
COPY router router
COPY ledger ledger
COPY deliverer deliverer
COPY gateway gateway
COPY extra extra
COPY telemetry telemetry
COPY inbox inbox
COPY operating operating
COPY alerting alerting
COPY console console
COPY nrc nrc
# postgresql, for NRC_DATABASE_URL; opentelemetry, for NRC_TRACES: docker build --build-arg EXTRAS=postgresql,opentelemetry .
ARG EXTRAS=postgresql
ARG SOURCE_DATE_EPOCH=315532800
RUN PYTHON=python tools/make-image-venv /opt/nrc "$EXTRAS"

FROM ${BASE}
# The state folder belongs to the user, and so does every volume that is first mounted there. useradd notes the day.
ARG SOURCE_DATE_EPOCH=315532800
RUN groupadd --system --gid 10001 nrc && \
    useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/nrc --create-home --shell /usr/sbin/nologin nrc
COPY --from=build /opt/nrc /opt/nrc
ENV PATH=/opt/nrc/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NRC_STATE_DIR=/var/lib/nrc \
    NRC_GATEWAY_LISTEN=0.0.0.0:8000 \
    NRC_CONSOLE_LISTEN=0.0.0.0:8010 \
    NRC_LOG_FORMAT=json
USER nrc
WORKDIR /var/lib/nrc
VOLUME /var/lib/nrc
EXPOSE 8000 8010
ENTRYPOINT ["nrc"]
CMD ["gateway"]
