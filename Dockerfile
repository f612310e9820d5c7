FROM python:3.12-slim AS build
COPY requirements/requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --no-deps -r /tmp/requirements.txt

FROM python:3.12-slim
# git, bash and coreutils are tools of the agent; bubblewrap confines them where the host allows namespaces.
# Commands have a user of their own (herramientas), in the server's group: both write in the projects, /data stays shut.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash bubblewrap ca-certificates git tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 nanobot \
    && useradd --uid 1000 --gid 1000 --create-home nanobot \
    && useradd --uid 1001 --gid 1000 --create-home herramientas \
    && chmod 700 /home/nanobot /home/herramientas \
    && install -d -o nanobot -g nanobot -m 700 /data \
    && install -d -o nanobot -g nanobot -m 770 /workspace

COPY --from=build /opt/venv /opt/venv
COPY --chmod=755 docker/entrypoint.sh /usr/local/bin/entrypoint
WORKDIR /srv/nanobot
COPY LICENSE ./
COPY app ./app

ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/nanobot \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data \
    WORKSPACE_DIR=/workspace \
    PROJECTS_DIRS=/workspace/proyectos
VOLUME ["/data", "/workspace"]
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/api/status', timeout=4)"]

# The entry point gives up root (uid 1000 is the server) and execs, so that SIGTERM reaches uvicorn.
ENTRYPOINT ["tini", "--", "entrypoint"]
CMD ["sh", "-c", "exec python -m uvicorn app.main:app --host \"$HOST\" --port \"$PORT\" --timeout-graceful-shutdown 5"]
