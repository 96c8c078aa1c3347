# One image for every process: gateway (the default), router, deliverer, ledger, console, and all other `nrc` commands.

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/nrc
COPY constraints.txt ./
COPY pyproject.toml README.md LICENSE ./
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
# postgresql, for NRC_DATABASE_URL; opentelemetry, for NRC_TRACES: docker build --build-arg EXTRAS=postgresql .
ARG EXTRAS=""
RUN /opt/nrc/bin/pip install --no-cache-dir --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.13-slim
# The state folder belongs to the user, and so does every volume that is first mounted there.
RUN useradd --system --uid 10001 --home-dir /var/lib/nrc --create-home --shell /usr/sbin/nologin nrc
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
