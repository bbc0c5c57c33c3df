# The one image of all processes; docker-compose.yml says what each container runs.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Chromium for the browser queue, bubblewrap for sandboxed scripts. Where the container may not make user namespaces
# (Docker's default), scripts are refused with the reason.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap chromium fonts-liberation libseccomp2 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app

# The packages first: a change of the code then leaves this layer as it is.
COPY requirements.txt .
RUN pip install --require-hashes --requirement requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY taskengine taskengine
COPY workers workers
COPY api api
RUN pip install --no-deps --no-build-isolation --editable .

# The processes own nothing but the data directory: the code is root's, and only read.
RUN useradd --uid 10001 --create-home taskengine \
    && install --directory --owner taskengine --mode 0700 /data
USER taskengine
ENV TASKENGINE_HOME=/data TASKENGINE_HOST=0.0.0.0
VOLUME /data
EXPOSE 8000 5555

CMD ["granian", "--interface=wsgi", "--host=0.0.0.0", "--port=8000", "--workers=1", "--blocking-threads=16", "--workers-kill-timeout=2", "--log-level=error", "--no-ws", "api.wsgi:app"]
